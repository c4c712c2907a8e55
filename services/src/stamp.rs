//! What is known of an access unit from its arrival on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Seq;
use crate::time::{CaptureClock, CaptureTime, MediaTime};

/// What is known of an access unit from its arrival on: its place in its epoch and its times. It is carried from the
/// source to the row as it is; with the stream and the epoch it is a frame's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// Its number within the epoch.
    pub seq: Seq,
    /// Its presentation time, in 90 kHz ticks since the epoch's start.
    pub media_time: MediaTime,
    /// When it was captured, in UTC microseconds.
    pub captured_at: CaptureTime,
    /// The clock that `captured_at` was read from.
    pub clock: CaptureClock,
}
