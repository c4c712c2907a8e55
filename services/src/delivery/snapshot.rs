//! A consistent read of the whole table, beside whoever writes to it.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;

use super::buffer::{self, FORMAT};
use super::columns::{Hour, to_table_batch};
use crate::durable;
use crate::error::PortError;
use crate::sqlite::Database;

/// The table as it was at one moment: every accepted row is in one of the files or buffered, and not in both.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The table's Parquet files, absolute, by name; of the schema [`arrow_schema`](super::arrow_schema), their
    /// partition in their path (`…/dt=YYYY-MM-DD/hour=HH/…`). A file listed once stays.
    pub files: Vec<PathBuf>,
    /// The rows that are in no file yet, oldest first; of the schema [`table_schema`](super::table_schema).
    pub buffered: RecordBatch,
}

/// Reads the table as it is now, from the delivery stream's buffer ([`DataFolder::buffer`]). Blocks.
///
/// [`DataFolder::buffer`]: crate::DataFolder::buffer
///
/// # Errors
/// `NotFound` when there is no buffer, so that nothing was ever delivered here; `Corrupt` when it is none of
/// this version.
pub fn snapshot(buffer: &Path) -> Result<Snapshot, PortError> {
    let folder = durable::absolute(durable::parent(buffer))?;
    let database = Database::open_read_only(buffer, &FORMAT)?;
    let (files, buffered) = database.read("read", |transaction| {
        let files = transaction
            .prepare("SELECT path FROM files ORDER BY path")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        let buffered = transaction
            .prepare("SELECT id, hour, body FROM rows ORDER BY id")?
            .query_map([], |row| Ok((row.get(0)?, Hour(row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(i64, Hour, String)>>>()?;
        Ok((files, buffered))
    })?;
    let rows = buffered
        .iter()
        .map(|(id, _, body)| buffer::parse(&database, *id, body))
        .collect::<Result<Vec<_>, _>>()?;
    let hours: Vec<_> = buffered.iter().map(|(_, hour, _)| *hour).collect();
    Ok(Snapshot {
        files: files.iter().map(|file| folder.join(file)).collect(),
        buffered: to_table_batch(&rows, &hours),
    })
}
