//! The one error of all ports: a kind the caller can act on, what was being done to what, and the cause.

use std::error::Error as StdError;
use std::fmt;

use crate::retry::WaitsFor;

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, queue or receipt named does not exist (or no longer does). Trying again is useless.
    NotFound,
    /// The caller may not do this. Trying again is useless until somebody changes the permissions.
    Denied,
    /// The request breaks a rule of the port (a key, a size, a count). Trying again is useless.
    Invalid,
    /// What lies there cannot be read as what it should be. Trying again is useless.
    Corrupt,
    /// There is no room left (disk, quota). Trying again helps once somebody makes room.
    Full,
    /// The other side is away, busy or throttling. Trying again later helps.
    Unavailable,
}

/// A failure of a port: `put object "frames/gate/…" in "/data/objects": no space left on device`.
#[derive(Debug)]
pub struct PortError {
    kind: ErrorKind,
    attempt: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Words(String),
    Source(Box<dyn StdError + Send + Sync>),
}

impl PortError {
    /// Makes an error whose cause is another error.
    ///
    /// `attempt` is verb and object, lower case, without a full stop: `put object "a/b"`.
    pub fn new(
        kind: ErrorKind,
        attempt: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, attempt: attempt.into(), cause: Cause::Source(source.into()) }
    }

    /// Makes an error whose cause is best said in words: what came and what was expected.
    pub fn because(kind: ErrorKind, attempt: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { kind, attempt: attempt.into(), cause: Cause::Words(cause.into()) }
    }

    /// Makes an error of an I/O failure, with the kind that the operating system's code asks for.
    pub fn io(attempt: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
            Io::InvalidInput | Io::InvalidFilename | Io::NotADirectory | Io::IsADirectory => {
                ErrorKind::Invalid
            }
            Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, attempt, source)
    }

    /// The same failure of another entry of the batch, which this one speaks for; its cause in words.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let words = match &self.cause {
            Cause::Words(words) => words.clone(),
            Cause::Source(source) => source.to_string(),
        };
        Self::because(self.kind, self.attempt.clone(), words)
    }

    /// Tells what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The cause, where it is another error.
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Words(_) => None,
            Cause::Source(source) => Some(source.as_ref()),
        }
    }

    /// The cause alone, in words: for whoever names the attempt in other words.
    pub fn cause_in_words(&self) -> String {
        match &self.cause {
            Cause::Words(words) => words.clone(),
            Cause::Source(source) => source.to_string(),
        }
    }

    /// Tells whether the same call may succeed later without anybody changing the request.
    pub fn is_retryable(&self) -> bool {
        WaitsFor::Time.covers(self)
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Words(words) => write!(f, "{}: {words}", self.attempt),
            Cause::Source(source) => write!(f, "{}: {source}", self.attempt),
        }
    }
}

impl StdError for PortError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Words(_) => None,
            Cause::Source(source) => source.source(),
        }
    }
}
