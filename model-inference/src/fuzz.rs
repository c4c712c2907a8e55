//! What fuzzing asks of this crate: each function takes any bytes and panics where a promise of the parser is broken.
//!
//! `fuzz/` runs them on made-up bytes; the tests below run them on what `fuzz/corpus/` keeps.

use crate::model::manifest::Manifest;
use crate::model::metadata::Metadata;
use crate::model::onnx::{InputShape, MAX_SIDE, OnnxFile};

/// The head of an ONNX file, before the engine plans the graph: metadata, and an input within its bounds.
pub fn onnx(bytes: &[u8]) {
    let Ok(file) = OnnxFile::read(bytes) else { return };
    if let Ok(InputShape { channels, width, height }) = file.input(&Manifest::default()) {
        assert!(channels > 0 && channels.is_multiple_of(3), "{channels} channels");
        let sides = 1..=MAX_SIDE;
        assert!(sides.contains(&width) && sides.contains(&height), "{width}x{height}");
    }
}

/// Metadata as exporters write it: labels and sizes that are read have something in them.
pub fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let metadata = Metadata::read([("names", text), ("imgsz", text), ("task", text)]);
    assert!(metadata.labels.is_none_or(|labels| !labels.is_empty()));
    assert!(metadata.input_size.is_none_or(|(width, height)| width > 0 && height > 0));
}

/// A model's manifest: numbers that are read can be reckoned with.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(manifest) = toml::from_str::<Manifest>(text) else { return };
    let (scale, shift) = manifest.normalisation();
    assert!(scale.iter().chain(&shift).all(|number| number.is_finite()), "{scale:?} {shift:?}");
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn onnx() {
        replay("onnx", super::onnx);
    }

    #[test]
    fn metadata() {
        replay("metadata", super::metadata);
    }

    #[test]
    fn manifest() {
        replay("manifest", super::manifest);
    }
}
