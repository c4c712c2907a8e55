//! The programs of the workspace as child processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::eventually;

/// The path of one of the workspace's programs, beside this test's own.
///
/// # Panics
/// When it is not built: `make test` builds all programs first.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --workspace`", path.display());
    path
}

/// A running program, killed when dropped; its output is in files.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Program {
    /// Starts `command` with its output in `folder`, as `NAME.out` and `NAME.err` (appended to).
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let [stdout, stderr] = ["out", "err"].map(|end| folder.join(format!("{name}.{end}")));
        let append = |path: &Path| {
            File::options().create(true).append(true).open(path).expect("the folder is writable")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in MiB.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says so");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") / 1_024
    }

    /// The CPU time that it has used; none when it has ended.
    pub fn cpu_time(&self) -> Option<Duration> {
        /// Clock ticks in a second, in the numbers of proc(5): Linux says 100 to all programs.
        const HZ: u64 = 100;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // After the name, which may hold blanks: the 14th and 15th fields are user and system time.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
        Some(Duration::from_millis((user + system) * 1_000 / HZ)).filter(|time| !time.is_zero())
    }

    /// Everything it wrote to standard output, earlier processes of the same name and folder included.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Everything it wrote to standard error, earlier processes of the same name and folder included.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Sends a signal by name, `TERM` or `INT`.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.pid());
        let status =
            Command::new("sh").args(["-c", &kill]).status().expect("sh is on every machine");
        assert!(status.success(), "signal {signal} to {}", self.name);
    }

    /// Tells whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When `deadline` passes first: with what it last wrote.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, deadline, || self.ended().ok_or_else(|| tail(&self.stderr())))
    }

    /// Waits until its standard error has a line that contains `text`.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) {
        eventually(&format!("{} logs {text:?}", self.name), deadline, || {
            let log = self.stderr();
            if log.contains(text) { Ok(()) } else { Err(tail(&log)) }
        });
    }

    /// Waits until its standard output has a line that starts with `prefix`, and gives the rest of that line.
    pub fn wait_for_line(&self, prefix: &str, deadline: Duration) -> String {
        eventually(&format!("{} prints {prefix:?}", self.name), deadline, || {
            let found = self.stdout();
            let line = found.lines().find_map(|line| line.strip_prefix(prefix));
            line.map(str::to_owned).ok_or_else(|| tail(&(found.clone() + &self.stderr())))
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
