//! A process that reads a spool and is suspended, beside the one that writes to it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::store::{Kept, visit};

/// Names the spool to the process that reads it.
const SPOOL: &str = "TEST_SUSPENDED_SPOOL";
/// Bytes that the log may have, and one transaction more.
const LONGEST_LOG: u64 = (64 << 20) + (8 << 20);
const PATIENCE: Duration = Duration::from_secs(60);

/// No test of its own: the process that is suspended, in the middle of an audit.
#[test]
fn reader() {
    let Some(spool) = std::env::var_os(SPOOL) else { return };
    let mut pending = 0;
    visit(Path::new(&spool), |kept| {
        if let Kept::Pending(_) = kept {
            pending += 1;
            if pending == 2 {
                stop_oneself();
            }
        }
    })
    .unwrap();
    println!("pending: {pending}");
}

fn stop_oneself() {
    let stop = format!("kill -s STOP {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
}

struct Reader(Child);

impl Reader {
    fn start(spool: &Path) -> Self {
        let (_, here) = module_path!().split_once("::").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{here}::reader"), "--nocapture"])
            .env(SPOOL, spool)
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The state stands behind the name, which may hold anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Lets it go on to its end; gives what it said.
    fn finish(&mut self) -> String {
        let go_on = format!("kill -s CONT {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &go_on]).status().unwrap().success());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_suspended_reader_holds_up_the_log_no_further_than_its_bound_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::new(root.path());
    let options = SpoolOptions {
        bound: 1 << 30,
        policy: SpoolPolicy::Block,
        accounts: Keep::default(),
        clock: Clock::system(),
    };
    let spool = Spool::open(&folder, &stream(), options).unwrap();
    let path = folder.spool(&stream());
    let log = || std::fs::metadata(path.with_extension("sqlite-wal")).map_or(0, |log| log.len());
    let mut books = Books::default();
    let mut commit = |seq: u64, bytes: usize| {
        let bundle = bundle_of(seq, bytes);
        let mut after = books.clone();
        after.receive(1);
        after.take(1, bundle.last_taken);
        let stored = spool.commit(&bundle, &after)?;
        assert_eq!(stored, Stored::Yes);
        books = after;
        Ok::<_, services::PortError>(())
    };
    (0..4).for_each(|seq| commit(seq, 3_000).unwrap());

    let mut reader = Reader::start(&path);
    let begun = Instant::now();
    while !reader.is_stopped() {
        assert!(begun.elapsed() < PATIENCE, "the reader does not get to its middle");
        std::thread::yield_now();
    }
    let mut stored = 4;
    let refused = loop {
        match commit(stored, 4 << 20) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(log() <= LONGEST_LOG, "{}", log());
    };
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert!(refused.to_string().contains("a process that reads it, suspended maybe"), "{refused}");
    assert!(stored > 10, "the writer went on while there was room: {stored}");

    let said = reader.finish();
    assert!(said.contains("pending: 4\n"), "what there was at its moment: {said}");
    commit(stored, 4 << 20).unwrap();
    assert!(log() < 32 << 20, "the log is cut: {}", log());
    let kept = audit(&path).unwrap();
    assert_eq!(kept.pending.len() as u64, stored + 1);
    assert_eq!(kept.accounts[0].account.taken, stored + 1);
}
