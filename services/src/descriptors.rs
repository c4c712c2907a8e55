//! Open files and sockets: as many as the system allows, and whether they are enough for a configuration.

use std::io;

use rlimit::Resource;

use crate::config::{Backend, Config, StreamConfig, Transport};
use crate::error::{ErrorKind, PortError};

/// What a process has open whatever it is told to do: standard streams, runtimes, folders that are synced, connections
/// to its telemetry.
const BASE: u64 = 40;
/// A SQLite file with its write-ahead log and the index of that.
const DATABASE: u64 = 3;
/// A stream beside its source: spool, lock, and the object that is being written.
const STREAM: u64 = DATABASE + 2;
/// A camera: its connection, both ends of the one behind which its bytes are bounded, and its async runtime.
const CAMERA: u64 = 3 + 3;
/// Connections to AWS for each queue: of its calls in flight, and to the store.
const CONNECTIONS: u64 = 8;

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The receiver of the configuration's streams.
    pub receiver: bool,
    /// The workers of its models.
    pub workers: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Self = Self { receiver: true, workers: true };
    /// The receiver alone; workers run elsewhere.
    pub const RECEIVER: Self = Self { receiver: true, workers: false };
    /// The workers alone; a receiver runs elsewhere.
    pub const WORKERS: Self = Self { receiver: false, workers: true };
}

/// Raises the soft limit of open files to the hard one: what most systems set is meant for programs of the last century.
/// Called first in a program.
pub fn raise() {
    // Where it cannot be raised, the check says what that means.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

/// Checks that a process in these roles may have as many files open as it needs, and says both numbers.
///
/// # Errors
/// `Denied` when it may not.
pub fn check(config: &Config, roles: Roles) -> Result<(), PortError> {
    let attempt = "count the files that may be open";
    let (allowed, _) =
        Resource::NOFILE.get().map_err(|error: io::Error| PortError::io(attempt, error))?;
    let needed = needed(config, roles);
    if needed <= allowed {
        tracing::info!(needed, allowed, "open files");
        return Ok(());
    }
    let words = format!(
        "it needs {needed} open files (streams: {}, models: {}) and may have {allowed}: raise the limit (ulimit -n, \
         LimitNOFILE= of systemd, --ulimit nofile= of a container)",
        if roles.receiver { config.streams.len() } else { 0 },
        config.models.len(),
    );
    Err(PortError::because(ErrorKind::Denied, "start", words))
}

/// The files that these roles have open all at once.
fn needed(config: &Config, roles: Roles) -> u64 {
    let streams: u64 = config.streams.values().map(|stream| STREAM + source(stream)).sum();
    let (queue, table) = match config.backend {
        Backend::Embedded => (DATABASE, DATABASE + 2),
        Backend::Aws => (CONNECTIONS, CONNECTIONS),
    };
    let models = config.models.len() as u64;
    BASE + if roles.receiver { streams } else { 0 }
        + queue * models
        + if roles.workers { table } else { 0 }
}

/// The sockets or files of a source.
fn source(stream: &StreamConfig) -> u64 {
    match stream.transport {
        _ if !stream.is_live() => 1,
        Transport::Tcp => CAMERA,
        Transport::Udp => CAMERA + 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Overrides, parse};

    fn config(cameras: usize, transport: &str) -> Config {
        let mut flags = Overrides::default();
        flags.set("test", &["models", "shapes", "algorithm"], "circles");
        for n in 0..cameras {
            let id = format!("camera-{n}");
            flags.set("test", &["streams", &id, "url"], "rtsp://camera/1");
            flags.set("test", &["streams", &id, "transport"], transport);
        }
        parse(None, &BTreeMap::new(), &flags).unwrap()
    }

    #[test]
    fn each_camera_needs_files_where_it_is_received() {
        let (receiver, workers) = (true, true);
        let needed = |cameras, transport, receiver| {
            needed(&config(cameras, transport), Roles { receiver, workers })
        };
        assert_eq!(needed(61, "tcp", receiver) - needed(60, "tcp", receiver), 11);
        assert_eq!(needed(61, "udp", receiver) - needed(60, "udp", receiver), 13);
        assert_eq!(needed(61, "tcp", false), needed(0, "tcp", false));
    }

    #[test]
    fn more_cameras_than_descriptors_are_refused_in_words() {
        raise();
        let roles = Roles { receiver: true, workers: true };
        let (allowed, hard) = Resource::NOFILE.get().unwrap();
        assert_eq!(allowed, hard);
        assert!(check(&config(1, "tcp"), roles).is_ok());
        let Ok(many) = usize::try_from(allowed) else { return };
        if many > 5_000 {
            println!("skipped: {many} files may be open, too many to describe cameras for");
            return;
        }
        let error = check(&config(many, "tcp"), roles).unwrap_err().to_string();
        assert!(error.contains(&format!("and may have {allowed}: raise the limit")));
    }
}
