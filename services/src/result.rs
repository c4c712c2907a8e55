//! What a live view needs of a frame's answer, on its way to people's eyes before its rows are in the table.
//!
//! Its JSON Schema lies in `docs/schema/`, generated from [`FrameResult`]; a golden file in the tests holds its text. A
//! change that an older reader would misread is a new [`FrameResult::VERSION`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, PortError};
use crate::id::{Epoch, FrameId, ModelName, StreamId};
use crate::message::Status;
use crate::queue::MAX_MESSAGE_BYTES;
use crate::stamp::Stamp;
use crate::time::CaptureTime;

/// What a model said about a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameResult {
    /// The result's version, [`FrameResult::VERSION`].
    #[schemars(extend("const" = FrameResult::VERSION))]
    pub v: u32,
    /// The stream's id.
    pub stream: StreamId,
    /// The connection, UTC milliseconds at its start.
    pub epoch: Epoch,
    /// What is known of the frame since it arrived.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The model's name.
    pub model: ModelName,
    /// What came of it: `ok` with detections, `none` without any, `error` with a reason.
    pub status: Status,
    /// Why `status` is `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was found, in the order of the rows.
    pub detections: Vec<Detection>,
    /// When the answer was ready, in UTC microseconds.
    pub inferred_at: CaptureTime,
    /// Milliseconds from `captured_at` to `inferred_at`; 0 where that would be negative.
    pub latency_ms: i64,
}

/// One answer about a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detection {
    /// The class's index in the model's labels.
    pub class_id: u32,
    /// The class's name.
    pub label: String,
    /// The confidence, 0 to 1.
    pub score: f32,
    /// Where in the picture; none for an answer about the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// JSON for what has no column: keypoints, mask, radius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
}

/// A box in the picture.
///
/// # Units
/// Fractions of the picture's width and height, all within 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl FrameResult {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// The frame that it is about.
    pub fn frame_id(&self) -> FrameId {
        FrameId { stream: self.stream.clone(), epoch: self.epoch, seq: self.stamp.seq }
    }

    /// Writes the result as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when that takes more than [`MAX_MESSAGE_BYTES`]; the frame is named.
    pub fn to_json(&self) -> Result<String, PortError> {
        let body =
            serde_json::to_string(self).expect("a result has no map with keys that are not text");
        if body.len() > MAX_MESSAGE_BYTES {
            let attempt = format!("publish result of frame \"{}\"", self.frame_id());
            let cause = format!("{} bytes, at most {MAX_MESSAGE_BYTES} are allowed", body.len());
            return Err(PortError::because(ErrorKind::Invalid, attempt, cause));
        }
        Ok(body)
    }

    /// Reads a result, its version first, so that a newer one is named as such.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is no result, or of another version.
    pub fn from_json(text: &[u8]) -> Result<Self, PortError> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        let refuse = |cause: String| PortError::because(ErrorKind::Corrupt, "read result", cause);
        let malformed = |error: serde_json::Error| refuse(error.to_string());
        let Version { v } = serde_json::from_slice(text).map_err(malformed)?;
        if v != u64::from(Self::VERSION) {
            let expected = Self::VERSION;
            return Err(refuse(format!("version {v} is not known, expected {expected}")));
        }
        serde_json::from_slice(text).map_err(malformed)
    }
}
