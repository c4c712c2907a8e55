//! One at a time works on the table's files: whoever holds the lock file.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::PortError;

/// The right to work on the files of a table, until it is dropped or the process dies.
#[derive(Debug)]
pub(super) struct FilingLock {
    _file: File,
}

impl FilingLock {
    /// Waits for the right.
    pub(super) fn take(table: &Path) -> Result<Self, PortError> {
        let file = open(table)?;
        file.lock().map_err(|error| failed(table, error))?;
        Ok(Self { _file: file })
    }

    /// Takes the right unless somebody has it.
    pub(super) fn try_take(table: &Path) -> Result<Option<Self>, PortError> {
        let file = open(table)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(table, error)),
        }
    }
}

fn open(table: &Path) -> Result<File, PortError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path(table))
        .map_err(|error| failed(table, error))
}

fn path(table: &Path) -> PathBuf {
    table.join("filing.lock")
}

fn failed(table: &Path, error: io::Error) -> PortError {
    PortError::io(format!("lock file {:?}", path(table)), error)
}
