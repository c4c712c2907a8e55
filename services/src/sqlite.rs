//! What the embedded adapters' SQLite files have in common: how they are opened, how work is run on them, and
//! what their errors mean.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::durable;
use crate::error::{ErrorKind, PortError};

/// How long a call waits for other processes' transactions before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Files up to this size are checked through and through when they are opened: some 100 ms at most.
const CHECKED_AT_OPEN_BYTES: u64 = 32 * 1_024 * 1_024;
/// What is left of a write-ahead log after a checkpoint, at most.
const WAL_REST_BYTES: i64 = 16 * 1_024 * 1_024;
/// Length of a write-ahead log from which on nothing is written: somebody reads who never comes to an end.
const WAL_MOST_BYTES: u64 = 64 * 1_024 * 1_024;
/// How long the end of reading is waited for when a log is that long.
const WAL_PATIENCE: Duration = Duration::from_millis(250);
/// Pages that a connection keeps in memory, in KiB: what passes through is written once and read once.
const CACHE_KIB: i64 = 512;

/// One kind of SQLite file: what it is called, how it is recognised, what is in it.
pub struct Format {
    /// `queue`, `table buffer`.
    pub what: &'static str,
    /// <https://www.sqlite.org/pragma.html#pragma_application_id>
    pub application_id: i32,
    /// <https://www.sqlite.org/pragma.html#pragma_user_version>
    pub version: i32,
    /// What a new file is filled with.
    pub schema: &'static str,
    /// What takes a file to the next version, oldest first; the last one leads to `version`.
    pub upgrades: &'static [&'static str],
}

impl Format {
    /// The steps that take a file of this version on; none when it is of another.
    fn steps_from(&self, version: i32) -> Option<&'static [&'static str]> {
        let missing = usize::try_from(self.version.checked_sub(version)?).ok()?;
        Some(&self.upgrades[self.upgrades.len().checked_sub(missing)?..])
    }
}

/// An open SQLite file, one call at a time.
pub struct Database {
    connection: Mutex<Connection>,
    format: &'static Format,
    path: PathBuf,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens a file for writing; makes it if need be, and takes one of an older version along. Commits survive a
    /// power cut.
    ///
    /// # Errors
    /// `Corrupt` also when a file is there and nothing is in it: it was cut off, for none gets its name before it is
    /// whole.
    pub fn open(path: &Path, format: &'static Format) -> Result<Self, PortError> {
        durable::create_writable_folder(durable::parent(path))?;
        if !is_there(path, format)? {
            make(path, format)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, format, flags, |connection| {
            upgrade(connection, format)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "journal_size_limit", WAL_REST_BYTES)
        })
    }

    /// Opens a file that is there for reading, beside whoever writes to it; it may be of an older version.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Corrupt` when it is empty, damaged or something else.
    pub fn open_read_only(path: &Path, format: &'static Format) -> Result<Self, PortError> {
        if !is_there(path, format)? {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(PortError::io(attempt("open", format, path), missing));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, format, flags, |_| Ok(()))
    }

    fn open_with(
        path: &Path,
        format: &'static Format,
        flags: OpenFlags,
        prepare: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, PortError> {
        let attempt = || attempt("open", format, path);
        let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            let fault = fault(&connection, path, format)?;
            if fault.is_none() {
                prepare(&connection)?;
            }
            Ok((connection, fault))
        });
        let (connection, fault) = opened.map_err(|source| file_error(attempt(), path, source))?;
        match fault {
            None => Ok(Self { connection: Mutex::new(connection), format, path: path.to_owned() }),
            Some(fault) => Err(PortError::because(ErrorKind::Corrupt, attempt(), fault)),
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is being done to this file, for an error's text: `send to queue "…"`.
    pub fn attempt(&self, verb: &str) -> String {
        attempt(verb, self.format, &self.path)
    }

    /// Runs work in one transaction: all of it is durable, or, after an error, none of it is.
    ///
    /// # Errors
    /// `Full` also when somebody who reads has kept the log from being cut until it was as long as it may be.
    pub fn write<T>(
        &self,
        verb: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        self.bound_log(verb)?;
        self.transact(verb, TransactionBehavior::Immediate, work)
    }

    /// Runs work that sees the file as it was at one moment.
    pub fn read<T>(
        &self,
        verb: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        self.transact(verb, TransactionBehavior::Deferred, work)
    }

    fn transact<T>(
        &self,
        verb: &str,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        let mut connection = self.connection();
        let run = || {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|source| file_error(self.attempt(verb), &self.path, source))
    }

    /// Refuses to make the log longer than it may be; first it tries to cut it.
    fn bound_log(&self, verb: &str) -> Result<(), PortError> {
        let length = || fs::metadata(log_of(&self.path)).map_or(0, |log| log.len());
        if length() <= WAL_MOST_BYTES {
            return Ok(());
        }
        let connection = self.connection();
        let free = |connection: &Connection| {
            Ok(match fold_log(connection)? {
                true => LogEnd::Free,
                false if is_being_written(connection)? => LogEnd::Busy,
                // Who wrote while it was tried may be done by now.
                false if fold_log(connection)? => LogEnd::Free,
                false => LogEnd::Held,
            })
        };
        let freed = connection.busy_timeout(WAL_PATIENCE).and_then(|()| free(&connection));
        let reset = connection.busy_timeout(BUSY_TIMEOUT);
        let freed = freed.and_then(|freed| reset.map(|()| freed));
        let (kind, why) = match freed.map_err(|source| error(self.attempt(verb), source))? {
            LogEnd::Free => return Ok(()),
            LogEnd::Busy => {
                (ErrorKind::Unavailable, "it could not be cut while another process writes")
            }
            LogEnd::Held => (
                ErrorKind::Full,
                "a process that reads it, suspended maybe, keeps it from being cut",
            ),
        };
        let held = length();
        let cause =
            format!("its log has {held} bytes, at most {WAL_MOST_BYTES} are allowed: {why}");
        Err(PortError::because(kind, self.attempt(verb), cause))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in somebody's work rolled its transaction back: the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs blocking work where it blocks no task.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let database = Arc::clone(self);
        let attempt = || self.attempt("work on");
        blocking(attempt, move || work(&database)).await
    }
}

