//! File and environment and flags → checked configuration. A flag wins over a variable, a variable over the
//! file, the file over the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
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

/// What is wrong with a variable that sets a key.
const NO_TEXT: &str = "it is not UTF-8: a path that is none has to come by its flag";

/// The configuration file of a folder.
const FILE: &str = "millrace.toml";

/// Keys that flags of the command line set.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    entries: Vec<(String, Vec<String>, String)>,
    /// Paths that no text holds.
    paths: Vec<(Vec<String>, PathBuf)>,
}

impl Overrides {
    /// Sets the key at `path` to `value`, because of `flag` (as errors shall name it: `--data`).
    pub fn set(&mut self, flag: &str, path: &[&str], value: impl Into<String>) -> &mut Self {
        let path = path.iter().map(|&piece| piece.to_owned()).collect();
        self.entries.push((flag.to_owned(), path, value.into()));
        self
    }

    /// Sets the key at `key` to a path, which need not be UTF-8.
    pub fn set_path(&mut self, flag: &str, key: &[&str], path: &Path) -> &mut Self {
        let keys = key.iter().map(|&piece| piece.to_owned()).collect();
        if path.to_str().is_none() {
            self.paths.push((keys, path.to_owned()));
        }
        self.set(flag, key, path.to_string_lossy())
    }
}

/// The configuration file: the one that is named, or the working folder's `millrace.toml` if it has one.
pub fn find_file(named: Option<&Path>) -> Option<PathBuf> {
    let own = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
    named.map(Path::to_owned).or_else(own)
}

/// Loads the configuration from a file (defaults alone without one), this process's environment, and flags.
///
/// Relative paths in the file (`data`, `streams.*.ca`, `models.*.path`, `models.*.manifest`, `file:` URLs) are relative to the
/// file's folder; those of variables and flags to the working folder.
///
/// # Errors
/// Names the place, the key, what was found and what was wanted; never a secret.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    load_keys(file, overrides, |_| true, check)
}

pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::InvalidData => Problem::Syntax("its text is not UTF-8".to_owned()),
            _ => Problem::Unreadable(error),
        };
        ConfigError::new(Place::File(file.to_owned()), Vec::new(), problem)
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
    parse_keys(text, &environment()?, overrides, is_wanted, check)
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
    settle_by(&tree, text.map(|(_, file)| file), overrides, check)
}

/// Gives a tree its types, and checks what they mean together.
pub(super) fn settle(
    tree: &Node,
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    settle_by(tree, file, overrides, check)
}

fn settle_by(
    tree: &Node,
    file: Option<&Path>,
    overrides: &Overrides,
    check: impl Fn(&Config) -> Checked,
) -> Result<Config, ConfigError> {
    let mut config: Config = decode(tree)?;
    check(&config).map_err(|(path, problem)| {
        let hidden = tree.get(&path).and_then(|node| node.hidden.as_ref());
        ConfigError::new(tree.place_of(&path).clone(), path, hide_found(problem, hidden))
    })?;
    if let Some(file) = file {
        resolve_paths(&mut config, tree, file.parent().unwrap_or(Path::new("")))?;
    }
    for (key, path) in &overrides.paths {
        if let Some(place) = path_at(&mut config, key) {
            place.clone_from(path);
        }
    }
    Ok(config)
}

/// JSON Schema of the configuration file.
pub fn schema_json() -> String {
    let schema = schemars::schema_for!(Config);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")
}

/// The variables of this process that are text; others cannot fill strings.
///
/// # Errors
/// When one that sets a key is no text.
pub(super) fn environment() -> Result<BTreeMap<String, String>, ConfigError> {
    texts(std::env::vars_os())
}

fn texts(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut texts = BTreeMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => _ = texts.insert(name, value),
            Err(_) if key_path(&name).is_some() => {
                let place = Place::Environment(name);
                return Err(ConfigError::new(place, Vec::new(), Problem::Rule(NO_TEXT.to_owned())));
            }
            Err(_) => {}
        }
    }
    Ok(texts)
}

/// The key's path in the configuration, where a path need not be UTF-8.
fn path_at<'a>(config: &'a mut Config, key: &[String]) -> Option<&'a mut PathBuf> {
    match key.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["data"] => Some(&mut config.data),
        ["streams", id, "ca"] => config.streams.get_mut(&id.parse().ok()?)?.ca.as_mut(),
        ["models", name, "path"] => config.models.get_mut(&name.parse().ok()?)?.path.as_mut(),
        ["models", name, "manifest"] => {
            config.models.get_mut(&name.parse().ok()?)?.manifest.as_mut()
        }
        _ => None,
    }
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

/// Makes the file's relative paths relative to its folder.
///
/// # Errors
/// When a URL would have to hold a folder that is not UTF-8.
fn resolve_paths(config: &mut Config, tree: &Node, folder: &Path) -> Result<(), ConfigError> {
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
        let id = id.as_str();
        if let Some(path) = stream.ca.as_mut().filter(|_| in_file(&["streams", id, "ca"])) {
            *path = folder.join(&path);
        }
        let path = stream.url.strip_prefix("file:").filter(|path| !path.starts_with("//"));
        if let Some(path) = path.filter(|_| in_file(&["streams", id, "url"])) {
            let key = ["streams", id, "url"].map(str::to_owned).to_vec();
            let joined = folder.join(path).into_os_string().into_string().map_err(|path| {
                let rule = format!("{path:?} is not UTF-8, as a URL has to be");
                ConfigError::new(tree.place_of(&key).clone(), key, Problem::Rule(rule))
            })?;
            stream.url = format!("file:{joined}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// A path in Latin 1.
    fn latin() -> &'static Path {
        Path::new(OsStr::from_bytes(b"d\xe9p\xf4t"))
    }

    #[test]
    fn a_path_that_is_not_utf_8_comes_by_its_flag_as_it_is() {
        let mut overrides = Overrides::default();
        overrides.set_path("--data", &["data"], latin());
        let config = parse(None, &BTreeMap::new(), &overrides).unwrap();
        assert_eq!(config.data, latin());
        let file = latin().join("millrace.toml");
        let config = parse(Some(("", &file)), &BTreeMap::new(), &Overrides::default()).unwrap();
        assert_eq!(config.data, latin().join("data"));
    }

    #[test]
    fn a_url_does_not_change_a_folder_that_is_not_utf_8() {
        let (file, text) = (latin().join("m.toml"), "[streams.gate]\nurl = \"file:clip.mp4\"");
        let error = parse(Some((text, &file)), &BTreeMap::new(), &Overrides::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("streams.gate.url") && error.contains("is not UTF-8"), "{error}");
    }

    #[test]
    fn a_variable_that_is_not_utf_8_is_not_left_out() {
        let variable = |name: &str| (OsString::from(name), latin().as_os_str().to_owned());
        let error = texts([variable("MILLRACE_DATA")].into_iter()).unwrap_err().to_string();
        assert!(
            error.starts_with("environment variable MILLRACE_DATA: it is not UTF-8"),
            "{error}"
        );
        assert!(texts([variable("HOME")].into_iter()).unwrap().is_empty());
    }
}
