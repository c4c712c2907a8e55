//! Promise 5: memory is bounded. Four cameras at 1080p, resident memory flat after it has settled.

use std::thread;
use std::time::Duration;

use e2e::{Backend, Site, eventually, on_every_backend};

use crate::camera::fake_camera;

/// Seconds of the run; `MEMORY_SECONDS=600` gives the figure of `docs/benchmarks.md`.
fn seconds() -> u64 {
    std::env::var("MEMORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

on_every_backend!(four_cameras_at_1080p_stay_within_their_memory);

#[expect(clippy::print_stdout, reason = "figures are for reading")]
fn four_cameras_at_1080p_stay_within_their_memory(backend: Backend) {
    let site = Site::on(backend, "");
    let mounts: Vec<String> =
        (1..=4).map(|n| format!("camera{n}=scene:seed={n},size=1920x1080,fps=25,loop=4")).collect();
    let args: Vec<&str> = mounts.iter().flat_map(|mount| ["--mount", mount.as_str()]).collect();
    let (_camera, base) = fake_camera(&site, &args);
    let mut config = String::from(
        r#"
        data = "data"
        [models.circles]
        algorithm = "circles"
        sample = { every = "1s", pick = "keyframe", max_width = 640 }
        [delivery]
        max_age = "5s"
        "#,
    );
    for n in 1..=4 {
        config += &format!("[streams.camera{n}]\nurl = \"{base}/camera{n}\"\n");
    }
    site.configure(&config);
    let mut up = site.start("millrace", &["up"]);
    eventually("every camera is answered", Duration::from_secs(60), || {
        match site.number("SELECT count(DISTINCT stream) FROM frames")? {
            4 => Ok(()),
            streams => Err(format!("{streams} cameras")),
        }
    });
    let mut samples = Vec::new();
    for _ in 0..seconds() {
        thread::sleep(Duration::from_secs(1));
        assert!(up.ended().is_none(), "{}", up.stderr());
        samples.push(up.resident_mib());
    }
    let (settled, rest) = samples.split_at(samples.len() / 3);
    let highest = |samples: &[u64]| samples.iter().copied().max().unwrap_or(0);
    let (before, after) = (highest(settled), highest(rest));
    println!("resident memory: {before} MiB in the first third, {after} MiB after");
    assert!(after <= before + before / 10 + 8, "resident memory grew: {samples:?} MiB");
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
}
