//! Bad input while running: it ends in the error that the design asks for, and everything else goes on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Backend, Program, Site, eventually, is_left_out, on_every_backend};
use serde_json::{Value, json};

use crate::camera::{fake_camera, put_fault};

const CONFIG: &str = r#"
    data = "data"

    [streams.gate]
    url = "scene:?seed=1&width=320&height=192&fps=25"
    paced = true

    [models.circles]
    algorithm = "circles"
    sample = { every = "200ms", pick = "exact", max_frames = 1 }

    [queue]
    max_receives = 2

    [infer]
    lease = "2s"
"#;

fn answered(site: &Site) -> Result<i64, String> {
    site.number("SELECT count(*) FROM frames WHERE status <> 'error' AND stream = 'gate'")
}

/// Waits until five further frames of the healthy stream are answered: the rest of the system goes on.
fn assert_goes_on(site: &Site, up: &mut Program) {
    let before = answered(site).unwrap_or(0);
    eventually("frames are answered", Duration::from_secs(60), || {
        assert!(up.ended().is_none(), "millrace ended: {}", up.stderr());
        let now = answered(site)?;
        if now >= before + 5 { Ok(()) } else { Err(format!("{now} frames, {before} before")) }
    });
}

fn stop(mut up: Program) {
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
}

/// Stops a system of which a part could not run: it drains all the same, and its exit code and last line say so.
fn stop_with_failure(mut up: Program, named: &str) {
    up.signal("TERM");
    assert_eq!(up.wait(Duration::from_secs(30)).code(), Some(1), "{}", up.stderr());
    let log = up.stderr();
    let last = log.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("millrace: ") && last.contains(named), "{last}");
}

/// A frame batch about a frame of a stream that exists nowhere else.
fn batch(bucket: &str, stream: &str, key: &str, size: u64, len: u64) -> Value {
    json!({
        "v": 1, "stream": stream, "epoch": 1_732_164_000_000_u64, "model": "circles", "window": 1,
        "frames": [{
            "seq": 0, "media_time": 0, "captured_at": 1_732_164_000_000_000_i64, "clock": "file",
            "width": 64, "height": 64, "format": "jpeg", "offset": 0, "len": len
        }],
        "payload": {"object": {"bucket": bucket, "key": key, "size": size}},
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    })
}

/// A JPEG header that claims 65,535 × 65,535 pixels, in 1 kB.
fn giant_jpeg() -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3];
    bytes.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    bytes.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    bytes.resize(1_022, 0x55);
    bytes.extend([0xFF, 0xD9]);
    bytes
}

