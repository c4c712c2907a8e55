//! Bounds and waits: of receiver, workers, queues, delivery, and of what is kept.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::value::{Size, Span};

/// Bounds and waits of the receiver.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiveConfig {
    /// Most bytes that one stream's spool may hold.
    pub spool_bytes: Size,
    /// Most pixels of a picture; larger ones are refused before they are decoded.
    pub max_pixels: u64,
    /// Most bytes that the frames of the windows of one model on one stream may have while they are gathered.
    pub window_bytes: Size,
    /// Access units between a source and its sampler; a full channel makes the source wait.
    pub channel_units: usize,
    /// Their bytes, the one that the sampler works on included; one is let in whatever its size.
    pub channel_bytes: Size,
    /// Shortest wait before a stream is connected to again.
    pub backoff_min: Span,
    /// Longest wait before a stream is connected to again.
    pub backoff_max: Span,
    /// Wait after a camera refused the password, or sent what is not supported.
    pub backoff_unauthorized: Span,
    /// Longest that connecting may take, up to the camera's answer that it plays.
    pub connect_timeout: Span,
    /// A stream that sends access units but no key frame for so long, and in 30 of them, is connected to anew.
    pub key_frame_timeout: Span,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self {
            spool_bytes: Size::from_bytes(256 << 20),
            max_pixels: 8_192 * 4_320,
            window_bytes: Size::from_bytes(128 << 20),
            channel_units: 64,
            channel_bytes: Size::from_bytes(8 << 20),
            backoff_min: Span::from_millis(500),
            backoff_max: Span::from_millis(30_000),
            backoff_unauthorized: Span::from_millis(60_000),
            connect_timeout: Span::from_millis(5_000),
            key_frame_timeout: Span::from_millis(30_000),
        }
    }
}

/// Bounds and waits of the workers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InferConfig {
    /// Model instances, each on one thread of its own; 0 for one per core.
    pub instances: usize,
    /// Most messages taken ahead of the model, per model: fewer where they could not start within half a second.
    pub prefetch: usize,
    /// How long a message is one worker's alone; extended while it works.
    pub lease: Span,
    /// Longest wait for a message in one call.
    pub wait: Span,
    /// Most pixels of a frame; larger ones are refused before they are decoded.
    pub max_pixels: u64,
    /// The worker's name in rows; host name and process id when absent.
    pub worker: Option<String>,
}

impl Default for InferConfig {
    fn default() -> Self {
        Self {
            instances: 0,
            prefetch: 16,
            lease: Span::from_millis(30_000),
            wait: Span::from_millis(1_000),
            max_pixels: 8_192 * 4_320,
            worker: None,
        }
    }
}

/// Bounds of the embedded queues.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Receives before a message goes to the dead letters.
    pub max_receives: u32,
    /// Most bytes of one queue, messages and dead letters together; past it, senders keep theirs in the spool.
    pub max_bytes: Size,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_receives: 5, max_bytes: Size::from_bytes(1 << 30) }
    }
}

/// When buffered rows become files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Rows in the buffer that make a file due.
    pub max_rows: u32,
    /// Age of the oldest row in the buffer that makes a file due.
    pub max_age: Span,
    /// Most bytes that the buffer may hold; past it, workers wait.
    pub max_bytes: Size,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_rows: 100_000,
            max_age: Span::from_millis(300_000),
            max_bytes: Size::from_bytes(1 << 30),
        }
    }
}

/// What of the data folder is kept; all of it, where a key is absent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// The objects with the frames of bundles.
    pub objects: KeepConfig,
    /// The table's filed rows, by hours of delivery.
    pub rows: KeepConfig,
    /// The accounts of past epochs in a stream's spool; what goes of them goes into a sum.
    pub accounts: KeepConfig,
}

/// How much of a kind is kept. With both bounds, what either lets go goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// What is older goes.
    pub age: Option<Span>,
    /// Beyond so many bytes, the oldest goes.
    pub bytes: Option<Size>,
}
