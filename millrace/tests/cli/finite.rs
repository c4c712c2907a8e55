//! A job that ends by itself: sources end, everything is answered, the books close.

use std::process::Command;

use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};
use services::clock::Clock;
use services::queue::{Queue as _, QueueOptions, SqliteQueue};
use services::{DataFolder, ModelName};

use crate::site::Site;

/// Four seconds of the scene, asked about five times a second, without a model file.
const JOB: &str = "\
[streams.gate]
url = \"scene:?seed=3&width=320&height=192&fps=25&seconds=4\"
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\", max_frames = 3 }
";

fn number(site: &Site, sql: &str) -> u64 {
    let said = site.run(&["query", sql, "--format", "csv"]).ok();
    said.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_finite_job_answers_everything_and_ends() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    assert_eq!(number(&site, "SELECT COUNT(*) FROM frames WHERE status <> 'error'"), 20);
    let files = Command::new("find").arg(site.path("data")).args(["-name", "*.parquet"]).output();
    assert!(!files.unwrap().stdout.is_empty(), "other engines find the rows in files");

    let audit = site.run(&["audit"]).ok();
    assert!(audit.contains("received 100 = taken 20 + skipped 80"), "{audit}");
    assert!(audit.ends_with("the loss equation closes\n"), "{audit}");
    let json: serde_json::Value =
        serde_json::from_str(&site.run(&["audit", "--json"]).ok()).unwrap();
    assert_eq!(json["equations"][0]["delivered"], 20);
    assert_eq!(site.run(&["dead-letters", "list"]).ok(), "no dead letters\n");
}

#[test]
fn status_that_nobody_can_read_stops_nothing() {
    let site = Site::new(JOB);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = site.command(&["up"]).stderr(full).status().unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(number(&site, "SELECT COUNT(*) FROM frames"), 20);
}

#[test]
fn a_second_run_is_another_epoch() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    site.run(&["up"]).ok();
    assert_eq!(number(&site, "SELECT COUNT(DISTINCT epoch) FROM frames"), 2);
    assert!(site.run(&["audit"]).ok().contains("2 epochs"));
    assert_eq!(site.run(&["audit", "--epochs"]).ok().matches(", epoch ").count(), 2);
}

#[test]
fn an_account_of_many_epochs_is_named_and_a_range_that_parts_it_too() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    site.run(&["up"]).ok();
    let spool = rusqlite::Connection::open(site.path("data/spool/gate.sqlite")).unwrap();
    let first: i64 =
        spool.query_row("SELECT min(epoch) FROM accounts", (), |row| row.get(0)).unwrap();
    // As if it stood for those before as well.
    spool.execute("UPDATE accounts SET closed = 2 WHERE epoch = ?", [first]).unwrap();
    let named = format!("stream gate: the epochs up to {first}, which began at ");
    let audit = site.run(&["audit"]).ok();
    assert!(audit.contains(&format!(", 1 epoch and those up to {first}\n")), "{audit}");
    assert!(audit.contains(&named) && !audit.contains("counted whole"), "{audit}");
    let audit = site.run(&["audit", "--since", "1h"]).ok();
    assert!(audit.contains(&named) && audit.contains("it is counted whole, though"), "{audit}");
    let json = site.run(&["audit", "--since", "1h", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["folded"][0]["is_parted"], true, "{json}");
    assert_eq!(json["equations"][0]["folded"], true, "{json}");
}

#[test]
fn receiver_and_workers_can_run_one_after_the_other() {
    let site = Site::new(JOB);
    site.run(&["receive", "--stream", "gate"]).ok();
    let between: serde_json::Value =
        serde_json::from_str(&site.run(&["audit", "--json"]).ok()).unwrap();
    assert_eq!(between["equations"][0]["in_flight"], 20);
    site.run(&["up"]).ok();
    assert_eq!(number(&site, "SELECT COUNT(*) FROM frames"), 40);
    site.run(&["audit"]).ok();
}

