//! A folder with a configuration file and a data folder, as a user would have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Backend, Program, Store, aws, eventually, program};

/// A folder of its own for one test, removed with it unless the test fails; on AWS also a bucket, queues and a
/// delivery stream of its own.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    backend: Backend,
    /// What the names on AWS begin with.
    prefix: String,
    /// Variables that its programs see besides this process's own.
    environment: BTreeMap<String, String>,
}

impl Drop for Site {
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a failure wants to look at what is left"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("left for a look: {}", self.folder.path().display());
        }
    }
}

impl Site {
    /// Makes a site on the embedded backend whose `millrace.toml` is `config`; its data folder is `data`.
    pub fn new(config: &str) -> Self {
        Self::on(Backend::Embedded, config)
    }

    /// Makes a site on a backend.
    pub fn on(backend: Backend, config: &str) -> Self {
        Self::with(backend, BTreeMap::new(), config)
    }

    /// Makes a site whose programs see variables besides this process's own.
    pub fn with(backend: Backend, environment: BTreeMap<String, String>, config: &str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("millrace-e2e-").tempdir().expect("a temp dir");
        let prefix = aws::unique_prefix();
        let site = Self { folder, backend, prefix, environment };
        site.configure(config);
        site
    }

    /// Replaces the configuration; on AWS, with the lines that say so, and makes what it names. An `[aws]` table is
    /// its last.
    pub fn configure(&self, config: &str) {
        let config = match self.backend {
            Backend::Embedded => config.to_owned(),
            Backend::Aws => {
                let prefix = &self.prefix;
                let table = if config.contains("[aws]") { "" } else { "[aws]\n" };
                format!("backend = \"aws\"\n{config}\n{table}prefix = \"{prefix}\"\n")
            }
        };
        fs::write(self.config(), config).expect("the site is writable");
        if self.backend == Backend::Aws {
            aws::make_resources(&self.prefix, &self.config(), &self.environment);
        }
    }

    /// The site's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path().join("millrace.toml")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Starts a program with `-c millrace.toml` after `args`; its output is in the site's folder.
    pub fn start(&self, name: &str, args: &[&str]) -> Program {
        self.start_as(name, name, args)
    }

    /// Starts a program whose output files are called `label`.
    pub fn start_as(&self, label: &str, name: &str, args: &[&str]) -> Program {
        Program::start(label, self.path(), &mut self.command(name, args))
    }

    /// Runs `millrace` with `args` and `-c millrace.toml` to its end.
    pub fn millrace(&self, args: &[&str]) -> Output {
        self.command("millrace", args).output().expect("millrace starts")
    }

    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.args(args).arg("-c").arg(self.config()).current_dir(self.path());
        command.envs(&self.environment);
        command
    }

    /// The rows that `millrace query` gives, as JSON objects.
    ///
    /// # Errors
    /// With what it printed, when it fails.
    pub fn query(&self, sql: &str) -> Result<Vec<Value>, String> {
        let output = self.millrace(&["query", sql, "--format", "json"]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// The first column of the first row, as a number.
    ///
    /// # Errors
    /// When the query fails, or gives something else.
    pub fn number(&self, sql: &str) -> Result<i64, String> {
        let rows = self.query(sql)?;
        let first = rows.first().and_then(|row| row.as_object()?.values().next()?.as_i64());
        first.ok_or_else(|| format!("no number in {rows:?}"))
    }

    /// Runs `millrace audit` and tells whether every equation closes, with what it printed.
    pub fn audit(&self) -> (bool, String) {
        let output = self.millrace(&["audit"]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until the loss equation closes: on AWS the last rows may still be on their way into the table.
    ///
    /// # Panics
    /// When it does not within a minute: with what the audit said last.
    pub fn closes(&self) {
        eventually("the loss equation closes", Duration::from_secs(60), || match self.audit() {
            (true, _) => Ok(()),
            (false, text) => Err(text),
        });
    }

    /// Waits until every frame that was taken is answered, shed or dead, and the loss equation says so.
    ///
    /// # Panics
    /// When the number of frames in flight has not fallen for `patience`: with what the audit said last.
    pub fn settled(&self, patience: Duration) {
        let (mut fewest, mut since) = (u64::MAX, Instant::now());
        loop {
            let output = self.millrace(&["audit", "--json"]);
            match in_flight(&output.stdout) {
                Some(0) if output.status.success() => return,
                Some(frames) if frames < fewest => (fewest, since) = (frames, Instant::now()),
                _ => {}
            }
            assert!(since.elapsed() < patience, "no answer for {patience:?}: {}", self.audit().1);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the site's programs store in and send to, for a test that looks or adds something: by the ports, so
    /// that it is the same on every backend.
    pub fn store(&self) -> Store {
        Store::open(&self.config())
    }
}

/// The frames in flight, all equations of an audit together.
fn in_flight(audit: &[u8]) -> Option<u64> {
    let audit: Value = serde_json::from_slice(audit).ok()?;
    audit["equations"].as_array()?.iter().map(|equation| equation["in_flight"].as_u64()).sum()
}

/// A file of `../shared/media`, beside the workspace.
pub fn shared_media(name: &str) -> Option<PathBuf> {
    shared(&Path::new("media").join(name))
}

/// A script of `../shared/tools`, beside the workspace.
pub fn shared_tool(name: &str) -> Option<PathBuf> {
    shared(&Path::new("tools").join(name))
}

fn shared(path: &Path) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let found = workspace.parent()?.join("shared").join(path);
    found.is_file().then_some(found)
}

/// Tells whether a variable, `SKIP_…=1`, leaves a test out; says so.
pub fn is_left_out(variable: &str) -> bool {
    let is_left_out = std::env::var(variable).is_ok_and(|skip| skip == "1");
    if is_left_out {
        skipped(&format!("{variable}=1"));
    }
    is_left_out
}

/// Says on standard error why a test does not run.
#[expect(clippy::print_stderr, reason = "the one place where tests say that they are skipped")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
