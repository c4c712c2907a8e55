//! A file of SQLite beside those who read it, write to it and damage it.

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
    database
        .write("add to", |transaction| transaction.execute("INSERT INTO things VALUES (?)", [name]))
}

fn things(database: &Database) -> i64 {
    let count = "SELECT count(*) FROM things";
    let things =
        database.read("count", |transaction| transaction.query_row(count, [], |row| row.get(0)));
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
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
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
        let words = format!("open shelf {emptied:?}: nothing is in it, where a shelf was expected");
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
