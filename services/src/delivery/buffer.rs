//! The durable buffer of the embedded delivery stream: accepted rows on their way to files.
//!
//! A row is in the buffer or in one listed file, never in both and never in neither: one transaction takes a
//! batch of rows out and lists their file. A row that cannot be read is set aside with its reason, so that it holds
//! up none behind it.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, Transaction};

use super::check;
use super::columns::Hour;
use super::list::{self, FiledPart};
use crate::error::{ErrorKind, PortError};
use crate::message::DetectionRow;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Where the buffer lies in the table's folder.
pub fn buffer_path(table: &Path) -> PathBuf {
    table.join("buffer.sqlite")
}

/// The buffered rows of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenHour {
    pub(super) hour: Hour,
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) oldest: CaptureTime,
}

/// Rows that go into one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) id: i64,
    pub(super) hour: Hour,
    /// The id of its last row.
    pub(super) last: i64,
    /// Its file's name, without the ending.
    pub(super) name: String,
}

impl Batch {
    /// The path of the batch's file within the table's folder: the same whenever it is asked.
    pub(super) fn path(&self) -> String {
        list::path_of(self.hour, &self.name)
    }
}

/// Rows of a batch that were read together.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    /// Those that can be read.
    pub(super) rows: Vec<DetectionRow>,
    /// The id of the last one, readable or not.
    pub(super) last: i64,
}

/// Accepts rows, as JSON; all or none of them.
pub(super) fn insert(
    database: &Database,
    bodies: &[String],
    now: CaptureTime,
    max_bytes: u64,
) -> Result<(), PortError> {
    let more: u64 = bodies.iter().map(|body| body.len() as u64).sum();
    let refused = database.write("put rows into", |transaction| {
        let held: i64 = transaction
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM hours")?
            .query_row([], |row| row.get(0))?;
        let held = u64::try_from(held).unwrap_or(0);
        if held.saturating_add(more) > max_bytes {
            return Ok(Some(held));
        }
        insert_all(transaction, bodies, now)?;
        Ok(None)
    })?;
    match refused {
        None => Ok(()),
        Some(held) => Err(PortError::because(
            ErrorKind::Full,
            database.attempt("put rows into"),
            format!("{held} bytes wait to be filed, at most {max_bytes} are allowed"),
        )),
    }
}

fn insert_all(
    transaction: &Transaction<'_>,
    bodies: &[String],
    now: CaptureTime,
) -> rusqlite::Result<()> {
    let mut insert = transaction
        .prepare_cached("INSERT INTO rows (accepted_at, hour, body) VALUES (?, ?, ?)")?;
    for body in bodies {
        insert.execute((now.0, Hour::of(now).0, body))?;
    }
    Ok(())
}

/// The buffered rows by hour, those of sealed batches with them.
pub(super) fn open_hours(database: &Database) -> Result<Vec<OpenHour>, PortError> {
    database.read("read", |transaction| {
        transaction
            .prepare_cached(
                "SELECT hour, rows, bytes,
                        (SELECT accepted_at FROM rows WHERE rows.hour = hours.hour ORDER BY id LIMIT 1)
                 FROM hours ORDER BY hour",
            )?
            .query_map([], |row| {
                Ok(OpenHour {
                    hour: Hour(row.get(0)?),
                    rows: row.get(1)?,
                    bytes: row.get(2)?,
                    oldest: CaptureTime(row.get(3)?),
                })
            })?
            .collect()
    })
}

/// Makes a batch of up to `max_rows` of an hour's oldest rows; which rows and which file is then fixed. The hour
/// has rows, and none of them is in a batch.
pub(super) fn seal(
    database: &Database,
    hour: Hour,
    max_rows: u32,
    now: CaptureTime,
) -> Result<(), PortError> {
    let sql = format!(
        "INSERT INTO batches (hour, last, name) SELECT ?1, max(id), {} FROM (
             SELECT id FROM rows WHERE hour = ?1 ORDER BY id LIMIT ?2)",
        list::drawn_name(now)
    );
    database.write("seal a batch of", |transaction| {
        transaction.execute(&sql, (hour.0, max_rows))?;
        Ok(())
    })
}

