//! Objects that are removed because they are old, or too many, and what is not damaged by that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use services::clock::Clock;
use services::queue::{DeadLetters as _, Queue as _, QueueOptions, SqliteQueue};
use services::{DataFolder, ModelName};

use crate::running::{Running, eventually, get};
use crate::site::Site;

/// A hundred frames, in fifty bundles.
const JOB: &str = "\
[streams.gate]
url = \"scene:?seed=3&width=640&height=384&fps=25&seconds=4\"
[models.round]
algorithm = \"circles\"
sample = { every = \"40ms\", pick = \"exact\", max_frames = 2, quality = 95 }
";
/// A file's worth of frames that goes on and on, and little room for them.
const LOOP: &str = "\
[telemetry]
listen = \"127.0.0.1:0\"
[streams.gate]
url = \"scene:?seed=4&width=320&height=192&fps=25\"
paced = true
[models.round]
algorithm = \"circles\"
sample = { every = \"1s\", pick = \"exact\", max_frames = 1 }
[retention]
objects = { bytes = \"1 MiB\" }
";
const BOUND: u64 = 1 << 20;

/// The files of objects and their lengths, oldest first.
fn objects(site: &Site) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    collect(&site.path("data/objects/frames"), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.metadata() {
            Ok(entry_is) if entry_is.is_dir() => collect(&entry.path(), found),
            Ok(file) => found.push((entry.path(), file.len())),
            Err(_) => {}
        }
    }
}

/// Lets the objects have been stored in the minutes that begin three hours ago, one in each; gives them.
fn age(site: &Site) -> Vec<(PathBuf, u64)> {
    let objects = objects(site);
    let begin = SystemTime::now() - Duration::from_secs(3 * 3_600);
    for (minute, (path, _)) in (0..).zip(&objects) {
        let time = begin + Duration::from_secs(60 * minute);
        File::open(path).unwrap().set_modified(time).unwrap();
    }
    objects
}

fn bytes<'a>(objects: impl IntoIterator<Item = &'a (PathBuf, u64)>) -> u64 {
    objects.into_iter().map(|(_, bytes)| bytes).sum()
}

/// Makes a dead letter that names an object.
async fn bury(site: &Site, object: &Path) {
    let path = DataFolder::new(site.path("data")).queue(&ModelName::new("round").unwrap());
    let queue = SqliteQueue::open(path, QueueOptions::default(), Clock::system()).unwrap();
    let key = object.strip_prefix(site.path("data/objects")).unwrap();
    let object = format!(r#"{{"bucket": "objects", "key": {key:?}, "size": 7}}"#);
    let body = format!(r#"{{"v": 7, "payload": {{"object": {object}}}}}"#);
    queue.send(&[body]).await.unwrap();
    let leased = queue.receive(1, Duration::from_secs(60), Duration::ZERO).await.unwrap();
    queue.bury(&leased[0].receipt, "it is of a version to come").await.unwrap();
}

fn removed(address: &str) -> f64 {
    let (_, page) = get(address, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("millrace_objects_removed_total{} "));
    line.map_or(0.0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_folder_of_objects_stays_within_its_bytes_and_the_audit_closes() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    let aged = age(&site);
    assert!(bytes(&aged) > 2 * BOUND, "{} bytes", bytes(&aged));
    bury(&site, &aged[0].0).await;

    fs::write(site.path("millrace.toml"), LOOP).unwrap();
    let running = Running::start(site.command(&["up", "--log-format", "json"]));
    let address = running.address();
    eventually(|| if removed(&address) > 0.0 { Ok(()) } else { Err("nothing is removed".into()) });
    let (_, ready) = get(&address, "/readyz");
    assert!(ready.contains("\"retention\":{\"objects\":\""), "{ready}");
    let (ended, said) = running.terminate();
    assert!(ended.success(), "{said:?}");
    let event = said.iter().find(|line| line.contains("removed old objects"));
    assert!(event.is_some_and(|line| line.contains("\"removed_bytes\":")), "{said:?}");

    let left: Vec<(PathBuf, u64)> =
        objects(&site).into_iter().filter(|object| aged.contains(object)).collect();
    assert!(bytes(&left) <= BOUND, "{} bytes", bytes(&left));
    assert_eq!(left[0], aged[0], "the dead letter names it");
    assert_eq!(left[1..], aged[aged.len() - left.len() + 1..], "the youngest");
    let room = BOUND - bytes(&left);
    assert!(room < bytes(&aged) / 10, "{room} bytes more might have been kept");

    let audit = site.run(&["audit"]).ok();
    assert!(audit.contains("the loss equation closes\nobjects stored before 20"), "{audit}");
    let json: serde_json::Value =
        serde_json::from_str(&site.run(&["audit", "--json"]).ok()).unwrap();
    assert_eq!(json["removed"][0]["kind"], "objects");
}

#[test]
fn a_kill_while_objects_are_removed_is_no_damage() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    let aged = age(&site);
    let config = LOOP.replace("bytes = \"1 MiB\"", "age = \"1h\"");
    fs::write(site.path("millrace.toml"), config).unwrap();
    let running = Running::start(site.command(&["up", "--log-format", "json"]));
    let boundary = site.path("data/objects/~retention.json");
    eventually(|| if boundary.exists() { Ok(()) } else { Err("no boundary yet".into()) });
    // Killed.
    drop(running);

    let running = Running::start(site.command(&["up", "--log-format", "json"]));
    let gone = |path: &Path| if path.exists() { Err(format!("{path:?}")) } else { Ok(()) };
    let address = running.address();
    // All may have been gone before: it plays when it is ready, and listens for signals.
    eventually(|| match get(&address, "/readyz") {
        (200, _) => Ok(()),
        (_, why) => Err(why),
    });
    eventually(|| aged.iter().try_for_each(|(path, _)| gone(path)));
    let (ended, said) = running.terminate();
    assert!(ended.success(), "{said:?}");
    site.run(&["audit"]).ok();
}