#[tokio::test]
async fn a_message_that_nobody_can_read_is_a_dead_letter_that_can_be_replayed() {
    let site = Site::new(JOB);
    let model = ModelName::new("round").unwrap();
    let path = DataFolder::new(site.path("data")).queue(&model);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let queue = SqliteQueue::open(path, QueueOptions::default(), Clock::system()).unwrap();
    queue.send(&["{\"v\": 7}".to_owned()]).await.unwrap()[0].as_ref().unwrap();
    site.run(&["up"]).ok();

    let list = site.run(&["dead-letters", "list"]).ok();
    assert!(list.contains("version 7 is not known"), "{list}");
    let id = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(site.run(&["dead-letters", "show", &id]).ok().contains("{\"v\": 7}"));
    assert!(site.run(&["audit"]).ok().contains("1 message is no frame batch:"));

    assert_eq!(site.run(&["dead-letters", "replay", &id]).ok(), format!("replayed {id}\n"));
    assert_eq!(queue.counts().await.unwrap().ready, 1);
    let error = site.run(&["dead-letters", "replay", "other/1"]).error();
    assert!(error.contains("model \"other\" has no queue here"), "{error}");
}

#[test]
fn a_row_that_nobody_can_read_is_listed_with_its_reason() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    let buffer = rusqlite::Connection::open(site.path("data/table/buffer.sqlite")).unwrap();
    let set_aside =
        "INSERT INTO unreadable VALUES (7, 1, x'7b', 'it is no JSON', 1795262000000000)";
    buffer.execute(set_aside, ()).unwrap();
    let list = site.run(&["dead-letters", "list"]).ok();
    let line = list.lines().nth(1).unwrap().trim();
    assert!(line.starts_with("row-7 "), "{list}");
    assert!(line.ends_with("row of the table that cannot be read: it is no JSON"), "{list}");
}

#[test]
fn a_video_is_answered_without_a_configuration() {
    let site = Site::empty();
    let missing = site.run(&["run", "none.mp4", "--model", "circles"]).error();
    assert!(missing.contains("open video \"none.mp4\""), "{missing}");
}

/// A bare H.264 file of the scene, a key frame in each second of 25 pictures.
fn video(site: &Site, name: &str, pictures: u64) {
    let scene = SceneConfig { width: 320, height: 192, ..SceneConfig::default() };
    let (width, height, fps) = (scene.width, scene.height, scene.fps);
    let encoded = EncoderConfig { width, height, fps, bitrate: 200_000, key_interval: 25 };
    let mut encoder = Encoder::new(encoded).unwrap();
    let scene = Scene::new(scene).unwrap();
    let unit = |n| encoder.encode(&scene.render(n).picture, n == 0).unwrap().data.to_vec();
    std::fs::write(site.path(name), (0..pictures).flat_map(unit).collect::<Vec<u8>>()).unwrap();
}

const SEEN: &str = "SELECT COUNT(DISTINCT frame_id) AS frames FROM detections";

#[test]
fn a_video_is_asked_about_and_it_is_said_how_much_of_it() {
    let site = Site::empty();
    video(&site, "clip.h264", 75);
    let ask = ["run", "clip.h264", "--model", "circles", "--data", "d", "--format", "csv"];
    let said = site.run(&ask);
    assert!(said.err.contains("asked about 3 of 75 pictures: key frames alone"), "{said:?}");
    let first = said.ok();
    assert_eq!(first.lines().next().unwrap(), "label,detections,frames,score");
    // The same again gives the same answer, not twice as much.
    assert_eq!(site.run(&ask).ok(), first);

    let error = site.run(&[&ask[..], &["--sql", SEEN]].concat()).error();
    assert!(error.contains("holds the answers of earlier runs"), "{error}");
}

#[test]
fn a_question_that_cannot_be_asked_is_refused_before_the_run() {
    let site = Site::empty();
    video(&site, "clip.h264", 25);
    let ask = ["run", "clip.h264", "--model", "circles", "--data", "d", "--sql", "SELECT nothing"];
    let error = site.run(&ask).error();
    assert!(error.contains("--sql") && error.contains("nothing"), "{error}");
    assert!(!site.path("d/spool").exists(), "it ran");
}

#[test]
fn a_recording_that_breaks_off_gives_what_it_has_and_its_error_once() {
    let site = Site::empty();
    video(&site, "clip.h264", 75);
    // What follows is no video: an access unit without an end.
    let mut file = std::fs::OpenOptions::new().append(true).open(site.path("clip.h264")).unwrap();
    std::io::Write::write_all(&mut file, &[&[0, 0, 1, 0x41][..], &[0x55; 18 << 20]].concat())
        .unwrap();
    let ask = ["run", "clip.h264", "--model", "circles", "--sql", SEEN, "--format", "csv"];
    let said = site.run(&ask);
    assert_eq!(said.out, "frames\n3\n", "{said:?}");
    let error = said.error();
    assert_eq!(error.matches("read file").count(), 1, "{error}");
}
