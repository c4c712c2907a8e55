//! Refuses a buffer that knows of no file where files of rows lie: it, or what was in it, is gone, and taking it for
//! new would make a table without rows of them.

use std::fs;
use std::io;
use std::path::Path;

use super::buffer::buffer_path;
use super::list;
use super::schema::FORMAT;
use crate::error::{ErrorKind, PortError};
use crate::sqlite::Database;

/// Opens the buffer of the table in the folder `table`, and makes it where there is no table yet.
///
/// # Errors
/// When files of rows lie in the folder and the buffer is missing, empty or new; or as [`Database::open`].
pub(super) fn open(table: &Path) -> Result<Database, PortError> {
    let buffer = buffer_path(table);
    check_there(&buffer, table)?;
    let database = Database::open(&buffer, &FORMAT)?;
    check(&database, table)?;
    Ok(database)
}

/// Refuses a buffer that is missing or empty beside files of rows.
pub(super) fn check_there(buffer: &Path, table: &Path) -> Result<(), PortError> {
    let state = match fs::metadata(buffer) {
        Ok(found) if found.len() > 0 => return Ok(()),
        Ok(_) => "empty",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing",
        Err(error) => return Err(PortError::io(format!("open table buffer {buffer:?}"), error)),
    };
    match list::files_in(table)?.len() {
        0 => Ok(()),
        files => Err(refusal(buffer, state, files)),
    }
}

/// Refuses a buffer that lists nothing, and never did, beside files of rows.
pub(super) fn check(database: &Database, table: &Path) -> Result<(), PortError> {
    if !database.read("read", list::is_untouched)? {
        return Ok(());
    }
    let files = list::files_in(table)?.len();
    // A file is known before it is there, so that one that was filed meanwhile is known now.
    if files == 0 || !database.read("read", list::is_untouched)? {
        return Ok(());
    }
    Err(refusal(database.path(), "without any file in its list", files))
}

fn refusal(buffer: &Path, state: &str, files: usize) -> PortError {
    let files = match files {
        1 => "a file of rows lies".to_owned(),
        _ => format!("{files} files of rows lie"),
    };
    let cause = format!(
        "it is {state}, and {files} beside it: put a copy of it back, or let \"millrace repair\" \
         list the files anew"
    );
    PortError::because(ErrorKind::Corrupt, format!("open table buffer {buffer:?}"), cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::delivery::tests::row;
    use crate::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream as _, snapshot};

    async fn filed() -> tempfile::TempDir {
        let table = tempfile::tempdir().unwrap();
        let options = DeliveryOptions::default();
        let (stream, filer) =
            BufferedDelivery::open_with_filer(table.path(), &options, &Clock::system()).unwrap();
        stream.put(&[row("gate", 0, 0)]).await.unwrap();
        filer.file_all().await.unwrap();
        table
    }

    /// The table had no rows then, and the next start listed its own files alone.
    #[tokio::test]
    async fn a_buffer_that_is_gone_beside_filed_rows_is_named_and_not_made_anew() {
        for (state, spoil) in [
            ("missing", (|path| fs::remove_file(path).unwrap()) as fn(&Path)),
            ("empty", |path| fs::write(path, "").unwrap()),
            ("without any file in its list", |path| {
                fs::remove_file(path).unwrap();
                drop(Database::open(path, &FORMAT).unwrap());
            }),
        ] {
            let table = filed().await;
            let buffer = buffer_path(table.path());
            spoil(&buffer);
            let writing = BufferedDelivery::open(table.path(), u64::MAX, Clock::system());
            for error in [writing.unwrap_err(), snapshot(&buffer).unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                let told = error.to_string();
                let expected =
                    format!("open table buffer {buffer:?}: it is {state}, and a file of rows lies");
                assert!(told.starts_with(&expected), "{told}");
                assert!(told.contains("millrace repair"), "{told}");
            }
        }
    }

    #[tokio::test]
    async fn a_table_whose_first_file_is_about_to_be_listed_is_opened() {
        let table = filed().await;
        let database = Database::open(&buffer_path(table.path()), &FORMAT).unwrap();
        let unlist = |transaction: &rusqlite::Transaction<'_>| {
            transaction.execute_batch(
                "INSERT INTO batches SELECT 1, 0, 1, substr(path, 34, 30) FROM files; DELETE FROM files",
            )
        };
        database.write("unlist a file of", unlist).unwrap();
        open(table.path()).unwrap();
        snapshot(&buffer_path(table.path())).unwrap();
    }
}
