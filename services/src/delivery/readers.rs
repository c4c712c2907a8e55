//! Who reads the table: a file that is no part of it any more is removed when nobody can be reading it.
//!
//! Every reader holds a shared lock on `table/reading.lock` while it needs the files of its snapshot. To remove files
//! that have left the table, that lock's file is put aside as `reading-old.lock` and a new one takes its place: whoever
//! came before the files left holds the old one, whoever comes later does not see them. When nobody holds the old one,
//! they are removed. Readers that overlap without end keep nothing, and a reader that is killed holds nothing. The next
//! turn begins when the old file is gone, so that nobody can hold one that is older still.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::PortError;

/// Files that a snapshot names stay where they are until this is dropped.
///
/// In a folder that cannot be written to, and in which no writer has been since this version, there is nothing to hold:
/// a writer on another machine may then remove files under a question, which fails by their names.
#[derive(Debug)]
pub struct Reading {
    _file: Option<File>,
}

impl Reading {
    /// Begins to read the table in the folder `table`; the list of its files is read after this.
    pub(super) fn begin(table: &Path) -> Result<Self, PortError> {
        let path = current(table);
        let failed = |error| PortError::io(format!("lock file {path:?}"), error);
        loop {
            let file = match open(&path) {
                Ok(file) => file,
                Err(error) if is_read_only(&error) => return Ok(Self { _file: None }),
                Err(error) => return Err(failed(error)),
            };
            file.lock_shared().map_err(failed)?;
            // It may have been put aside between the opening and the lock.
            if is_at(&file, &path).map_err(failed)? {
                return Ok(Self { _file: Some(file) });
            }
        }
    }
}

/// Waits, turn by turn, until those have gone who may read what has left.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What has left before the lock's file was put aside.
    leaving: Option<Vec<String>>,
}

impl Turns {
    /// What of `left` nobody reads any more. Whoever calls holds the filing lock, and removes what is given; what is not
    /// given is asked about again.
    ///
    /// `left` has left the table durably.
    pub(super) fn unread(
        &mut self,
        table: &Path,
        left: Vec<String>,
    ) -> Result<Vec<String>, PortError> {
        if self.leaving.is_none() {
            // A process that died began a turn for files that are not known here.
            if left.is_empty() || !is_over(table)? {
                return Ok(Vec::new());
            }
            begin(table)?;
            self.leaving = Some(left);
        }
        if !is_over(table)? {
            return Ok(Vec::new());
        }
        Ok(self.leaving.take().unwrap_or_default())
    }
}

/// Puts the lock's file aside.
fn begin(table: &Path) -> Result<(), PortError> {
    let (current, old) = (current(table), old(table));
    match fs::rename(&current, &old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|error| PortError::io(format!("put file {current:?} aside"), error)),
    }
}

/// Tells whether nobody holds the lock that was put aside, and takes it away then.
fn is_over(table: &Path) -> Result<bool, PortError> {
    let old = old(table);
    let failed = |error| PortError::io(format!("lock file {old:?}"), error);
    let file = match File::open(&old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file.map_err(failed)?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    durable::remove_if_there(&old).map_err(failed)?;
    Ok(true)
}

/// Opens the file, and makes it if need be; for reading, since whoever may only read the table takes the lock too.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::options().read(true).write(true).create(true).truncate(false).open(path)
        }
        file => file,
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Tells whether a file is the one at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn current(table: &Path) -> PathBuf {
    table.join("reading.lock")
}

fn old(table: &Path) -> PathBuf {
    table.join("reading-old.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_left_is_unread_when_those_are_gone_who_came_before() {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let mut turns = Turns::default();
        assert_eq!(turns.unread(table, left(&["a"])).unwrap(), ["a"], "nobody reads");

        let before = Reading::begin(table).unwrap();
        assert!(turns.unread(table, left(&["b"])).unwrap().is_empty());
        let after = Reading::begin(table).unwrap();
        assert!(turns.unread(table, left(&["b", "c"])).unwrap().is_empty());
        drop(before);
        assert_eq!(turns.unread(table, left(&["b", "c"])).unwrap(), ["b"], "c left after it");
        assert!(turns.unread(table, left(&["c"])).unwrap().is_empty());
        drop(after);
        assert_eq!(turns.unread(table, left(&["c"])).unwrap(), ["c"]);
    }

    #[test]
    fn readers_that_overlap_without_end_keep_nothing() {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let mut turns = Turns::default();
        let mut reading = Reading::begin(table).unwrap();
        let mut rounds = 0;
        while turns.unread(table, left(&["a"])).unwrap().is_empty() {
            let next = Reading::begin(table).unwrap();
            drop(std::mem::replace(&mut reading, next));
            rounds += 1;
            assert!(rounds < 3);
        }
    }

    #[test]
    fn a_turn_that_a_dead_process_began_says_nothing_of_what_left_since() {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let oldest = Reading::begin(table).unwrap();
        assert!(Turns::default().unread(table, left(&["a"])).unwrap().is_empty());
        let newer = Reading::begin(table).unwrap();
        let mut turns = Turns::default();
        assert!(turns.unread(table, left(&["a", "b"])).unwrap().is_empty());
        drop(oldest);
        assert!(turns.unread(table, left(&["a", "b"])).unwrap().is_empty(), "newer may read b");
        drop(newer);
        assert_eq!(turns.unread(table, left(&["a", "b"])).unwrap(), ["a", "b"]);
    }
}
