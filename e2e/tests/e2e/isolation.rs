//! Promise 4: one bad camera delays no other beyond a stated bound.

use std::time::Duration;

use e2e::{Backend, Site, eventually, on_every_backend};

use crate::camera::fake_camera;

/// The healthy camera's frames that each half of the test looks at; the 99th percentile is the second worst.
const FRAMES: i64 = 101;

fn config(base: &str, streams: &[&str]) -> String {
    let mut text = String::from(
        r#"
        data = "data"

        [models.sleeper]
        algorithm = "sleep:200ms"
        sample = { every = "400ms", pick = "exact", max_frames = 1 }

        [infer]
        instances = 4

        [receive]
        backoff_min = "200ms"
        backoff_max = "1s"
        "#,
    );
    for stream in streams {
        text += &format!("\n[streams.{stream}]\nurl = \"{base}/{stream}\"\nsilence = \"2s\"\n");
    }
    text
}

/// The 99th percentile of the healthy camera's latency, once `FRAMES` of its frames are answered.
fn healthy_p99(site: &Site, config: &str) -> i64 {
    site.configure(config);
    let mut up = site.start("millrace", &["up"]);
    let count = "SELECT count(*) FROM frames WHERE stream = 'healthy' AND status <> 'error'";
    let before = site.number(count).unwrap_or(0);
    eventually("the healthy camera is answered", Duration::from_secs(90), || {
        let frames = site.number(count)? - before;
        if frames >= FRAMES { Ok(()) } else { Err(format!("{frames} frames; {}", up.stderr())) }
    });
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
    let latest = format!(
        "SELECT latency_ms FROM frames WHERE stream = 'healthy' AND status <> 'error' \
         ORDER BY captured_at DESC LIMIT {FRAMES}"
    );
    let rows = site.query(&latest).expect("the table can be read");
    let mut latencies: Vec<i64> =
        rows.iter().filter_map(|row| row["latency_ms"].as_i64()).collect();
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

on_every_backend!(three_sick_cameras_cost_the_healthy_one_nothing);

fn three_sick_cameras_cost_the_healthy_one_nothing(backend: Backend) {
    let site = Site::on(backend, "");
    let scene = |name: &str, seed: u32| format!("{name}=scene:seed={seed},size=640x360,fps=25");
    let mounts =
        [scene("healthy", 1), scene("frozen", 2), scene("closing", 3), scene("damaged", 4)];
    let mut args: Vec<&str> = mounts.iter().flat_map(|mount| ["--mount", mount.as_str()]).collect();
    args.extend(["--fault", "frozen=freeze"]);
    args.extend(["--fault", "closing=close:every_seconds=3"]);
    args.extend(["--fault", "damaged=corrupt:rate=0.2"]);
    let (_camera, base) = fake_camera(&site, &args);

    let alone = healthy_p99(&site, &config(&base, &["healthy"]));
    let together = healthy_p99(&site, &config(&base, &["healthy", "frozen", "closing", "damaged"]));
    // LocalStack answers all cameras' calls on one core: there latency would be its own.
    if backend == Backend::Embedded {
        assert!(together <= 2 * alone, "p99 {together} ms with sick cameras, {alone} ms alone");
    }

    // Nothing lost: the healthy camera was never reconnected, and its frames are a grid without a hole.
    let gaps = site.number(
        "SELECT count(*) FROM (SELECT media_time - lag(media_time) OVER \
         (PARTITION BY epoch ORDER BY media_time) AS step FROM frames WHERE stream = 'healthy') \
         WHERE step > 90000 * 4 / 10 * 3 / 2",
    );
    assert_eq!(gaps, Ok(0), "the healthy camera's frames have holes");
    assert_eq!(
        site.number("SELECT count(DISTINCT epoch) FROM frames WHERE stream = 'healthy'"),
        Ok(2),
        "one connection a run"
    );
    let epochs = site.number("SELECT count(DISTINCT epoch) FROM frames WHERE stream = 'closing'");
    assert!(epochs.clone().is_ok_and(|epochs| epochs >= 2), "it reconnects: {epochs:?}");
    site.closes();
}
