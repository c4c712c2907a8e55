//! A stop is over in time: what is in work is finished or given back, and a second signal waits for nothing.

use std::time::{Duration, Instant};

use e2e::{Backend, Program, Site, eventually, on_every_backend};

/// From the first signal to the end, before a container's engine kills it.
const STOP: Duration = Duration::from_secs(25);

/// A model that takes longer than any stop may.
const CONFIG: &str = r#"
    data = "data"

    [streams.gate]
    url = "scene:?seed=5&width=320&height=192&fps=25"
    paced = true

    [models.sleeper]
    algorithm = "sleep:60s"
    sample = { every = "200ms", pick = "exact", max_frames = 1 }

    [infer]
    instances = 1
    lease = "5m"
"#;

on_every_backend!(
    work_that_takes_too_long_is_given_back_within_25_seconds,
    a_second_signal_waits_for_nothing,
);

/// Starts everything, and waits until the model runs.
fn start(site: &Site) -> Program {
    let up = site.start("millrace", &["--log", "info,model_inference=debug", "up"]);
    up.wait_for_log("a run begins", Duration::from_secs(60));
    up
}

fn work_that_takes_too_long_is_given_back_within_25_seconds(backend: Backend) {
    let site = Site::on(backend, CONFIG);
    let mut up = start(&site);
    let asked = Instant::now();
    up.signal("TERM");
    let status = up.wait(STOP * 2);
    let took = asked.elapsed();
    assert!(took < STOP, "{took:?}: {}", up.stderr());
    assert!(status.success(), "{status}: {}", up.stderr());
    let depth = site.store().depth("sleeper");
    assert!(depth.ready > 0 && depth.leased == 0 && depth.dead == 0, "{depth:?}");
    site.closes();
}

fn a_second_signal_waits_for_nothing(backend: Backend) {
    let site = Site::on(backend, CONFIG);
    let mut up = start(&site);
    up.signal("TERM");
    up.wait_for_log("draining", Duration::from_secs(10));
    let asked = Instant::now();
    let ended = eventually("a later signal ends it", Duration::from_secs(10), || {
        let ended = up.ended();
        if ended.is_none() {
            up.signal("TERM");
        }
        ended.ok_or_else(|| up.stderr())
    });
    assert_eq!(ended.code(), Some(130), "{}", up.stderr());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: {}", up.stderr());
}
