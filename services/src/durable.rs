//! Files and folders that are there after a power cut.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::PortError;

/// Makes a folder and those it lies in; all of them are durable when this returns.
pub(crate) fn create_folder(folder: &Path) -> Result<(), PortError> {
    create_down_to(folder)
        .map_err(|error| PortError::io(format!("create folder {folder:?}"), error))
}

fn create_down_to(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let parent = parent(folder);
    create_down_to(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

/// Makes the folders that a file's path lies in; all of them are durable when this returns.
pub(crate) fn create_parents(path: &Path) -> io::Result<()> {
    create_down_to(parent(path))
}

/// Makes a folder if need be, and checks that files can be made in it.
pub(crate) fn create_writable_folder(folder: &Path) -> Result<(), PortError> {
    create_folder(folder)?;
    let probe = folder.join(format!("~probe-{}", std::process::id()));
    File::create(&probe)
        .and_then(|_| remove_if_there(&probe))
        .map_err(|error| PortError::io(format!("write to folder {folder:?}"), error))
}

/// Gives a file its place by renaming; what it replaces is gone, and the place is durable when this returns.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(parent(to))
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes a path absolute, without asking whether anything is there.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, PortError> {
    std::path::absolute(path)
        .map_err(|error| PortError::io(format!("make path {path:?} absolute"), error))
}

/// The folder that a path lies in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Makes the names of the files in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_folder_where_a_file_lies_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for folder in [file.clone(), file.join("below")] {
            let error = create_writable_folder(&folder).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().starts_with("create folder \"/"), "{error}");
        }
    }

    #[test]
    fn a_writable_folder_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        create_writable_folder(&folder).unwrap();
        create_writable_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
