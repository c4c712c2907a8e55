//! A folder with a configuration file and a data folder, as a user would have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Program, program};

/// A folder of its own for one test, removed with it unless the test fails.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
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
    /// Makes a site whose `millrace.toml` is `config`; its data folder is `data`.
    pub fn new(config: &str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("millrace-e2e-").tempdir().expect("a temp dir");
        let site = Self { folder };
        site.configure(config);
        site
    }

    /// Replaces the configuration.
    pub fn configure(&self, config: &str) {
        fs::write(self.config(), config).expect("the site is writable");
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
        let mut command = Command::new(program(name));
        command.args(args).arg("-c").arg(self.config()).current_dir(self.path());
        Program::start(label, self.path(), &mut command)
    }

    /// Runs `millrace` with `args` and `-c millrace.toml` to its end.
    pub fn millrace(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program("millrace"));
        command.args(args).arg("-c").arg(self.config()).current_dir(self.path());
        command.output().expect("millrace starts")
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

/// Says on standard error why a test does not run.
#[expect(clippy::print_stderr, reason = "the one place where tests say that they are skipped")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