/// Draws another name for a batch's file.
pub(super) fn rename(
    database: &Database,
    batch: &Batch,
    now: CaptureTime,
) -> Result<(), PortError> {
    let sql = format!("UPDATE batches SET name = {} WHERE id = ?", list::drawn_name(now));
    database.write("rename a batch of", |transaction| {
        transaction.execute(&sql, [batch.id])?;
        Ok(())
    })
}

/// The oldest batch that is sealed and not yet filed.
pub(super) fn sealed(database: &Database) -> Result<Option<Batch>, PortError> {
    database.read("read", |transaction| {
        transaction
            .query_row("SELECT id, hour, last, name FROM batches ORDER BY id LIMIT 1", [], |row| {
                let (id, hour) = (row.get(0)?, Hour(row.get(1)?));
                Ok(Batch { id, hour, last: row.get(2)?, name: row.get(3)? })
            })
            .optional()
    })
}

/// Takes a batch's rows out of the buffer and lists their file, if they have one, as part of the table, in one step.
pub(super) fn settle(
    database: &Database,
    batch: &Batch,
    part: Option<&FiledPart>,
    now: CaptureTime,
) -> Result<(), PortError> {
    database.write("settle a batch of", |transaction| {
        transaction
            .execute("DELETE FROM rows WHERE hour = ? AND id <= ?", (batch.hour.0, batch.last))?;
        transaction.execute("DELETE FROM batches WHERE id = ?", [batch.id])?;
        part.map_or(Ok(()), |part| list::add(transaction, part, now))
    })
}

/// Up to `limit` of a batch's rows whose ids are above `after`; `None` when there are no more. Those that cannot be
/// read are set aside.
pub(super) fn batch_rows(
    database: &Database,
    batch: &Batch,
    after: i64,
    limit: u32,
    now: CaptureTime,
) -> Result<Option<Chunk>, PortError> {
    let bodies: Vec<(i64, Vec<u8>)> = database.read("read", |transaction| {
        transaction
            .prepare_cached(
                "SELECT id, body FROM rows WHERE hour = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
            )?
            .query_map((batch.hour.0, after, batch.last, limit), |row| {
                Ok((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec()))
            })?
            .collect()
    })?;
    let Some(&(last, _)) = bodies.last() else { return Ok(None) };
    let (mut rows, mut unreadable) = (Vec::with_capacity(bodies.len()), Vec::new());
    for (id, body) in bodies {
        match parse(&body) {
            Ok(row) => rows.push(row),
            Err(reason) => unreadable.push((id, reason)),
        }
    }
    set_aside(database, &unreadable, now)?;
    Ok(Some(Chunk { rows, last }))
}

/// Calls `with` for each buffered row that can be read, one at a time.
pub(super) fn each_row(
    database: &Database,
    mut with: impl FnMut(DetectionRow),
) -> Result<(), PortError> {
    database.read("read", |transaction| {
        let mut select = transaction.prepare("SELECT body FROM rows")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(row) = parse(row.get_ref(0)?.as_bytes()?) {
                with(row);
            }
        }
        Ok(())
    })
}

/// Reads a row as it was accepted.
///
/// # Errors
/// Why it is none.
pub(crate) fn parse(body: &[u8]) -> Result<DetectionRow, String> {
    let row: DetectionRow = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    check(&row)?;
    Ok(row)
}

/// Takes rows out of the buffer that cannot be read, and keeps them with their reasons.
fn set_aside(
    database: &Database,
    unreadable: &[(i64, String)],
    now: CaptureTime,
) -> Result<(), PortError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    for (id, reason) in unreadable {
        tracing::error!(row = id, reason, "an accepted row cannot be read, and is set aside");
    }
    database.write("set rows aside in", |transaction| {
        for (id, reason) in unreadable {
            transaction.execute(
                "INSERT OR REPLACE INTO unreadable
                 SELECT id, accepted_at, CAST(body AS BLOB), ?2, ?3 FROM rows WHERE id = ?1",
                (id, reason, now.0),
            )?;
            transaction.execute("DELETE FROM rows WHERE id = ?", [id])?;
        }
        Ok(())
    })
}
