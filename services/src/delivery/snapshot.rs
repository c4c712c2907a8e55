//! A consistent read of the whole table, beside whoever writes to it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;

use super::buffer;
use super::columns::{Hour, to_table_batch};
use super::list::{self, FiledPart};
use super::readers::Reading;
use super::schema::FORMAT;
use super::untouched;
use crate::counted;
use crate::durable;
use crate::error::PortError;
use crate::sqlite::Database;

/// The table as it was at one moment: every accepted row is in one of the files or buffered, and not in both; or it
/// is in a gap.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The table's Parquet files, by name; of the schema [`arrow_schema`](super::arrow_schema), their
    /// partition in their path (`…/dt=YYYY-MM-DD/hour=HH/…`). All of them are there while
    /// [`reading`](Self::reading) is held.
    pub files: Vec<ListedFile>,
    /// The rows that are in no file yet, oldest first; of the schema [`table_schema`](super::table_schema).
    pub buffered: RecordBatch,
    /// The rows that cannot be read.
    pub gaps: Vec<Gap>,
    /// Keeps the files where they are, as long as one of its copies is held.
    pub reading: Option<Arc<Reading>>,
}

/// A file that is part of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// How many rows it has, as the list says.
    pub rows: u64,
}

/// Rows of the table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The file that they are in, absolute.
    pub file: PathBuf,
    /// Their hour of delivery; unknown for a file whose path does not tell.
    pub hour: Option<Hour>,
    /// How many there are, at most.
    pub rows: u64,
    /// Why they cannot be read.
    pub reason: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, hour, rows, reason } = self;
        let hour = hour.map_or_else(String::new, |hour| format!(", {hour}"));
        write!(f, "up to {} of {file:?}{hour}: {reason}", counted(*rows, "row"))
    }
}

/// What `buffer.sqlite` says at one moment.
struct Held {
    parts: Vec<FiledPart>,
    rows: Vec<(i64, Hour, Vec<u8>)>,
}

/// Reads the table as it is now, from the delivery stream's buffer ([`DataFolder::buffer`]). Blocks.
///
/// [`DataFolder::buffer`]: crate::DataFolder::buffer
///
/// # Errors
/// `NotFound` when there is no buffer, so that nothing was ever delivered here; `Corrupt` when files of rows lie
/// beside one that is gone, or it is damaged or none of a known version.
pub fn snapshot(buffer: &Path) -> Result<Snapshot, PortError> {
    let folder = durable::absolute(durable::parent(buffer))?;
    untouched::check_there(buffer, &folder)?;
    let database = Database::open_read_only(buffer, &FORMAT)?;
    untouched::check(&database, &folder)?;
    let reading = Reading::begin(&folder)?;
    let held = database.read("read", |transaction| {
        let parts = list::parts(transaction)?;
        let rows = transaction
            .prepare("SELECT id, hour, body FROM rows ORDER BY id")?
            .query_map([], |row| {
                let body = row.get_ref(2)?.as_bytes()?.to_vec();
                Ok((row.get(0)?, Hour(row.get(1)?), body))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Held { parts, rows })
    })?;
    let snapshot = held.read_from(&folder, buffer);
    Ok(Snapshot { reading: Some(Arc::new(reading)), ..snapshot })
}

impl Held {
    fn read_from(self, folder: &Path, buffer: &Path) -> Snapshot {
        let (mut files, mut gaps) = (Vec::with_capacity(self.parts.len()), Vec::new());
        for part in self.parts {
            let file = folder.join(&part.path);
            match fault(&file, part.bytes) {
                None => files.push(ListedFile { path: file, rows: part.rows }),
                Some(reason) => {
                    gaps.push(Gap { hour: Hour::of_path(&file), file, rows: part.rows, reason });
                }
            }
        }
        let (mut rows, mut hours) = (Vec::new(), Vec::new());
        for (id, hour, body) in self.rows {
            match buffer::parse(&body) {
                Ok(row) => {
                    rows.push(row);
                    hours.push(hour);
                }
                Err(reason) => {
                    let reason = format!("row {id}: {reason}");
                    gaps.push(Gap { file: buffer.to_owned(), hour: Some(hour), rows: 1, reason });
                }
            }
        }
        Snapshot { files, buffered: to_table_batch(&rows, &hours), gaps, reading: None }
    }
}

/// What can be seen to be wrong with a file without reading it.
pub(super) fn fault(file: &Path, bytes: u64) -> Option<String> {
    match fs::metadata(file) {
        Ok(found) if found.len() == bytes => None,
        Ok(found) => Some(format!("it has {} bytes, expected {bytes}", found.len())),
        Err(error) => Some(error.to_string()),
    }
}
