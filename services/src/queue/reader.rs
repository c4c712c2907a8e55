//! A look into an embedded queue beside whoever works on it: for audit and display.

use std::path::Path;

use super::store::{self, FORMAT, QueueCounts};
use crate::error::PortError;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// A message that a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// It waits or is leased, with this body.
    Live(&'a str),
    /// It is a dead letter, with this body.
    Dead(&'a str),
}

/// A queue's file, open for reading only.
#[derive(Debug)]
pub struct QueueReader {
    database: Database,
}

impl QueueReader {
    /// Opens the queue in the file `path`. Blocks.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Corrupt` when it is damaged or something else. The file is named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PortError> {
        Ok(Self { database: Database::open_read_only(path.as_ref(), &FORMAT)? })
    }

    /// Tells how much the queue holds. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn counts(&self, now: CaptureTime) -> Result<QueueCounts, PortError> {
        self.database.read("count", |transaction| store::counts(transaction, now))
    }

    /// Shows every message as it was at one moment, each body for the time of the call alone. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn visit(&self, mut show: impl FnMut(Held<'_>)) -> Result<(), PortError> {
        self.database.read("read", |transaction| {
            let mut select = transaction
                .prepare("SELECT 0, body FROM messages UNION ALL SELECT 1, body FROM dead")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let body = row.get_ref(1)?.as_str()?;
                let is_dead = row.get(0)?;
                show(if is_dead { Held::Dead(body) } else { Held::Live(body) });
            }
            Ok(())
        })
    }
}
