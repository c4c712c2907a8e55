//! The two messages: [`FrameBatch`] on the queue and [`DetectionRow`] on the delivery stream.
//!
//! Their JSON Schemas lie in `docs/schema/`, generated from these types; golden files in the tests hold their
//! text. Writers write these fields and no others; readers leave out what they do not know, so that processes of
//! neighbouring versions share a queue and a table. A change that an older reader would misread is a new
//! [`FrameBatch::VERSION`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counted;
use crate::id::{Epoch, FrameId, ModelName, StreamId};
use crate::stamp::Stamp;
use crate::time::CaptureTime;

/// What one queue message carries: frames of one stream, in time order, for one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameBatch {
    /// The message's version, [`FrameBatch::VERSION`].
    #[schemars(extend("const" = FrameBatch::VERSION))]
    pub v: u32,
    /// The stream that all frames are of.
    pub stream: StreamId,
    /// The connection that all frames came over.
    pub epoch: Epoch,
    /// The model that is asked.
    pub model: ModelName,
    /// Frames per run of the model. `frames` holds whole windows back to back, each in time order; a run's
    /// rows are those of its window's last frame. Overlapping windows repeat an entry, not its bytes.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub window: u32,
    /// The frames, `window` for each run.
    #[schemars(length(min = 1))]
    pub frames: Vec<FrameEntry>,
    /// Where the frames' bytes are.
    pub payload: Payload,
    /// UTC time after which nobody wants the answer about the newest frame; about another one it is as much earlier as that
    /// frame is older. By the clock of the receiver that took it, not the camera's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<CaptureTime>,
    /// Where results are to be published besides the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// W3C trace context (<https://www.w3.org/TR/trace-context/#traceparent-header>).
    pub traceparent: String,
}

fn one() -> u32 {
    1
}

/// One frame of a [`FrameBatch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameEntry {
    /// What is known of it since it arrived.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Width of the payload's picture, in pixels.
    pub width: u32,
    /// Height of the payload's picture, in pixels.
    pub height: u32,
    /// How its bytes are encoded.
    pub format: FrameFormat,
    /// Its first byte within the payload.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// How a frame's bytes are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FrameFormat {
    /// A JPEG file.
    Jpeg,
    /// An H.264 key frame in Annex B, its parameter sets before it.
    H264,
}

/// Where a batch's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// In an object of the object store.
    Object(ObjectRef),
    /// In the message itself, as base64 (RFC 4648 §4).
    Inline(String),
}

impl Payload {
    /// Puts bytes into the message itself.
    pub fn inline(bytes: &[u8]) -> Self {
        Self::Inline(BASE64.encode(bytes))
    }

    /// The bytes in the message itself; `None` when they are in an object.
    ///
    /// # Errors
    /// When the text is no base64.
    pub fn inline_bytes(&self) -> Option<Result<Vec<u8>, base64::DecodeError>> {
        match self {
            Self::Object(_) => None,
            Self::Inline(text) => Some(BASE64.decode(text)),
        }
    }
}

/// An object of the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRef {
    /// The bucket's name; embedded, the name of the object folder.
    pub bucket: String,
    /// The key within the bucket.
    pub key: String,
    /// The whole object's size in bytes.
    pub size: u64,
}

/// A queue message that is no frame batch of a known version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not JSON, or not of the schema.
    #[error("read frame batch: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A version this program does not know.
    #[error("read frame batch: version {found} is not known, expected {expected}")]
    Version {
        /// The version that came.
        found: u64,
        /// The version that this program reads.
        expected: u32,
    },
    /// Fields that contradict each other.
    #[error("read frame batch: {0}")]
    Inconsistent(String),
}

/// Upper bound of a frame entry's JSON: nine numbers of at most 20 digits and their keys.
const ENTRY_BYTES: usize = 288;
/// Upper bound of the rest of a message's JSON: two names, a key of them, numbers, a trace context and a reply queue.
const HEADER_BYTES: usize = 1_536 + MAX_REPLY_TO_BYTES;

/// The largest number that the table holds.
const MAX_NUMBER: u64 = i64::MAX.unsigned_abs();
/// The reason of the row of a frame that nobody wanted the answer about any more when its turn came.
pub const STALE: &str = "stale";
/// Most bytes of `reply_to`.
pub const MAX_REPLY_TO_BYTES: usize = 256;

impl FrameBatch {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// Upper bound of a message's JSON without what travels inline.
    pub fn longest_envelope(entries: usize) -> usize {
        HEADER_BYTES + entries * ENTRY_BYTES
    }

