//! The keys of a model, and of what it wants to see.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::value::{Size, Span};

/// One model and what it wants to see.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The ONNX file. Its manifest is `model.toml`, or the file's name with `.toml`, beside it.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// An algorithm that is no ONNX file: `circles`, or `sleep:DURATION`.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// The manifest, when it does not lie beside the file.
    #[serde(default)]
    pub manifest: Option<PathBuf>,
    /// Most bytes of the ONNX file's tensors: its constants, and what one run holds at once.
    #[serde(default = "two_gibibytes")]
    pub max_bytes: Size,
    /// Which access units become frames, and how they travel.
    #[serde(default)]
    pub sample: SampleConfig,
}

fn two_gibibytes() -> Size {
    Size::from_bytes(2 << 30)
}

/// Which access units become frames for a model, and how they travel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// The period of runs, on media time.
    pub every: Span,
    /// Which picture stands for a due time.
    pub pick: Pick,
    /// How frames travel.
    pub encode: Encode,
    /// Frames per run.
    pub frames: u32,
    /// Pictures from one frame of a run to the next.
    pub step: u32,
    /// Pictures wider than this are scaled down before they are encoded.
    pub max_width: Option<u32>,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Most runs in one bundle (one object, one message).
    pub max_frames: u32,
    /// Longest that a frame waits for its bundle to fill.
    pub max_delay: Span,
    /// How a bundle's bytes travel.
    pub payload: PayloadChoice,
    /// For how long after a frame came its answer is wanted: a worker sheds older ones. For ever when absent.
    pub fresh: Option<Span>,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            every: Span::from_millis(1_000),
            pick: Pick::default(),
            encode: Encode::default(),
            frames: 1,
            step: 1,
            max_width: None,
            quality: 85,
            max_frames: 10,
            max_delay: Span::from_millis(1_000),
            payload: PayloadChoice::default(),
            fresh: None,
        }
    }
}

/// Which picture stands for a due time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// The first key frame at or after it: key frames alone are decoded.
    #[default]
    Keyframe,
    /// The first picture at or after it: a group of pictures is decoded up to the last one wanted.
    Exact,
}

/// How frames travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encode {
    /// As JPEG files.
    #[default]
    Jpeg,
    /// As the key frames that came: the receiver decodes nothing.
    H264,
}

/// How a bundle's bytes travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayloadChoice {
    /// As an object, named in the message.
    #[default]
    Object,
    /// In the message; bundles close before the message would grow past the queue's limit.
    Inline,
    /// By whichever is cheaper by the list prices of AWS.
    Auto,
}