/// What keeps a log from being begun anew.
enum LogEnd {
    /// Nothing.
    Free,
    /// Somebody writes.
    Busy,
    /// Somebody reads what is in it.
    Held,
}

/// Brings a log's pages into the file and cuts it; tells whether all of them are there, so that whoever writes next
/// begins the log anew even where somebody who writes keeps it from being cut
/// (<https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>).
fn fold_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        let (is_busy, pages, folded): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(!is_busy || (pages >= 0 && pages == folded))
    })
}

/// Tells whether somebody else keeps writing.
fn is_being_written(connection: &Connection) -> rusqlite::Result<bool> {
    match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Ok(true)
        }
        other => other.map(|()| false),
    }
}

/// Runs blocking work where it blocks no task.
pub async fn blocking<T: Send + 'static>(
    attempt: impl FnOnce() -> String,
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(PortError::new(ErrorKind::Unavailable, attempt(), error)),
    }
}

fn attempt(verb: &str, format: &Format, path: &Path) -> String {
    format!("{verb} {} {path:?}", format.what)
}

/// What is wrong with a file that is there and empty.
fn emptied(format: &Format) -> String {
    format!(
        "nothing is in it, where a {} was expected: put back a copy of it, or move it away to start without what it held",
        format.what
    )
}

/// The write-ahead log beside a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Tells whether there is a file; one that cannot be what was left there is an error before SQLite sees it, which
/// would take a log that belongs to another file for this one's, or delete the log of an empty one.
fn is_there(path: &Path, format: &Format) -> Result<bool, PortError> {
    let refuse =
        |cause| PortError::because(ErrorKind::Corrupt, attempt("open", format, path), cause);
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => Err(refuse(emptied(format))),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = log_of(path);
            if fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
                let cause = format!(
                    "it is missing, and its log {log:?} is there: put back the file, or move the log away as well"
                );
                return Err(refuse(cause));
            }
            Ok(false)
        }
        Err(error) => Err(PortError::io(attempt("open", format, path), error)),
    }
}

/// Makes a file under another name, and gives it its own when it is whole and durable; one that somebody else gave
/// the name meanwhile stays.
fn make(path: &Path, format: &Format) -> Result<(), PortError> {
    let folder = durable::parent(path);
    let failed = |error| PortError::io(attempt("make", format, path), error);
    let made = tempfile::Builder::new()
        .prefix("~new-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?
        .into_temp_path();
    fill(&made, format).map_err(|source| error(attempt("make", format, path), source))?;
    File::open(&made).and_then(|file| file.sync_all()).map_err(failed)?;
    match made.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed(error.error))
        }
        _ => durable::sync_folder(folder).map_err(failed),
    }
}

