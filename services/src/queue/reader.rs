//! A look into an embedded queue beside whoever works on it: for audit and display.

use std::path::Path;

use super::store::{self, FORMAT, QueueCounts, Table};
use crate::error::PortError;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Messages, and dead letters, whose bodies are read at a time: of a mebibyte each, at most.
const BODIES_PER_PAGE: i64 = 32;

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
    pub fn visit(&self, show: impl FnMut(Held<'_>)) -> Result<(), PortError> {
        self.visit_beside(|| {}, show)
    }

    /// As [`visit`](Self::visit), calling `between` between the looks at messages and at dead letters.
    fn visit_beside(
        &self,
        mut between: impl FnMut(),
        mut show: impl FnMut(Held<'_>),
    ) -> Result<(), PortError> {
        let (mut live, mut dead) = (0, 0);
        loop {
            let (mut messages, mut letters) = (Vec::new(), Vec::new());
            // Of one moment, so that nothing moves from the one to the other unseen: what moves gets a later place.
            let last = self.database.read("read", |transaction| {
                let page = |table, after, bodies: &mut Vec<String>| {
                    let keep = |body: &str| bodies.push(body.to_owned());
                    store::bodies_after(transaction, table, after, BODIES_PER_PAGE, keep)
                };
                let live = page(Table::Messages, live, &mut messages)?;
                between();
                Ok((live, page(Table::Dead, dead, &mut letters)?))
            })?;
            messages.iter().for_each(|body| show(Held::Live(body)));
            letters.iter().for_each(|body| show(Held::Dead(body)));
            if last == (None, None) {
                return Ok(());
            }
            (live, dead) = (last.0.unwrap_or(live), last.1.unwrap_or(dead));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: CaptureTime = CaptureTime(1_795_262_000_000_000);

    /// A letter was replayed between the looks at the one table and the other, and nobody knew that its object is held.
    #[test]
    fn a_letter_that_is_replayed_while_the_queue_is_read_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shapes.sqlite");
        let database = Database::open(&path, &FORMAT).unwrap();
        let bury = |transaction: &rusqlite::Transaction<'_>| {
            store::send(transaction, &["body".to_owned()], NOW)?;
            store::set_aside(transaction, 1, "damaged", NOW)
        };
        database.write("bury", bury).unwrap();
        let mut is_replayed = false;
        let replay = || {
            if !std::mem::replace(&mut is_replayed, true) {
                assert!(database.write("replay", |tx| store::replay(tx, 1, NOW)).unwrap());
            }
        };
        let mut shown = Vec::new();
        let show = |held: Held<'_>| match held {
            Held::Live(body) | Held::Dead(body) => shown.push(body.to_owned()),
        };
        QueueReader::open(&path).unwrap().visit_beside(replay, show).unwrap();
        assert!(shown.iter().any(|body| body == "body"), "{shown:?}");
    }
}
