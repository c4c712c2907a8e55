//! What fuzzing asks of this crate: each function takes any bytes and panics where a promise of the parser is broken.
//!
//! `fuzz/` runs them on made-up bytes; the tests below run them on what `fuzz/corpus/` keeps.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{self, Overrides, Size, Span};
use crate::delivery::parse_row;
use crate::{FrameBatch, FrameId};

/// Queue messages and rows: what is read is written as what reads the same.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(batch) = FrameBatch::from_json(text) {
        assert_eq!(FrameBatch::from_json(&batch.to_json()).expect("it is as it was"), batch);
        for entry in batch.answered() {
            let id = batch.frame_id(entry);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        batch.payload.inline_bytes();
    }
    if let Ok(row) = parse_row(bytes) {
        let written = serde_json::to_vec(&row).expect("a row has no map");
        assert_eq!(parse_row(&written).expect("it is as it was"), row);
    }
}

/// A configuration file: it is taken, or refused in words.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("millrace.toml");
    let read = config::parse(Some((text, file)), &BTreeMap::new(), &Overrides::default());
    if let Err(error) = read {
        assert!(!error.to_string().is_empty());
    }
}

/// Durations, sizes and frame ids: what is read is written as what reads the same.
pub fn values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse(), Ok(span), "{text:?}");
    }
    if let Ok(size) = serde_json::from_value::<Size>(text.into()) {
        let bytes = serde_json::from_value::<Size>(size.bytes().into());
        assert_eq!(bytes.expect("a number of bytes is a size"), size, "{text:?}");
    }
    if let Ok(id) = text.parse::<FrameId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "{text:?}");
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn message() {
        replay("message", super::message);
    }

    #[test]
    fn configuration() {
        replay("configuration", super::configuration);
    }

    #[test]
    fn values() {
        replay("values", super::values);
    }
}
