//! Goes through a folder of objects, in the order in which the file system gives them: nothing is kept of them.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Swept;
use crate::object_store::check_key;
use crate::time::CaptureTime;

/// An object's file.
pub(super) struct Object<'a> {
    pub(super) path: &'a Path,
    pub(super) key: &'a str,
    /// The file's length.
    pub(super) bytes: u64,
    /// When the file was last modified.
    pub(super) stored_at: CaptureTime,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Gone,
}

/// What could not be read or removed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u64,
    first: Option<String>,
}

impl Failures {
    fn add(&mut self, path: &Path, error: &io::Error) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{path:?}: {error}"));
    }

    /// Enters them into what a pass tells.
    pub(super) fn count_in(self, swept: &mut Swept) {
        swept.failed += self.count;
        swept.failure = swept.failure.take().or(self.first);
    }
}

/// One way through a folder.
pub(super) struct Walk<'a, V> {
    stop: &'a CancellationToken,
    /// Whether folders in which nothing is left are removed.
    tidies: bool,
    visit: V,
    pub(super) failures: Failures,
}

impl<'a, V: FnMut(&Object<'_>) -> io::Result<Fate>> Walk<'a, V> {
    pub(super) fn new(stop: &'a CancellationToken, tidies: bool, visit: V) -> Self {
        Self { stop, tidies, visit, failures: Failures::default() }
    }

    /// Visits every object whose key begins with `folder` and a slash, until it is told to stop. What cannot be read is
    /// counted, and left out.
    pub(super) fn below(&mut self, root: &Path, folder: &str) {
        let path = root.join(folder);
        if let Err(error) = self.visit_folder(&path, folder) {
            self.note(&path, &error);
        }
    }

    /// Visits what is in a folder; tells whether something is left there.
    fn visit_folder(&mut self, folder: &Path, key: &str) -> io::Result<Fate> {
        let mut fate = Fate::Gone;
        for entry in fs::read_dir(folder)? {
            if self.stop.is_cancelled() {
                return Ok(Fate::Stays);
            }
            let entry = entry?;
            let path = entry.path();
            match self.visit_entry(&entry, &path, key) {
                Ok(Fate::Gone) => {}
                Ok(Fate::Stays) => fate = Fate::Stays,
                Err(error) => {
                    fate = Fate::Stays;
                    self.note(&path, &error);
                }
            }
        }
        Ok(fate)
    }

    fn visit_entry(&mut self, entry: &DirEntry, path: &Path, folder: &str) -> io::Result<Fate> {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| check_key(name).is_ok());
        let Some(name) = name else { return Ok(Fate::Stays) };
        let (key, kind) = (format!("{folder}/{name}"), entry.file_type()?);
        if kind.is_dir() {
            let fate = self.visit_folder(path, &key)?;
            return if self.tidies && fate == Fate::Gone { remove_empty(path) } else { Ok(fate) };
        }
        if !kind.is_file() {
            return Ok(Fate::Stays);
        }
        let found = entry.metadata()?;
        let stored_at = CaptureTime::from_system(found.modified()?);
        (self.visit)(&Object { path, key: &key, bytes: found.len(), stored_at })
    }

    /// What went meanwhile is no failure.
    fn note(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.failures.add(path, error);
        }
    }
}

/// Removes a folder, unless somebody has put something into it meanwhile.
fn remove_empty(folder: &Path) -> io::Result<Fate> {
    match fs::remove_dir(folder) {
        Ok(()) => Ok(Fate::Gone),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(Fate::Stays),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_is_counted_and_stops_nothing() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a/1", "a/2", "b/1", "b/~other"] {
            let path = root.path().join("frames").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1234567").unwrap();
        }
        let (stop, mut visited) = (CancellationToken::new(), Vec::new());
        let mut walk = Walk::new(&stop, true, |object: &Object<'_>| {
            visited.push((object.key.to_owned(), object.bytes));
            match object.key {
                "frames/a/1" => Err(io::ErrorKind::PermissionDenied.into()),
                "frames/a/2" => Err(io::ErrorKind::NotFound.into()),
                _ => fs::remove_file(object.path).map(|()| Fate::Gone),
            }
        });
        walk.below(root.path(), "frames");
        let mut swept = Swept::default();
        walk.failures.count_in(&mut swept);
        visited.sort();
        let all = ["frames/a/1", "frames/a/2", "frames/b/1"].map(|key| (key.to_owned(), 7));
        assert_eq!(visited, all);
        assert_eq!(swept.failed, 1, "what went meanwhile is no failure");
        assert!(swept.failure.unwrap().ends_with("frames/a/1\": permission denied"));
        assert!(root.path().join("frames/b/~other").exists());
    }
}