    /// Writes the message as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a frame batch has no map with keys that are not text")
    }

    /// Reads a message, its version first, so that a newer one is named as such.
    ///
    /// # Errors
    /// When it is not JSON, of another version, not of the schema, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        let Version { v } = serde_json::from_str(text)?;
        if v != u64::from(Self::VERSION) {
            return Err(MessageError::Version { found: v, expected: Self::VERSION });
        }
        let batch: Self = serde_json::from_str(text)?;
        batch.check()?;
        Ok(batch)
    }

    /// The id of one of the batch's frames.
    pub fn frame_id(&self, entry: &FrameEntry) -> FrameId {
        FrameId { stream: self.stream.clone(), epoch: self.epoch, seq: entry.stamp.seq }
    }

    /// The UTC time after which nobody wants the answer about a frame.
    pub fn deadline_of(&self, entry: &FrameEntry) -> Option<CaptureTime> {
        let newest = self.frames.iter().map(|frame| frame.stamp.media_time).max()?;
        Some(self.deadline?.after(entry.stamp.media_time - newest))
    }

    /// The frames that the batch's rows will be of: the last of each window.
    pub fn answered(&self) -> impl Iterator<Item = &FrameEntry> {
        self.frames.chunks(self.window.max(1) as usize).filter_map(<[FrameEntry]>::last)
    }

    fn check(&self) -> Result<(), MessageError> {
        let frames = self.frames.len();
        if frames == 0 {
            return Err(MessageError::Inconsistent(
                "frames is empty, expected at least one".into(),
            ));
        }
        if self.window == 0 || !frames.is_multiple_of(self.window as usize) {
            return Err(MessageError::Inconsistent(format!(
                "{} {} no multiple of the window of {}",
                counted(frames, "frame"),
                if frames == 1 { "is" } else { "are" },
                self.window
            )));
        }
        let size = match &self.payload {
            Payload::Object(object) => object.size,
            Payload::Inline(text) => base64_len(text),
        };
        for entry in &self.frames {
            self.check_for_table(entry)?;
            let end = entry.offset.checked_add(entry.len);
            if end.is_none_or(|end| end > size) {
                return Err(MessageError::Inconsistent(format!(
                    "frame {} is at bytes {}+{} of a payload of {size}",
                    self.frame_id(entry),
                    entry.offset,
                    entry.len
                )));
            }
        }
        Ok(())
    }
}

impl FrameBatch {
    /// Checks that the table can hold what its rows would say of a frame.
    fn check_for_table(&self, entry: &FrameEntry) -> Result<(), MessageError> {
        let refuse = |words| Err(MessageError::Inconsistent(words));
        let frame = self.frame_id(entry);
        if self.epoch.0.max(entry.stamp.seq.0) > MAX_NUMBER {
            return refuse(format!("frame {frame}: epoch and seq are at most {MAX_NUMBER}"));
        }
        if !(CaptureTime::EARLIEST..=CaptureTime::LATEST).contains(&entry.stamp.captured_at) {
            let captured_at = entry.stamp.captured_at;
            return refuse(format!(
                "frame {frame} was captured at {captured_at}, expected the years 1 to 9999"
            ));
        }
        Ok(())
    }
}

fn base64_len(text: &str) -> u64 {
    let padding = text.bytes().rev().take_while(|&b| b == b'=').count() as u64;
    (text.len() as u64 / 4 * 3).saturating_sub(padding)
}

/// What a run said about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// This row is a detection.
    Ok,
    /// The model ran and found nothing: the frame's only row.
    None,
    /// The frame could not be answered: the frame's only row, with its `reason`.
    Error,
}

impl Status {
    /// The word that stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::None => "none",
            Self::Error => "error",
        }
    }
}

/// A detection as it lies in the table `detections`; a frame in which nothing was found is one row too.
///
/// # Shape
/// Flat, so that the same SQL text runs on Athena, DataFusion and DuckDB. One row per
/// `(frame_id, model, detection)`, whatever was delivered twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionRow {
    /// The stream's id.
    pub stream: StreamId,
    /// The connection, UTC milliseconds at its start.
    pub epoch: Epoch,
    /// What is known of the frame since it arrived.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// `stream/epoch/seq`, zero-padded.
    pub frame_id: String,
    /// The model's name.
    pub model: ModelName,
    /// The model file's content hash, or the algorithm's own version.
    pub model_version: String,
    /// What the row says about the frame.
    pub status: Status,
    /// Why `status` is `error`.
    pub reason: Option<String>,
    /// The detection's index in the frame, from 0; 0 for `none` and `error`.
    pub detection: u32,
    /// The class's index in the model's labels.
    pub class_id: Option<u32>,
    /// The class's name.
    pub label: Option<String>,
    /// The model's confidence, 0 to 1.
    pub score: Option<f32>,
    /// Left edge of the box, 0 to 1 of the picture's width.
    pub x: Option<f32>,
    /// Top edge of the box, 0 to 1 of the picture's height.
    pub y: Option<f32>,
    /// Width of the box, 0 to 1 of the picture's width.
    pub w: Option<f32>,
    /// Height of the box, 0 to 1 of the picture's height.
    pub h: Option<f32>,
    /// The track that the detection belongs to.
    pub track_id: Option<String>,
    /// JSON for what has no column: keypoints, mask.
    pub extra: Option<String>,
    /// Where the frame's bytes are; none when they travelled in the message.
    pub object_uri: Option<String>,
    /// The frame's first byte within the object.
    pub object_offset: Option<u64>,
    /// The frame's length in bytes.
    pub object_len: Option<u64>,
    /// When the answer was ready, in UTC microseconds.
    pub inferred_at: CaptureTime,
    /// Milliseconds from `captured_at` to `inferred_at`; 0 where that would be negative.
    pub latency_ms: i64,
    /// The worker that answered.
    pub worker: String,
}