fn fill(path: &Path, format: &Format) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(format.schema)?;
    transaction.pragma_update(None, "application_id", format.application_id)?;
    transaction.pragma_update(None, "user_version", format.version)?;
    transaction.commit()?;
    // Kept in the file.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

/// Makes a port's error of SQLite's. SQLite does not say why it cannot open a file, so the system is asked; where it has
/// nothing against it, descriptors may have been short for a moment.
fn file_error(attempt: String, path: &Path, source: rusqlite::Error) -> PortError {
    if source.sqlite_error_code() != Some(rusqlite::ErrorCode::CannotOpen) {
        return error(attempt, source);
    }
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(found) if !found.is_file() => {
            PortError::because(ErrorKind::Denied, attempt, "it is no regular file")
        }
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => PortError::io(attempt, cause),
        _ => PortError::new(ErrorKind::Unavailable, attempt, source),
    }
}

/// Makes a port's error of SQLite's.
pub fn error(attempt: String, source: rusqlite::Error) -> PortError {
    use rusqlite::ErrorCode as Code;
    use rusqlite::ffi::{
        SQLITE_IOERR_SHMSIZE, SQLITE_READONLY_CANTINIT, SQLITE_READONLY_DIRECTORY,
    };
    let extended = source.sqlite_error().map(|found| found.extended_code);
    if let Some(SQLITE_READONLY_DIRECTORY | SQLITE_READONLY_CANTINIT) = extended {
        let cause = "its folder is not writable for this user, which reading it needs as well";
        return PortError::because(ErrorKind::Denied, attempt, cause);
    }
    let kind = match source.sqlite_error() {
        Some(found) if found.extended_code == SQLITE_IOERR_SHMSIZE => ErrorKind::Full,
        Some(found) => match found.code {
            Code::DiskFull => ErrorKind::Full,
            Code::CannotOpen | Code::PermissionDenied | Code::ReadOnly => ErrorKind::Denied,
            Code::TooBig => ErrorKind::Invalid,
            Code::NotADatabase | Code::DatabaseCorrupt | Code::Unknown => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        },
        None => ErrorKind::Corrupt,
    };
    PortError::new(kind, attempt, source)
}

struct Identity {
    application_id: i32,
    version: i32,
}

impl Identity {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        Ok(Self { application_id: pragma("application_id")?, version: pragma("user_version")? })
    }

    fn fault(&self, format: &Format) -> Option<String> {
        if self.application_id != format.application_id {
            return Some(format!("a SQLite file, but not a {} of millrace", format.what));
        }
        let is_known = format.steps_from(self.version).is_some();
        (!is_known).then(|| format!("of version {}, expected {}", self.version, format.version))
    }
}

/// What is wrong with a file: nothing, or that it is empty, something else, or damaged.
fn fault(
    connection: &Connection,
    path: &Path,
    format: &Format,
) -> rusqlite::Result<Option<String>> {
    if is_empty(connection)? {
        return Ok(Some(emptied(format)));
    }
    match Identity::read(connection)?.fault(format) {
        None => damage(connection, path),
        foreign => Ok(foreign),
    }
}

/// Takes a file of an older version to the format's, all of the way or not at all.
fn upgrade(connection: &Connection, format: &Format) -> rusqlite::Result<()> {
    if steps_to(connection, format)?.is_empty() {
        return Ok(());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    for step in steps_to(&transaction, format)? {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", format.version)?;
    transaction.commit()
}

/// The steps that are due for a file; none for what is no file of this kind.
fn steps_to(connection: &Connection, format: &Format) -> rusqlite::Result<&'static [&'static str]> {
    let found = Identity::read(connection)?;
    let is_ours = found.application_id == format.application_id;
    Ok(is_ours.then(|| format.steps_from(found.version)).flatten().unwrap_or_default())
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// What is wrong with the file's pages, if they are few enough to look at them all.
fn damage(connection: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_AT_OPEN_BYTES) {
        return Ok(None);
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then(|| format!("damaged: {}", found.replace('\n', " "))))
}

#[cfg(test)]
mod tests;
