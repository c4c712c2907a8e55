//! The objects that may not go: those that messages name.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;

use crate::id::{ModelName, StreamId};

/// Objects that may not go. Of a key it keeps a hash, some 16 bytes: another one with the same hash stays, too.
#[derive(Clone, Debug, Default)]
pub struct Held {
    keys: HashSet<u64>,
    streams: BTreeSet<StreamId>,
    models: BTreeSet<ModelName>,
}

/// What matters of a message, whatever its version.
#[derive(Deserialize)]
struct Message {
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Payload {
    Object(Named),
    Inline(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Named {
    key: String,
}

impl Held {
    /// Holds an object.
    pub fn hold(&mut self, key: &str) {
        self.keys.insert(hash(key));
    }

    /// Holds the object that a message names. Of one that nobody can read, whatever it may name.
    pub fn hold_named_by(&mut self, message: &str) {
        match serde_json::from_str(message) {
            Ok(Message { payload: Payload::Object(named) }) => self.hold(&named.key),
            Ok(Message { payload: Payload::Inline(_) }) => {}
            Err(_) => message.split('"').for_each(|text| self.hold(text)),
        }
    }

    /// Holds all objects of a stream.
    pub fn hold_stream(&mut self, stream: StreamId) {
        self.streams.insert(stream);
    }

    /// Holds all objects with frames for a model.
    pub fn hold_model(&mut self, model: ModelName) {
        self.models.insert(model);
    }

    /// Tells whether an object may not go.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.keys.contains(&hash(key))
            || self.streams.iter().any(|stream| stream_of(key) == Some(stream.as_str()))
            || self.models.iter().any(|model| model_of(key) == Some(model.as_str()))
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The stream in `frames/STREAM/EPOCH/SEQ-MODEL.SUFFIX`.
fn stream_of(key: &str) -> Option<&str> {
    key.split('/').nth(1)
}

/// The model in it.
fn model_of(key: &str) -> Option<&str> {
    let (_, rest) = key.rsplit('/').next()?.split_once('-')?;
    rest.rsplit_once('.').map(|(model, _)| model)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "frames/gate/0000000000007/0000000012-face.v2-b.mjpeg";

    fn holds(message: &str) -> bool {
        let mut held = Held::default();
        held.hold_named_by(message);
        held.holds(KEY)
    }

    #[test]
    fn what_a_message_names_is_held_whatever_its_version_and_however_it_is_written() {
        let object = format!(r#"{{"bucket": "objects", "key": "{KEY}", "size": 7}}"#);
        assert!(holds(&format!(r#"{{"v": 1, "payload": {{"object": {object}}}}}"#)));
        assert!(holds(&format!(r#"{{"v": 9, "new": [], "payload": {{"object": {object}}}}}"#)));
        let escaped = object.replace('/', "\\/");
        assert!(holds(&format!(r#"{{"v": 1, "payload": {{"object": {escaped}}}}}"#)));
        assert!(!holds(r#"{"v": 1, "payload": {"inline": "aGVsbG8="}}"#));
    }

    #[test]
    fn what_a_message_that_nobody_can_read_may_name_is_held() {
        assert!(holds(&format!(r#"{{"v": 2, "payloads": [{{"at": "{KEY}"}}]}}"#)));
        assert!(holds(&format!(r#"{{"v": 1, "payload": {{"object": {{"key": "{KEY}", "si"#)));
        assert!(!holds("no message at all"));
    }

    #[test]
    fn the_objects_of_a_stream_and_of_a_model_are_told_by_their_keys() {
        let mut held = Held::default();
        held.hold_stream(StreamId::new("gat").unwrap());
        held.hold_model(ModelName::new("b").unwrap());
        assert!(!held.holds(KEY));
        held.hold_model(ModelName::new("face.v2-b").unwrap());
        assert!(held.holds(KEY) && !held.holds("frames/gate/7/12-face.v2.jpg"));
        held.hold_stream(StreamId::new("gate").unwrap());
        assert!(held.holds("frames/gate/7/12-face.v2.jpg"));
        assert!(!held.holds("frames/yard/7/12-face.v2.jpg"));
    }
}
