//! The list of the table's files, in `buffer.sqlite`: what is part of the table, what leaves it, and what was lost.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Transaction;

use super::columns::{Hour, signed};
use super::gone::Loss;
use crate::error::PortError;
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// A file that is part of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FiledPart {
    /// Within the table's folder.
    pub(super) path: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// The path of a file of an hour within the table's folder.
pub(super) fn path_of(hour: Hour, name: &str) -> String {
    format!("detections/dt={}/hour={}/{name}.parquet", hour.dt(), hour.hour())
}

/// Where a file is written before it gets its place: hidden, so that nobody who reads the folder takes it for a part
/// of the table.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// The SQL that draws a file's name: by the time it sorts, and nothing that is ever restored draws it again.
pub(super) fn drawn_name(now: CaptureTime) -> String {
    let millis = now.0.div_euclid(1_000);
    format!("'part-{millis:013}-' || lower(hex(randomblob(8)))")
}

/// Lists a file as part of the table.
pub(super) fn add(
    transaction: &Transaction<'_>,
    part: &FiledPart,
    now: CaptureTime,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO files (path, rows, bytes, filed_at) VALUES (?, ?, ?, ?)",
        (&part.path, signed(part.rows), signed(part.bytes), now.0),
    )?;
    Ok(())
}

/// Notes a file that is about to be made in an hour's folder, and gives its path, which nothing has had before.
pub(super) fn draft(
    transaction: &Transaction<'_>,
    hour: Hour,
    now: CaptureTime,
) -> rusqlite::Result<String> {
    let name: String =
        transaction.query_row(&format!("SELECT {}", drawn_name(now)), [], |row| row.get(0))?;
    let path = path_of(hour, &name);
    transaction.execute("INSERT INTO drafts (path) VALUES (?)", [&path])?;
    Ok(path)
}

/// The files that were begun: they are no part of the table yet.
pub(super) fn drafts(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    transaction.prepare("SELECT path FROM drafts")?.query_map([], |row| row.get(0))?.collect()
}

/// Takes a file out of the drafts: it is listed, or is there no more.
pub(super) fn take_draft(transaction: &Transaction<'_>, path: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM drafts WHERE path = ?", [path])?;
    Ok(())
}

/// Has a listed file leave: it is no part of the table from now on, and lies there until it is [forgotten](forget).
pub(super) fn leave(
    transaction: &Transaction<'_>,
    path: &str,
    now: CaptureTime,
) -> rusqlite::Result<()> {
    transaction.execute("UPDATE files SET left_at = ? WHERE path = ?", (now.0, path))?;
    Ok(())
}

/// Has a file leave that may be in no list.
pub(super) fn leave_unlisted(
    transaction: &Transaction<'_>,
    path: &str,
    now: CaptureTime,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO files (path, rows, bytes, filed_at) VALUES (?1, 0, 0, ?2)
         ON CONFLICT (path) DO NOTHING",
        (path, now.0),
    )?;
    leave(transaction, path, now)
}

/// The files that have left and are not forgotten, by name.
pub(super) fn left(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    transaction
        .prepare("SELECT path FROM files WHERE left_at IS NOT NULL ORDER BY path")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Forgets a file that has left and is there no more.
pub(super) fn forget(transaction: &Transaction<'_>, path: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM files WHERE path = ? AND left_at IS NOT NULL", [path])?;
    Ok(())
}

/// The hours of which rows are in no file yet.
pub(super) fn open_hours(transaction: &Transaction<'_>) -> rusqlite::Result<BTreeSet<Hour>> {
    transaction
        .prepare("SELECT hour FROM hours UNION SELECT hour FROM batches")?
        .query_map([], |row| row.get(0).map(Hour))?
        .collect()
}

/// Notes what a file held that was taken out of the list.
pub(super) fn lose(transaction: &Transaction<'_>, loss: &Loss) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO lost (path, rows, reason, lost_at) VALUES (?, ?, ?, ?)",
        (&loss.place, signed(loss.rows), &loss.reason, loss.found_at.0),
    )?;
    Ok(())
}

