//! A look into an embedded queue beside whoever works on it: for audit and display.

use std::path::Path;

use super::store::{self, FORMAT, QueueCounts, Table};
use crate::error::PortError;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Bodies read at a time: of a mebibyte each, at most.
const BODIES_PER_PAGE: i64 = 64;

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

    /// Shows every message, each body for the time of the call alone; one that dies or is sent again meanwhile may
    /// be shown twice, and none is missed. Blocks.
    ///
    /// A page at a time: who shows may take his time, or be suspended, and holds up no writer's log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn visit(&self, mut show: impl FnMut(Held<'_>)) -> Result<(), PortError> {
        let (mut live, mut dead) = (0, 0);
        loop {
            let before = (live, dead);
            live = self.visit_table(Table::Messages, live, |body| show(Held::Live(body)))?;
            dead = self.visit_table(Table::Dead, dead, |body| show(Held::Dead(body)))?;
            // What moved behind one of the two places is seen in the next round.
            if (live, dead) == before {
                return Ok(());
            }
        }
    }

    fn visit_table(
        &self,
        table: Table,
        mut after: i64,
        mut show: impl FnMut(&str),
    ) -> Result<i64, PortError> {
        loop {
            let mut page = Vec::new();
            let last = self.database.read("read", |transaction| {
                let keep = |body: &str| page.push(body.to_owned());
                store::bodies_after(transaction, table, after, BODIES_PER_PAGE, keep)
            })?;
            page.iter().for_each(|body| show(body));
            match last {
                Some(last) => after = last,
                None => return Ok(after),
            }
        }
    }
}
