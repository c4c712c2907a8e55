//! The durable buffer of the embedded delivery stream: accepted rows on their way to files, and the list of the
//! files that are part of the table.
//!
//! A row is in the buffer or in one listed file, never in both and never in neither: one transaction takes a
//! batch of rows out and lists their file.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, Transaction};

use super::columns::{Hour, signed};
use crate::error::{ErrorKind, PortError};
use crate::message::DetectionRow;
use crate::sqlite::{Database, Format};
use crate::time::CaptureTime;

/// Where the buffer lies in the table's folder.
pub fn buffer_path(table: &Path) -> PathBuf {
    table.join("buffer.sqlite")
}

pub(super) static FORMAT: Format = Format {
    what: "table buffer",
    application_id: 0x4d52_5442, // "MRTB"
    version: 1,
    schema: "
        CREATE TABLE rows (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            accepted_at INTEGER NOT NULL, -- UTC microseconds
            hour INTEGER NOT NULL,        -- the partition: whole hours since 1970, UTC
            body TEXT NOT NULL            -- the row as JSON
        ) STRICT;
        CREATE INDEX rows_by_hour ON rows (hour);

        -- How much of each hour is here.
        CREATE TABLE hours (
            hour INTEGER PRIMARY KEY,
            rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        ) STRICT;
        CREATE TRIGGER row_in AFTER INSERT ON rows BEGIN
            INSERT INTO hours VALUES (new.hour, 1, octet_length(new.body))
            ON CONFLICT (hour) DO UPDATE SET rows = rows + 1, bytes = bytes + excluded.bytes;
        END;
        CREATE TRIGGER row_out AFTER DELETE ON rows BEGIN
            UPDATE hours SET rows = rows - 1, bytes = bytes - octet_length(old.body)
            WHERE hour = old.hour;
            DELETE FROM hours WHERE hour = old.hour AND rows = 0;
        END;

        -- Batches that are sealed and not yet filed: an hour's rows up to the id `last`. Ids only grow, so no
        -- row joins a batch later.
        CREATE TABLE batches (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            hour INTEGER NOT NULL,
            last INTEGER NOT NULL
        ) STRICT;

        -- The table's files, each under the table's folder.
        CREATE TABLE files (
            path TEXT PRIMARY KEY,
            rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            filed_at INTEGER NOT NULL
        ) STRICT;

        -- When this buffer was made, in UTC milliseconds: part of its files' names, so that a new buffer beside
        -- an old one's files never replaces one of them.
        CREATE TABLE origin (made_at INTEGER NOT NULL) STRICT;
        INSERT INTO origin VALUES (CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER));
    ",
};

/// The buffered rows of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenHour {
    pub(super) hour: Hour,
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) oldest: CaptureTime,
}

/// Rows that go into one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) id: i64,
    pub(super) hour: Hour,
    /// The id of its last row.
    pub(super) last: i64,
    pub(super) origin: i64,
}

impl Batch {
    /// The name of the batch's file within the table's folder: the same whenever it is asked.
    pub(super) fn path(&self) -> String {
        let (dt, hour) = (self.hour.dt(), self.hour.hour());
        let (origin, id) = (self.origin, self.id);
        format!("detections/dt={dt}/hour={hour}/part-{origin:013}-{id:010}.parquet")
    }
}

/// A file that is part of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FiledPart {
    pub(super) path: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
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

/// Makes a batch of up to `max_rows` of an hour's oldest rows; which rows and which batch is then fixed. The hour
/// has rows, and none of them is in a batch.
pub(super) fn seal(database: &Database, hour: Hour, max_rows: u32) -> Result<(), PortError> {
    database.write("seal a batch of", |transaction| {
        transaction.execute(
            "INSERT INTO batches (hour, last) SELECT ?1, max(id) FROM (
                 SELECT id FROM rows WHERE hour = ?1 ORDER BY id LIMIT ?2)",
            (hour.0, max_rows),
        )?;
        Ok(())
    })
}

/// The oldest batch that is sealed and not yet filed.
pub(super) fn sealed(database: &Database) -> Result<Option<Batch>, PortError> {
    database.read("read", |transaction| {
        transaction
            .query_row(
                "SELECT id, hour, last, made_at FROM batches, origin ORDER BY id LIMIT 1",
                [],
                |row| {
                    let (id, hour) = (row.get(0)?, Hour(row.get(1)?));
                    Ok(Batch { id, hour, last: row.get(2)?, origin: row.get(3)? })
                },
            )
            .optional()
    })
}

/// Lists a batch's file as part of the table and takes its rows out of the buffer, in one step.
pub(super) fn settle(
    database: &Database,
    batch: &Batch,
    part: &FiledPart,
    now: CaptureTime,
) -> Result<(), PortError> {
    database.write("settle a batch of", |transaction| {
        transaction
            .execute("DELETE FROM rows WHERE hour = ? AND id <= ?", (batch.hour.0, batch.last))?;
        transaction.execute("DELETE FROM batches WHERE id = ?", [batch.id])?;
        transaction.execute(
            "INSERT OR REPLACE INTO files (path, rows, bytes, filed_at) VALUES (?, ?, ?, ?)",
            (&part.path, signed(part.rows), signed(part.bytes), now.0),
        )?;
        Ok(())
    })
}

/// Up to `limit` of a batch's rows whose ids are above `after`, with the last one's id.
pub(super) fn batch_rows(
    database: &Database,
    batch: &Batch,
    after: i64,
    limit: u32,
) -> Result<(Vec<DetectionRow>, i64), PortError> {
    let bodies: Vec<(i64, String)> = database.read("read", |transaction| {
        transaction
            .prepare_cached(
                "SELECT id, body FROM rows WHERE hour = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
            )?
            .query_map((batch.hour.0, after, batch.last, limit), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect()
    })?;
    let last = bodies.last().map_or(after, |(id, _)| *id);
    let rows = bodies.iter().map(|(id, body)| parse(database, *id, body));
    Ok((rows.collect::<Result<_, _>>()?, last))
}

/// Reads a row as it was accepted.
pub(super) fn parse(database: &Database, id: i64, body: &str) -> Result<DetectionRow, PortError> {
    serde_json::from_str(body).map_err(|error| {
        PortError::new(ErrorKind::Corrupt, database.attempt(&format!("read row {id} of")), error)
    })
}
