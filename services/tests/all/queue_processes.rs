//! One queue file, several processes, any of them killed at any moment: what was accepted is never lost.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use services::Clock;
use services::queue::{MAX_BATCH_ENTRIES, Queue as _, QueueOptions, SqliteQueue};

const TEST: &str = "queue_processes::what_was_accepted_survives_kills_of_any_process";
/// `sender` or `worker`, the queue's folder, and a number that no other process has.
const ROLE: &str = "QUEUE_PROCESS_ROLE";
const SENDERS: usize = 2;
const WORKERS: usize = 3;
const KILLS: usize = 30;
const LEASE: Duration = Duration::from_millis(250);
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn what_was_accepted_survives_kills_of_any_process() {
    if let Ok(role) = std::env::var(ROLE) {
        let [kind, number, folder] = role.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{ROLE} is {role:?}");
        };
        return work_until_killed(kind, number, Path::new(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site { folder: folder.path().to_owned(), started: 0 };
    let mut random = StdRng::seed_from_u64(7);
    let kinds = ["sender"; SENDERS].into_iter().chain(["worker"; WORKERS]);
    let mut children: Vec<_> = kinds.map(|kind| (kind, site.start(kind))).collect();

    for _ in 0..KILLS {
        let more = site.lines("accepted").len() + random.random_range(1..80);
        eventually("messages are accepted", || site.lines("accepted").len() >= more);
        let (kind, victim) = children.swap_remove(random.random_range(0..children.len()));
        victim.kill();
        children.push((kind, site.start(kind)));
    }
    children.retain(|(kind, _)| *kind == "worker");
    let accepted = site.lines("accepted");
    eventually("the workers empty the queue", || site.is_empty());
    drop(children);

    let received = site.lines("received");
    let lost: Vec<_> = accepted.difference(&received).collect();
    assert!(lost.is_empty(), "{} of {} messages are lost: {lost:?}", lost.len(), accepted.len());
    assert_eq!(site.lines("again"), BTreeSet::new(), "acknowledged, and received again");
}

fn work_until_killed(kind: &str, number: &str, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let queue = open(folder);
    runtime.block_on(async {
        match kind {
            "sender" => send(&queue, number, folder).await,
            _ => receive(&queue, number, folder).await,
        }
    });
}

async fn send(queue: &SqliteQueue, number: &str, folder: &Path) {
    let mut accepted = log(folder, "accepted", number);
    for batch in 0.. {
        let count = 1 + batch % MAX_BATCH_ENTRIES;
        let bodies: Vec<_> = (0..count).map(|n| format!("{number}-{batch}-{n}")).collect();
        queue.send(&bodies).await.unwrap();
        note(&mut accepted, &bodies.join("\n"));
    }
}

async fn receive(queue: &SqliteQueue, number: &str, folder: &Path) {
    let (mut received, mut again) = (log(folder, "received", number), log(folder, "again", number));
    let mut done = BTreeSet::new();
    loop {
        let messages = queue.receive(MAX_BATCH_ENTRIES, LEASE, DEADLINE).await.unwrap();
        for message in &messages {
            let log = if done.contains(&message.body) { &mut again } else { &mut received };
            note(log, &message.body);
        }
        if messages.is_empty() {
            continue;
        }
        let receipts: Vec<_> = messages.iter().map(|got| got.receipt.clone()).collect();
        let outcomes = queue.acknowledge(&receipts).await.unwrap();
        let gone = messages.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
        done.extend(gone.map(|(message, _)| message.body));
    }
}

fn open(folder: &Path) -> SqliteQueue {
    let options = QueueOptions { max_receives: 1_000, ..QueueOptions::default() };
    SqliteQueue::open(folder.join("queue/shapes.sqlite"), options, Clock::system()).unwrap()
}

/// A file of lines that one process adds to.
fn log(folder: &Path, what: &str, number: &str) -> File {
    let path = folder.join(format!("{what}-{number}"));
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Adds lines in one call of the system, so that a kill leaves no part of one.
fn note(log: &mut File, lines: &str) {
    log.write_all(format!("{lines}\n").as_bytes()).unwrap();
}

/// A process that ends with this value at the latest.
struct Running(Child);

impl Running {
    fn kill(mut self) {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none(), "a process ended by itself: {ended:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Site {
    folder: PathBuf,
    started: usize,
}

impl Site {
    fn start(&mut self, kind: &str) -> Running {
        self.started += 1;
        let child = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(ROLE, format!("{kind} {} {}", self.started, self.folder.display()))
            .stdout(Stdio::null())
            .spawn();
        Running(child.unwrap())
    }

    /// The lines that all processes wrote into their logs of one kind.
    fn lines(&self, what: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let is_log = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(what);
        let texts = entries.filter(is_log).map(|path| std::fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn is_empty(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let counts = runtime.block_on(open(&self.folder).counts()).unwrap();
        assert_eq!(counts.dead, 0);
        counts.ready + counts.leased == 0
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
