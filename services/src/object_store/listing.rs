//! Lists a folder's files as keys, in byte order.

use std::fs;
use std::io;
use std::path::Path;

use super::{ObjectMeta, check_key};

/// One page of a listing.
pub(super) struct Listing {
    prefix: String,
    after: String,
    limit: usize,
    found: Vec<ObjectMeta>,
}

impl Listing {
    /// A page of up to `limit` keys that start with `prefix` and come after `after`.
    pub(super) fn new(prefix: &str, after: &str, limit: usize) -> Self {
        Self { prefix: prefix.to_owned(), after: after.to_owned(), limit, found: Vec::new() }
    }

    /// Reads the page from the folder `root`.
    pub(super) fn of(mut self, root: &Path) -> io::Result<Vec<ObjectMeta>> {
        self.walk(root, "")?;
        Ok(self.found)
    }

    fn walk(&mut self, folder: &Path, key: &str) -> io::Result<()> {
        for name in self.names(folder, key)? {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            let path = folder.join(name.trim_end_matches('/'));
            let key = format!("{key}{name}");
            if name.ends_with('/') {
                self.walk(&path, &key)?;
            } else if let Some(size) = size_if_there(&path)? {
                self.found.push(ObjectMeta { key, size });
            }
        }
        Ok(())
    }

    /// The names in a folder that can matter, folders with a slash at their end: so they sort as keys do.
    fn names(&self, folder: &Path, key: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if check_key(&name).is_err() || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                name.push('/');
            }
            if self.may_hold(&format!("{key}{name}")) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Tells whether a key, or one below a folder's key, can be on the page.
    fn may_hold(&self, key: &str) -> bool {
        if key.ends_with('/') {
            (key.starts_with(&self.prefix) || self.prefix.starts_with(key))
                && (key > self.after.as_str() || self.after.starts_with(key))
        } else {
            key.starts_with(&self.prefix) && key > self.after.as_str()
        }
    }
}

/// A file's size, unless it was removed in the meantime.
fn size_if_there(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
