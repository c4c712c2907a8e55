//! Resources of a test's own at the endpoints that the environment names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use services::ModelName;
use services::config::{Overrides, load_place};

pub use ::aws::test_site::is_wanted;

/// The emulator of AWS, stopped in its tracks; it goes on when this is dropped.
#[derive(Debug)]
pub struct Frozen {
    pid: String,
}

impl Frozen {
    /// Freezes the instance that `localstack/run` started.
    ///
    /// # Panics
    /// When it started none.
    pub fn emulator() -> Self {
        let state = std::env::var("LOCALSTACK_STATE").expect("localstack/run names its folder");
        let pid = fs::read_to_string(Path::new(&state).join("emulator.pid"));
        let frozen = Self { pid: pid.expect("the emulator runs").trim().to_owned() };
        frozen.signal("STOP");
        frozen
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.pid);
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

/// What the names of one test's resources begin with.
pub(crate) fn unique_prefix() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("t{:x}-{:x}", since.as_micros(), std::process::id())
}

/// Makes what a configuration names, as `localstack/run resources` does for everybody.
///
/// # Panics
/// When that fails: with what it printed.
pub(crate) fn make_resources(prefix: &str, config: &Path, environment: &BTreeMap<String, String>) {
    let config = load_place(Some(config), &Overrides::default()).expect("the site's configuration");
    let models = names(config.models.keys());
    if models.is_empty() {
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in it");
    let output = Command::new(workspace.join("localstack/run"))
        .args(["resources", "--prefix", prefix, "--models", &models])
        .args(["--fifo", &names(&config.aws.fifo)])
        .args(["--max-receives", &config.queue.max_receives.to_string()])
        .envs(environment)
        .output()
        .expect("localstack/run starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn names<'a>(models: impl IntoIterator<Item = &'a ModelName>) -> String {
    models.into_iter().map(ModelName::as_str).collect::<Vec<_>>().join(",")
}
