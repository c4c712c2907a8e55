//! What of the accepted rows is in the table no more, for the audit.

use std::path::Path;

use rusqlite::Transaction;

use super::list;
use super::retired::{self, Retired};
use super::schema::FORMAT;
use super::untouched;
use crate::durable;
use crate::error::PortError;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Rows that are in the table no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Those that could not be read, oldest finding first.
    pub losses: Vec<Loss>,
    /// Those that left with their time; none when that is not asked for, and never was.
    pub retired: Option<Retired>,
}

/// Rows that could not be read, and were set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where they were: a file within the table's folder, or a row's number in the buffer.
    pub place: String,
    /// How many there were.
    pub rows: u64,
    /// Why they could not be read.
    pub reason: String,
    /// When that was found.
    pub found_at: CaptureTime,
}

impl Loss {
    /// Tells whether it is a row that was in no file yet: it is kept in the buffer as it came.
    pub fn is_buffered_row(&self) -> bool {
        self.place.starts_with(ROW)
    }
}

/// What the place of a buffered row begins with; no file's does.
const ROW: &str = "row ";

/// Reads what is gone from the delivery stream's buffer. Blocks.
///
/// # Errors
/// `NotFound` when there is no buffer; `Corrupt` when it is damaged or none of a known version.
pub fn gone(buffer: &Path) -> Result<Gone, PortError> {
    untouched::check_there(buffer, durable::parent(buffer))?;
    Database::open_read_only(buffer, &FORMAT)?.read("read", |transaction| {
        if list::is_version_1(transaction)? {
            return Ok(Gone::default());
        }
        Ok(Gone { losses: losses(transaction)?, retired: retired::read(transaction)? })
    })
}

fn losses(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Loss>> {
    transaction
        .prepare(
            "SELECT path, rows, reason, lost_at AS at FROM lost UNION ALL
             SELECT ? || id, 1, reason, found_at FROM unreadable ORDER BY at",
        )?
        .query_map([ROW], |row| {
            Ok(Loss {
                place: row.get(0)?,
                rows: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                reason: row.get(2)?,
                found_at: CaptureTime(row.get(3)?),
            })
        })?
        .collect()
}
