//! Promise 2: no accepted frame is lost by `kill -9` of any process at any moment, and no answer doubles.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use e2e::{Site, eventually};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const RUNS: u64 = 50;

/// Two streams of the scene at once, small bundles, so that a kill falls on every step of the way.
const CONFIG: &str = r#"
    data = "data"

    [streams.gate]
    url = "scene:?seed=5&width=320&height=192&fps=25"
    paced = true

    [streams.yard]
    url = "scene:?seed=6&width=320&height=192&fps=25"
    paced = true

    [models.sleeper]
    algorithm = "sleep:5ms"
    sample = { every = "40ms", pick = "exact", max_frames = 3, max_delay = "100ms" }

    [queue]
    max_receives = 1000

    [infer]
    instances = 1
    lease = "1s"

    [delivery]
    max_rows = 100
    max_age = "500ms"
"#;

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let site = Site::new(CONFIG);
    let mut random = StdRng::seed_from_u64(20_261_121);
    let mut receiver = site.start("receive-video", &[]);
    let mut worker = site.start("model-inference", &[]);
    for run in 0..RUNS {
        // The moment of the kill is the test's input, not a wait for something.
        thread::sleep(Duration::from_millis(random.random_range(50..1_500)));
        for (side, end) in [(&mut receiver, "receiver"), (&mut worker, "worker")] {
            assert!(side.ended().is_none(), "the {end} ended by itself: {}", side.stderr());
        }
        match random.random_range(0..3) {
            0 => receiver.kill(),
            1 => worker.kill(),
            _ => {
                receiver.kill();
                worker.kill();
            }
        }
        if run % 10 == 9 {
            let (closes, text) = site.audit();
            assert!(closes, "after kill {run}: {text}");
        }
        if receiver.ended().is_some() {
            receiver = site.start("receive-video", &[]);
        }
        if worker.ended().is_some() {
            worker = site.start("model-inference", &[]);
        }
    }
    let count = "SELECT count(*) FROM frames";
    let before = site.number(count).expect("the table can be read");
    eventually("the last receiver and worker work", Duration::from_secs(60), || {
        match site.number(count)? {
            frames if frames > before => Ok(()),
            frames => Err(format!("{frames} frames; {}", receiver.stderr())),
        }
    });
    receiver.signal("TERM");
    assert!(receiver.wait(Duration::from_secs(30)).success(), "{}", receiver.stderr());
    eventually("every taken frame is delivered", Duration::from_secs(120), || {
        let (closes, text) = site.audit();
        let settled = closes && text.contains("in flight 0");
        if settled { Ok(()) } else { Err(text) }
    });
    worker.signal("TERM");
    assert!(worker.wait(Duration::from_secs(30)).success(), "{}", worker.stderr());
    assert_every_object_is_answered_once(&site);
}

/// Compares what the object store accepted with what the table says, without the programs' own books: the
/// frames of each object's rows must add up to the object's size, and each frame must be there once.
fn assert_every_object_is_answered_once(site: &Site) {
    let mut stored = BTreeMap::new();
    collect_sizes(&site.data().join("objects/frames"), &mut stored);
    assert!(stored.len() > 100, "only {} objects: the kills left no time to work", stored.len());

    let sql = "SELECT object_uri, count(*) AS frames, count(DISTINCT frame_id) AS ids, \
               sum(object_len) AS bytes FROM detections_unique GROUP BY object_uri";
    let mut answered = BTreeMap::new();
    for row in site.query(sql).expect("the table can be read") {
        assert_eq!(row["frames"], row["ids"], "a frame has more than one row: {row}");
        let uri = row["object_uri"].as_str().expect("every payload is an object").to_owned();
        let path = uri.strip_prefix("file://").expect("the store is a folder").to_owned();
        answered.insert(path, row["bytes"].as_u64().expect("a sum of lengths"));
    }
    assert_eq!(answered, stored, "objects and rows differ");
}

fn collect_sizes(folder: &Path, sizes: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(folder).expect("the object folder can be read") {
        let entry = entry.expect("the object folder can be read");
        let path = entry.path();
        if path.is_dir() {
            collect_sizes(&path, sizes);
        } else {
            let path = path.canonicalize().expect("it exists").display().to_string();
            sizes.insert(path, entry.metadata().expect("it exists").len());
        }
    }
}
