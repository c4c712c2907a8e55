//! File and environment and flags → checked configuration. A flag wins over a variable, a variable over the
//! file, the file over the defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::{Checked, check};
use super::decode::{decode, hide_found};
use super::error::{ConfigError, Place, Problem};
use super::fill::fill;
use super::schema::{Backend, Config};
use super::service_links::service_links;
use super::tree::Node;

/// Prefix of the variables that set keys: `MILLRACE_INFER__INSTANCES` sets `infer.instances`.
const PREFIX: &str = "MILLRACE_";

/// Variables with the prefix that are no keys: the programs read them themselves.
const NOT_KEYS: [&str; 3] = ["MILLRACE_CONFIG", "MILLRACE_LOG", "MILLRACE_LOG_FORMAT"];

/// The configuration file of a folder.
const FILE: &str = "millrace.toml";

/// Keys that flags of the command line set.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    entries: Vec<(String, Vec<String>, String)>,
}

impl Overrides {
    /// Sets the key at `path` to `value`, because of `flag` (as errors shall name it: `--data`).
    pub fn set(&mut self, flag: &str, path: &[&str], value: impl Into<String>) -> &mut Self {
        let path = path.iter().map(|&piece| piece.to_owned()).collect();
        self.entries.push((flag.to_owned(), path, value.into()));
        self
    }
}

/// The configuration file: the one that is named, or the working folder's `millrace.toml` if it has one.
pub fn find_file(named: Option<&Path>) -> Option<PathBuf> {
    let own = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
    named.map(Path::to_owned).or_else(own)
}

/// Loads the configuration from a file (defaults alone without one), this process's environment, and flags.
///
/// Relative paths in the file (`data`, `models.*.path`, `models.*.manifest`, `file:` URLs) are relative to the
/// file's folder; those of variables and flags to the working folder.
///
/// # Errors
/// Names the place, the key, what was found and what was wanted; never a secret.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    load_keys(file, overrides, |_| true, check)
}

pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|error| {
        ConfigError::new(Place::File(file.to_owned()), Vec::new(), Problem::Unreadable(error))
    })
}

/// Does what [`load`] does with a text (and the name of its file) and an environment already read.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: Option<(&str, &Path)>,
    environment: &BTreeMap<String, String>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    parse_keys(text, environment, overrides, |_| true, check)
}

/// Loads where the data is and no more (`data` and `backend`; on AWS also `aws`, `models` and `queue`, for the
/// queues), for programs that only look at it: they need no variable that a password is filled from, and do not mind
/// mistakes elsewhere in the file.
///
/// # Errors
/// As [`load`], for what concerns these keys.
pub fn load_place(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let load_only =
        |keys: &[&str]| load_keys(file, overrides, |key| keys.contains(&key), |_| Ok(()));
    let config = load_only(&["data", "backend"])?;
    match config.backend {
        Backend::Embedded => Ok(config),
        Backend::Aws => load_only(&["data", "backend", "aws", "models", "queue"]),
    }
}

/// Loads everything but the streams, for programs that never ask a camera: they need no variable that a password is
/// filled from.
///
/// # Errors
/// As [`load`], for what does not concern the streams.
pub fn load_without_streams(
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    load_keys(file, overrides, |key| key != "streams", check)
}

/// Loads the keys that are wanted, and checks them together.
fn load_keys(
    file: Option<&Path>,
    overrides: &Overrides,
    is_wanted: impl Fn(&str) -> bool,
    check: impl Fn(&Config) -> Checked,
) -> Result<Config, ConfigError> {
    let text = file.map(|file| Ok((read(file)?, file))).transpose()?;
    let text = text.as_ref().map(|(text, file)| (text.as_str(), *file));
    parse_keys(text, &environment(), overrides, is_wanted, check)
}

fn parse_keys(
    text: Option<(&str, &Path)>,
    environment: &BTreeMap<String, String>,
    overrides: &Overrides,
    is_wanted: impl Fn(&str) -> bool,
    check: impl Fn(&Config) -> Checked,
) -> Result<Config, ConfigError> {
    let mut tree = match text {
        Some((text, file)) => Node::parse(text, file)?,
        None => Node::empty(Place::Program),
    };
    tree.keep_only(&is_wanted);
    fill(&mut tree, &mut Vec::new(), environment)?;
    lay_over(&mut tree, environment, overrides);
    tree.keep_only(&is_wanted);
    tree.hide_secrets();
    settle_by(&tree, text.map(|(_, file)| file), check)
}

/// Gives a tree its types, and checks what they mean together.
pub(super) fn settle(tree: &Node, file: Option<&Path>) -> Result<Config, ConfigError> {
    settle_by(tree, file, check)
}

fn settle_by(
    tree: &Node,
    file: Option<&Path>,
    check: impl Fn(&Config) -> Checked,
) -> Result<Config, ConfigError> {
    let mut config: Config = decode(tree)?;
    check(&config).map_err(|(path, problem)| {
        let hidden = tree.get(&path).and_then(|node| node.hidden.as_ref());
        ConfigError::new(tree.place_of(&path).clone(), path, hide_found(problem, hidden))
    })?;
    if let Some(file) = file {
        resolve_paths(&mut config, tree, file.parent().unwrap_or(Path::new("")));
    }
    Ok(config)
}

/// JSON Schema of the configuration file.
pub fn schema_json() -> String {
    let schema = schemars::schema_for!(Config);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")
}

/// The environment's variables that are text; others cannot be keys or fill strings.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(super) fn lay_over(
    tree: &mut Node,
    environment: &BTreeMap<String, String>,
    overrides: &Overrides,
) {
    let links = service_links(environment);
    for (service, variables) in &links {
        if variables.iter().any(|variable| variable.starts_with(PREFIX)) {
            tracing::warn!(
                ?variables,
                "variables that tell of the Kubernetes service {service} set no key; \
                 `enableServiceLinks: false` keeps them away"
            );
        }
    }
    let is_link = |variable: &str| links.values().any(|variables| variables.contains(variable));
    for (variable, value) in environment {
        if let Some(path) = key_path(variable).filter(|_| !is_link(variable)) {
            tree.set(&path, value, &Place::Environment(variable.clone()));
        }
    }
    for (flag, path, value) in &overrides.entries {
        tree.set(path, value, &Place::Flag(flag.clone()));
    }
}

fn key_path(variable: &str) -> Option<Vec<String>> {
    let path = variable.strip_prefix(PREFIX).filter(|_| !NOT_KEYS.contains(&variable))?;
    Some(path.split("__").map(str::to_ascii_lowercase).collect())
}

fn resolve_paths(config: &mut Config, tree: &Node, folder: &Path) {
    let in_file = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|&piece| piece.to_owned()).collect();
        !matches!(tree.place_of(&path), Place::Environment(_) | Place::Flag(_))
    };
    if in_file(&["data"]) {
        config.data = folder.join(&config.data);
    }
    for (name, model) in &mut config.models {
        let name = name.as_str();
        if let Some(path) = model.path.as_mut().filter(|_| in_file(&["models", name, "path"])) {
            *path = folder.join(&path);
        }
        if let Some(path) =
            model.manifest.as_mut().filter(|_| in_file(&["models", name, "manifest"]))
        {
            *path = folder.join(&path);
        }
    }
    for (id, stream) in &mut config.streams {
        let path = stream.url.strip_prefix("file:").filter(|path| !path.starts_with("//"));
        if let Some(path) = path.filter(|_| in_file(&["streams", id.as_str(), "url"])) {
            stream.url = format!("file:{}", folder.join(path).display());
        }
    }
}
