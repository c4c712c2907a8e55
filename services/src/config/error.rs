//! What is wrong in a configuration: where it stands, which key it is, what was found and what was wanted.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used: `millrace.toml:12:11: key "models.shapes.sample.quality": found
/// integer `300`, wanted 1 to 100`.
#[derive(Debug, thiserror::Error)]
#[error("{place}{}: {problem}", KeyText(.place, .key))]
pub struct ConfigError {
    place: Place,
    key: Vec<String>,
    problem: Problem,
}

impl ConfigError {
    pub(super) fn new(place: Place, key: Vec<String>, problem: Problem) -> Self {
        Self { place, key, problem }
    }

    /// Where the key stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The key's path, joined by dots; empty when the trouble is no single key's.
    pub fn key(&self) -> String {
        self.key.join(".")
    }

    /// The key's path.
    pub(super) fn path(&self) -> &[String] {
        &self.key
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// The key as it stands in a file; whoever gave a flag wrote no key.
struct KeyText<'a>(&'a Place, &'a [String]);

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Place::Flag(_), _) | Self(_, []) => Ok(()),
            Self(_, key) => write!(f, ": key {:?}", key.join(".")),
        }
    }
}

/// Where a value of the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file as a whole.
    File(PathBuf),
    /// A place in the file; lines and columns (in characters) count from 1.
    Position {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// No file: defaults, or a configuration that a program made.
    Program,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Position { file, line, column } => {
                write!(f, "{}:{line}:{column}", file.display())
            }
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Program => f.write_str("configuration"),
        }
    }
}

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("read configuration: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The text is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// One name is given to two things.
    #[error("{what} is defined twice: lines {first} and {second}")]
    Twice {
        /// What it is: `stream "gate"`.
        what: String,
        /// The line of the first.
        first: usize,
        /// The line of the second.
        second: usize,
    },
    /// There is no such key.
    #[error("unknown key; {0}")]
    Unknown(String),
    /// A key is absent that has no default.
    #[error("missing key {0:?}")]
    Missing(String),
    /// The value is not of the right kind, or beyond its bounds.
    #[error("found {found}, wanted {wanted}")]
    Wrong {
        /// What stands there; secrets and values from the environment are only named.
        found: String,
        /// What may stand there.
        wanted: String,
    },
    /// A `${NAME}` cannot be filled in.
    #[error("{0}")]
    Fill(String),
    /// Keys that do not go together, or a value that breaks another rule.
    #[error("{0}")]
    Rule(String),
}
