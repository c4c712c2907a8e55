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
mod tests {
    use super::*;

    static FORMAT: Format = Format {
        what: "shelf",
        application_id: 7,
        version: 1,
        schema: "CREATE TABLE things (name TEXT) STRICT;",
        upgrades: &[],
    };

    fn refusal(path: &Path, format: &'static Format) -> String {
        let error = Database::open(path, format).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.to_string()
    }

    fn add(database: &Database, name: &str) -> Result<usize, PortError> {
        database.write("add to", |transaction| {
            transaction.execute("INSERT INTO things VALUES (?)", [name])
        })
    }

    fn things(database: &Database) -> i64 {
        let count = "SELECT count(*) FROM things";
        let things = database
            .read("count", |transaction| transaction.query_row(count, [], |row| row.get(0)));
        things.unwrap()
    }

    #[test]
    fn many_may_make_the_same_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/shelf.sqlite");
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                let path = &path;
                scope.spawn(move || add(&Database::open(path, &FORMAT).unwrap(), name).unwrap());
            }
        });
        let reader = Database::open_read_only(&path, &FORMAT).unwrap();
        assert_eq!(things(&reader), 8);
        assert_eq!(add(&reader, "i").unwrap_err().kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_file_of_another_kind_or_version_is_refused_in_words() {
        static OTHER: Format = Format { application_id: 8, what: "drawer", ..FORMAT };
        static NEWER: Format = Format { version: 2, ..FORMAT };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        Database::open(&path, &FORMAT).unwrap();
        let expected = format!("open drawer {path:?}: a SQLite file, but not a drawer of millrace");
        assert_eq!(refusal(&path, &OTHER), expected);
        let expected = format!("open shelf {path:?}: of version 1, expected 2");
        assert_eq!(refusal(&path, &NEWER), expected);
    }

    #[test]
    fn a_file_of_an_older_version_is_taken_along() {
        static NEWER: Format = Format {
            version: 3,
            upgrades: &[
                "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 1",
                "ALTER TABLE things ADD COLUMN colour TEXT",
            ],
            ..FORMAT
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        add(&Database::open(&path, &FORMAT).unwrap(), "ball").unwrap();
        Database::open_read_only(&path, &NEWER).unwrap();
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = || Database::open(&path, &NEWER).unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let things = opened[3].read("read", |transaction| {
            transaction.query_row("SELECT name, size, colour FROM things", [], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<String>>(2)?,
                ))
            })
        });
        assert_eq!(things.unwrap(), ("ball".to_owned(), 1, None));
        let expected = format!("open shelf {path:?}: of version 3, expected 1");
        assert_eq!(refusal(&path, &FORMAT), expected);
    }

    #[test]
    fn a_file_that_cannot_grow_is_full_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.sqlite"), &FORMAT).unwrap();
        add(&database, "small").unwrap();
        let pages = database.read("limit", |transaction| {
            transaction.query_row("PRAGMA max_page_count = 1", [], |row| row.get::<_, i64>(0))
        });
        assert!(pages.unwrap() >= 1);
        let error = add(&database, &"x".repeat(100_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.to_string().starts_with("add to shelf "), "{error}");
        add(&database, "small").unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_is_not_found_by_a_reader() {
        let error = Database::open_read_only(Path::new("/nowhere/x.sqlite"), &FORMAT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_that_only_others_may_write_to_is_named_as_what_is_wrong() {
        // What SQLite answers to a reader without the right to write who finds no log beside the file. A test may
        // run as somebody whom no right is denied.
        let found = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY_DIRECTORY);
        let failure = rusqlite::Error::SqliteFailure(found, None);
        let error = error("open shelf \"x\"".to_owned(), failure);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("folder is not writable for this user"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_may_be_later_unless_the_system_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let failure = || {
            let found = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            rusqlite::Error::SqliteFailure(found, None)
        };
        let path = folder.path().join("x.sqlite");
        let told = |path: &Path| file_error("open shelf".to_owned(), path, failure());
        assert!(told(&path).is_retryable());
        std::fs::write(&path, "").unwrap();
        assert!(told(&path).is_retryable());
        assert_eq!(told(folder.path()).to_string(), "open shelf: it is no regular file");
        assert!(!told(&folder.path().join("x".repeat(300))).is_retryable());
    }

    #[test]
    fn a_file_that_is_being_made_is_missing_to_a_reader_until_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let path = folder.path().join(format!("{number}.sqlite"));
            std::thread::scope(|scope| {
                scope.spawn(|| Database::open(&path, &FORMAT).unwrap());
                let whole = loop {
                    match Database::open_read_only(&path, &FORMAT) {
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        whole => break whole.unwrap(),
                    }
                };
                assert_eq!(things(&whole), 0);
            });
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert!(!left.iter().any(|file| file.file_name().to_string_lossy().starts_with('~')));
    }

    #[test]
    fn a_file_that_was_emptied_is_an_error_and_no_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        // A commit that is in the log alone: SQLite would delete the log of an empty file.
        let database = Database::open(&path, &FORMAT).unwrap();
        add(&database, "one").unwrap();
        let (copy, log) = (folder.path().join("copy"), folder.path().join("y.sqlite-wal"));
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(log_of(&path), &log).unwrap();
        let emptied = folder.path().join("y.sqlite");
        std::fs::write(&emptied, "").unwrap();
        let refused = [
            Database::open(&emptied, &FORMAT).unwrap_err(),
            Database::open_read_only(&emptied, &FORMAT).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let words =
                format!("open shelf {emptied:?}: nothing is in it, where a shelf was expected");
            assert!(error.to_string().starts_with(&words), "{error}");
        }
        std::fs::copy(&copy, &emptied).unwrap();
        assert_eq!(things(&Database::open(&emptied, &FORMAT).unwrap()), 1);
    }

    #[test]
    fn a_file_without_a_table_is_an_error_and_no_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
        assert!(refusal(&path, &FORMAT).contains("nothing is in it"));
    }

    #[test]
    fn a_log_without_its_file_is_not_taken_for_a_new_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        let database = Database::open(&path, &FORMAT).unwrap();
        add(&database, "one").unwrap();
        std::fs::copy(log_of(&path), folder.path().join("y.sqlite-wal")).unwrap();
        let words = refusal(&folder.path().join("y.sqlite"), &FORMAT);
        assert!(words.contains("it is missing, and its log "), "{words}");
    }

    #[test]
    fn a_reader_that_never_ends_lets_the_log_grow_no_longer_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        let (database, reader) =
            (Database::open(&path, &FORMAT).unwrap(), Connection::open(&path).unwrap());
        reader.execute_batch("BEGIN; SELECT count(*) FROM things").unwrap();
        let megabytes = "x".repeat(4 << 20);
        let refused = (0..40).find_map(|_| add(&database, &megabytes).err()).unwrap();
        assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
        assert!(refused.to_string().contains("a process that reads it"), "{refused}");
        let log = std::fs::metadata(log_of(&path)).unwrap().len();
        assert!(log < WAL_MOST_BYTES + (8 << 20), "{log}");
        reader.execute_batch("COMMIT").unwrap();
        add(&database, "small").unwrap();
        let log = std::fs::metadata(log_of(&path)).unwrap().len();
        assert!(log < WAL_REST_BYTES.unsigned_abs(), "{log}");
    }

    #[test]
    fn a_long_log_behind_one_who_writes_is_busy_and_not_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        let database = Database::open(&path, &FORMAT).unwrap();
        let (reader, writer) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
        reader.execute_batch("BEGIN; SELECT count(*) FROM things").unwrap();
        let megabytes = "x".repeat(4 << 20);
        while database.bound_log("add to").is_ok() {
            add(&database, &megabytes).unwrap();
        }
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        let busy = database.bound_log("add to").unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Unavailable, "{busy}");
        assert!(busy.to_string().contains("another process writes"), "{busy}");
        reader.execute_batch("COMMIT").unwrap();
        database.bound_log("add to").unwrap();
        writer.execute_batch("ROLLBACK").unwrap();
        add(&database, "small").unwrap();
    }

    #[test]
    fn a_folder_in_the_files_place_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = Database::open(folder.path(), &FORMAT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().starts_with("open shelf "), "{error}");
    }
}
