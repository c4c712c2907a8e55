//! One receiver per stream: whoever holds the lock file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use services::{ErrorKind, PortError, StreamId};

/// The right to receive a stream, until it is dropped or the process dies.
#[derive(Debug)]
pub(super) struct StreamLock {
    _file: File,
}

impl StreamLock {
    /// Takes the right, or says who has it.
    pub(super) fn take(path: &Path, stream: &StreamId) -> Result<Self, PortError> {
        let attempt = || format!("lock stream \"{stream}\"");
        let io = |error| PortError::io(format!("{} by {path:?}", attempt()), error);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let words = format!("already received by process {}", holder(&mut file));
                return Err(PortError::because(ErrorKind::Unavailable, attempt(), words));
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        write_pid(&mut file).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
