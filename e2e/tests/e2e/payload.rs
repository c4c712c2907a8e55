//! Frames travel as objects or inside their messages: the answers are the same.

use std::time::Duration;

use e2e::{Backend, Site, on_every_backend};
use serde_json::Value;

/// The demo's model twice on the same frames, once without the object store.
fn config() -> String {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/shapes.onnx");
    let mut config = String::from(
        r#"
        data = "data"

        [streams.gate]
        url = "scene:?seed=5&width=640&height=360&fps=25&seconds=8"
        "#,
    );
    for (name, payload) in [("stored", "object"), ("carried", "inline")] {
        config += &format!(
            "\n[models.{name}]\npath = {model:?}\n\
             sample = {{ every = \"400ms\", pick = \"exact\", max_frames = 4, payload = \"{payload}\" }}\n"
        );
    }
    config
}

on_every_backend!(frames_inside_messages_are_answered_like_stored_ones);

fn frames_inside_messages_are_answered_like_stored_ones(backend: Backend) {
    let site = Site::on(backend, &config());
    let mut up = site.start("millrace", &["up"]);
    assert!(up.wait(Duration::from_secs(120)).success(), "{}", up.stderr());
    site.settled(Duration::from_secs(60));
    let answers = |model: &str| -> Vec<Value> {
        let sql = format!(
            "SELECT media_time, status, detection, label, x, y, w, h FROM detections_unique \
             WHERE model = '{model}' ORDER BY media_time, detection"
        );
        site.query(&sql).expect("the table can be read")
    };
    let stored = answers("stored");
    assert!(stored.len() > 20, "several shapes are found on each: {stored:?}");
    assert_eq!(answers("carried"), stored);
    let objects = "SELECT count(*) FROM frames WHERE object_uri IS NOT NULL AND model = ";
    assert_eq!(site.number(&format!("{objects}'stored'")), Ok(20));
    assert_eq!(site.number(&format!("{objects}'carried'")), Ok(0));
    assert_eq!(site.store().objects().len(), 5, "four frames to an object");
}
