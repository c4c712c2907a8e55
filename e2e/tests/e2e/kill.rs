//! Promise 2: no accepted frame is lost by `kill -9` of any process at any moment, and no answer doubles.

use std::thread;
use std::time::Duration;

use e2e::{Backend, Site, on_every_backend};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ending::{assert_goes_on, settle};

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
    sample = { every = "80ms", pick = "exact", max_frames = 3, max_delay = "200ms" }

    [queue]
    max_receives = 1000

    [infer]
    instances = 1
    lease = "1s"

    [delivery]
    max_rows = 100
    max_age = "500ms"
"#;

on_every_backend!(fifty_kills_lose_nothing_and_double_nothing);

fn fifty_kills_lose_nothing_and_double_nothing(backend: Backend) {
    let site = Site::on(backend, CONFIG);
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
        // On AWS the rows of the last second may still be on their way into the table.
        if run % 10 == 9 && backend == Backend::Embedded {
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
    assert_goes_on(&site, &receiver, Duration::from_secs(60));
    let finite = CONFIG.replace("fps=25", "fps=25&seconds=1");
    let objects = settle(&site, &finite, &mut receiver, &mut [worker]);
    assert!(objects > 100, "only {objects} objects: the kills left no time to work");
}