/// Waits until the dead letters have a reason with all of `words`.
fn assert_dead_letter(site: &Site, words: &[&str]) {
    eventually(&format!("a dead letter says {words:?}"), Duration::from_secs(60), || {
        let output = site.millrace(&["dead-letters", "list"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
        if found { Ok(()) } else { Err(text) }
    });
}

on_every_backend!(
    poisoned_messages_go_to_the_dead_letters_and_delay_nobody,
    a_model_that_cannot_be_loaded_stops_no_other,
    a_corrupt_spool_costs_its_stream_alone,
    a_second_receiver_of_a_stream_is_refused,
    a_full_disk_is_said_and_survived,
    a_camera_that_changes_resolution_is_followed,
);

fn poisoned_messages_go_to_the_dead_letters_and_delay_nobody(backend: Backend) {
    let site = Site::on(backend, CONFIG);
    let store = site.store();
    let batch = |stream: &str, size: u64, len: u64| {
        batch(store.bucket(), stream, &key(stream), size, len).to_string()
    };
    let mut up = site.start("millrace", &["up"]);
    assert_goes_on(&site, &mut up);

    store.put(&key("giant"), &giant_jpeg());
    store.put(&key("short"), &[0xFF; 100]);
    let newer = batch("newer", 10, 10).replacen("\"v\":1", "\"v\":2", 1);
    let poison = ["no JSON at all".to_owned(), newer, batch("giant", 1_024, 1_024)];
    store.send("circles", &poison);
    store.send("circles", &[batch("short", 1_000, 1_000), batch("absent", 10, 10)]);
    assert_dead_letter(&site, &["expected ident"]);
    assert_dead_letter(&site, &["version 2", "expected 1"]);
    assert_dead_letter(&site, &["giant", "65535"]);
    assert_dead_letter(&site, &["short"]);
    assert_dead_letter(&site, &["absent"]);
    for (stream, word) in [("giant", "65535"), ("short", "1000"), ("absent", "absent")] {
        assert_error_row(&site, stream, word);
    }
    assert_goes_on(&site, &mut up);

    // The object turns up, its dead letter is replayed, and the answer takes the error's place.
    let good = newest_object(&site);
    store.put(&key("present"), &good);
    let len = good.len() as u64;
    store.send("circles", &[batch("present", len + 1, len + 1)]);
    assert_dead_letter(&site, &["present"]);
    store.put(&key("present"), &[&good[..], &[0]].concat());
    let replayed = site.millrace(&["dead-letters", "replay", &dead_letter_id(&site, "present")]);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    eventually("the answer takes the error's place", Duration::from_secs(60), || {
        let sql = "SELECT count(*) FROM frames WHERE stream = 'present' AND status <> 'error'";
        if site.number(sql)? == 1 { Ok(()) } else { Err(up.stderr()) }
    });
    stop(up);
}

fn key(stream: &str) -> String {
    format!("frames/{stream}/1732164000000/0000000000-circles.jpg")
}

/// Waits until the only frame of a stream has its row, which says in `word` why there is no answer.
fn assert_error_row(site: &Site, stream: &str, word: &str) {
    let sql = format!("SELECT reason FROM frames WHERE stream = '{stream}' AND status = 'error'");
    eventually(&format!("{stream} has its error row"), Duration::from_secs(60), || {
        let rows = site.query(&sql)?;
        let reason = rows.first().and_then(|row| row["reason"].as_str()).unwrap_or_default();
        if reason.contains(word) { Ok(()) } else { Err(format!("{rows:?}")) }
    });
}

fn dead_letter_id(site: &Site, word: &str) -> String {
    let output = site.millrace(&["dead-letters", "list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(word));
    let id = line.and_then(|line| line.split_whitespace().next());
    id.unwrap_or_else(|| panic!("no dead letter says {word:?}: {text}")).to_owned()
}

fn newest_object(site: &Site) -> Bytes {
    let sql = "SELECT object_uri FROM frames WHERE stream = 'gate' AND status <> 'error' \
               ORDER BY captured_at DESC LIMIT 1";
    let rows = site.query(sql).expect("the table can be read");
    site.store().get(rows[0]["object_uri"].as_str().expect("a frame has its object"))
}

fn a_model_that_cannot_be_loaded_stops_no_other(backend: Backend) {
    let config = format!("{CONFIG}\n[models.broken]\npath = \"broken.onnx\"\n");
    let site = Site::on(backend, &config);
    fs::write(site.path().join("broken.onnx"), b"\x08\x07not a model")
        .expect("the site is writable");
    let mut up = site.start("millrace", &["up"]);
    up.wait_for_log("broken.onnx", Duration::from_secs(30));
    assert_goes_on(&site, &mut up);
    stop_with_failure(up, "broken");
}

fn a_corrupt_spool_costs_its_stream_alone(backend: Backend) {
    let second =
        "\n[streams.yard]\nurl = \"scene:?seed=2&width=320&height=192&fps=25\"\npaced = true\n";
    let site = Site::on(backend, &format!("{CONFIG}{second}"));
    let spool = site.data().join("spool/yard.sqlite");
    fs::create_dir_all(spool.parent().expect("it has one")).expect("the site is writable");
    fs::write(&spool, "this was a database once".repeat(1_000)).expect("the site is writable");
    let mut up = site.start("millrace", &["up"]);
    up.wait_for_log("yard.sqlite", Duration::from_secs(30));
    assert_goes_on(&site, &mut up);
    stop_with_failure(up, "yard");
}

fn a_second_receiver_of_a_stream_is_refused(backend: Backend) {
    let site = Site::on(backend, CONFIG);
    let mut first = site.start("millrace", &["up"]);
    assert_goes_on(&site, &mut first);
    let mut second = site.start("receive-video", &[]);
    second.wait_for_log("already received", Duration::from_secs(30));
    second.kill();
    assert_goes_on(&site, &mut first);
    stop(first);
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let options = format!("size={size}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "millrace-e2e"])
            .arg(folder)
            .output()
            .ok()?
            .status;
        status.success().then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

fn a_full_disk_is_said_and_survived(backend: Backend) {
    let site = Site::on(backend, CONFIG);
    let data = site.data();
    if is_left_out("SKIP_MOUNT") {
        return;
    }
    let _disk = SmallDisk::mount(&data, "24m")
        .expect("root may mount a small file system; SKIP_MOUNT=1 leaves this test out");
    let mut up = site.start("millrace", &["up"]);
    assert_goes_on(&site, &mut up);
    let ballast = data.join("ballast");
    let dd = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .output()
        .expect("dd is on every machine");
    assert!(!dd.status.success(), "the disk did not fill up");
    eventually("the full disk is said", Duration::from_secs(60), || {
        assert!(up.ended().is_none(), "millrace ended: {}", up.stderr());
        let log = up.stderr().to_lowercase();
        if log.contains("full") || log.contains("no space") { Ok(()) } else { Err(log) }
    });
    fs::remove_file(&ballast).expect("the ballast is ours");
    assert_goes_on(&site, &mut up);
    stop(up);
    site.closes();
}

fn a_camera_that_changes_resolution_is_followed(backend: Backend) {
    let outside = Site::new("");
    let mount = "gate=scene:seed=9,size=640x360,fps=25,gop=10";
    let (camera, base) = fake_camera(&outside, &["--mount", mount, "--control", "127.0.0.1:0"]);
    let control = camera.wait_for_line("control ", Duration::from_secs(10));
    let config =
        CONFIG.replace("scene:?seed=1&width=320&height=192&fps=25", &format!("{base}/gate"));
    let site = Site::on(backend, &config.replace("paced = true", ""));
    let mut up = site.start("millrace", &["up"]);
    assert_goes_on(&site, &mut up);
    put_fault(&control, "gate", r#"{"kind": "resolution", "width": 320, "height": 180}"#);
    eventually("frames of the new size are answered", Duration::from_secs(60), || {
        assert!(up.ended().is_none(), "millrace ended: {}", up.stderr());
        let object = newest_object(&site);
        match jpeg_size(&object) {
            Some((320, 180)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    stop(up);
}

/// Width and height from a JPEG's frame header.
fn jpeg_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let at = bytes.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2]))?;
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    Some((number(at + 7)?, number(at + 5)?))
}
