//! The way of the frames through AWS, measured: frames a second, CPU and calls for each. It compares nothing and so
//! cannot be too slow: the figures go to docs/benchmarks.md.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Backend, Program, Proxy, Site, aws, eventually};

use crate::objects::assert_every_object_is_answered_once;

/// Frames of the run; `FRAMES=10000` gives the figures of `docs/benchmarks.md`.
fn frames() -> i64 {
    std::env::var("FRAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// Two streams as fast as they go, bundles of ten, two workers with a model that takes no time.
fn config(frames: i64) -> String {
    let seconds = frames / 2 / 25;
    format!(
        r#"
        data = "data"

        [streams.gate]
        url = "scene:?seed=5&width=640&height=360&fps=25&seconds={seconds}"

        [streams.yard]
        url = "scene:?seed=6&width=640&height=360&fps=25&seconds={seconds}"

        [models.sleeper]
        algorithm = "sleep:0ms"
        sample = {{ every = "40ms", pick = "exact", max_frames = 10 }}

        [infer]
        instances = 1
        "#
    )
}

#[test]
fn frames_through_receiver_localstack_and_two_workers() {
    if !aws::is_wanted() {
        return;
    }
    let frames = frames();
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("the test runs where there is one");
    let proxy = Proxy::start(&endpoint).expect("the endpoint is of this machine");
    let environment = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), proxy.url())]);
    let site = Site::with(Backend::Aws, environment, &config(frames));
    proxy.reset();
    let begun = Instant::now();
    let mut workers = ["worker-1", "worker-2"]
        .map(|name| site.start_as(name, "model-inference", &["--worker", name]));
    let mut receiver = site.start("receive-video", &[]);
    let mut receiving = Duration::ZERO;
    eventually("the receiver has sent all", Duration::from_secs(540), || {
        receiving = receiver.cpu_time().unwrap_or(receiving);
        receiver.ended().ok_or_else(|| receiver.stderr())
    });
    let count = "SELECT count(*) FROM frames";
    eventually("every frame is answered", Duration::from_secs(540), || {
        match site.number(count)? {
            found if found == frames => Ok(()),
            found => Err(format!("{found} frames")),
        }
    });
    let took = begun.elapsed();
    let inferring: Duration = workers.iter().filter_map(Program::cpu_time).sum();
    site.settled(Duration::from_secs(60));
    for worker in &mut workers {
        worker.signal("TERM");
        assert!(worker.wait(Duration::from_secs(30)).success(), "{}", worker.stderr());
    }
    assert_every_object_is_answered_once(&site);
    report(frames, took, receiving, inferring, &proxy.calls());
}

#[expect(clippy::print_stdout, reason = "figures are for reading")]
fn report(
    frames: i64,
    took: Duration,
    receiving: Duration,
    inferring: Duration,
    calls: &BTreeMap<String, u64>,
) {
    let per_frame = |time: Duration| time.as_secs_f64() * 1e3 / frames as f64;
    println!("{frames} frames in {:.1} s: {:.0}/s", took.as_secs_f64(), 1e3 / per_frame(took));
    println!(
        "CPU per frame: receiver {:.2} ms, workers {:.2} ms",
        per_frame(receiving),
        per_frame(inferring)
    );
    for (call, count) in calls {
        println!("{:>8.1} {call} per 1,000 frames", *count as f64 * 1e3 / frames as f64);
    }
}