/// The files that are part of the table, by name.
pub(super) fn parts(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<FiledPart>> {
    let listed = if is_version_1(transaction)? { "" } else { "WHERE left_at IS NULL" };
    transaction
        .prepare(&format!("SELECT path, rows, bytes FROM files {listed} ORDER BY path"))?
        .query_map([], |row| {
            let count = |n: i64| u64::try_from(n).unwrap_or(0);
            Ok(FiledPart { path: row.get(0)?, rows: count(row.get(1)?), bytes: count(row.get(2)?) })
        })?
        .collect()
}

/// Tells whether no file was ever listed here, nor is one about to be.
pub(super) fn is_untouched(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let drafts = if is_version_1(transaction)? { "" } else { "UNION ALL SELECT 1 FROM drafts" };
    let sql = format!(
        "SELECT NOT EXISTS (SELECT 1 FROM files UNION ALL SELECT 1 FROM batches {drafts})
            AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'batches')"
    );
    transaction.query_row(&sql, [], |row| row.get(0))
}

/// Readers come to files that no writer has upgraded yet.
pub(super) fn is_version_1(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version == 1)
}

/// The files that belong to the list in one way or another: part of the table, leaving it, or being made.
pub(super) fn known(database: &Database) -> Result<BTreeSet<String>, PortError> {
    let mut known = settled(database)?;
    known.extend(database.read("read", drafts)?);
    Ok(known)
}

/// The files that are part of the table, are leaving it, or are to have a batch's rows.
pub(super) fn settled(database: &Database) -> Result<BTreeSet<String>, PortError> {
    let (mut known, batches) = database.read("read", |transaction| {
        let known = transaction
            .prepare("SELECT path FROM files")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<BTreeSet<String>>>()?;
        let batches = transaction
            .prepare("SELECT hour, name FROM batches")?
            .query_map([], |row| Ok((Hour(row.get(0)?), row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(Hour, String)>>>()?;
        Ok((known, batches))
    })?;
    known.extend(batches.iter().map(|(hour, name)| path_of(*hour, name)));
    Ok(known)
}

/// The files of rows that lie in the table's folder, listed or not, by name.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn files_in(table: &Path) -> Result<Vec<String>, PortError> {
    let mut unlisted = None;
    let files = readable_files_in(table, |_, error| _ = unlisted.get_or_insert(error));
    unlisted.map_or(Ok(files), Err)
}

/// As [`files_in`], going on behind folders that cannot be read; each is told, by its path within the table's.
pub(super) fn readable_files_in(
    table: &Path,
    mut unlisted: impl FnMut(&str, PortError),
) -> Vec<String> {
    let is_file = |name: &str| name.ends_with(".parquet") && !name.starts_with('.');
    let mut names = |folder: &str, is_wanted: &dyn Fn(&str) -> bool| {
        names(table, folder, is_wanted).unwrap_or_else(|error| {
            unlisted(folder, error);
            Vec::new()
        })
    };
    let mut files = Vec::new();
    for day in names("detections", &|name| name.starts_with("dt=")) {
        for hour in names(&day, &|name| name.starts_with("hour=")) {
            files.extend(names(&hour, &is_file));
        }
    }
    files.sort_unstable();
    files
}

/// The paths of what is wanted of a folder's entries; a folder that is not there has none.
fn names(
    table: &Path,
    folder: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, PortError> {
    let list = || match fs::read_dir(table.join(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>(),
    };
    let found = list()
        .map_err(|error| PortError::io(format!("list folder {:?}", table.join(folder)), error))?;
    let names = found.iter().filter_map(|name| name.to_str()).filter(|name| is_wanted(name));
    Ok(names.map(|name| format!("{folder}/{name}")).collect())
}
