//! How far objects have been removed: written down before the first of them goes.
//!
//! On a full disk too, where room is what removing makes: the next boundary's file lies there beforehand.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{ErrorKind, PortError};
use crate::id::Epoch;
use crate::time::CaptureTime;

/// Names that no key can have.
const FILE: &str = "~retention.json";
const SPARE: &str = "~retention.next";
const LOCK: &str = "~retention.lock";

/// Objects that were stored before a time may be gone; those stored later are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// That time, in UTC microseconds.
    pub before: CaptureTime,
}

impl Boundary {
    /// Reads the boundary of the object store in the folder `root`; none when nothing was ever removed there. Blocks.
    ///
    /// # Errors
    /// `Corrupt` when the file is no boundary; it is named.
    pub fn read(root: &Path) -> Result<Option<Self>, PortError> {
        let path = root.join(FILE);
        let attempt = || format!("read the boundary of removed objects {path:?}");
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PortError::io(attempt(), error)),
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| PortError::new(ErrorKind::Corrupt, attempt(), error)),
        }
    }

    /// Moves the boundary on; it never moves back.
    pub(super) fn advance(root: &Path, before: CaptureTime) -> Result<(), PortError> {
        if Self::read(root)?.is_some_and(|boundary| boundary.before >= before) {
            return Ok(());
        }
        let (path, next) = (root.join(FILE), root.join(SPARE));
        write(&next, Self { before })
            .and_then(|()| durable::rename(&next, &path))
            .map_err(|error| PortError::io(format!("write the boundary {path:?}"), error))
    }

    /// Tells whether an object may be gone because it was removed: its epoch began before the boundary.
    fn explains(&self, key: &str) -> bool {
        let mut parts = key.split('/');
        let is_of_frames = parts.next() == Some(super::FRAMES);
        let epoch = parts.nth(1).and_then(|epoch| epoch.parse().ok());
        is_of_frames && epoch.is_some_and(|epoch| Epoch(epoch).begin() < self.before)
    }
}

/// Why an object is not there, if removing may be the reason.
pub(in crate::object_store) fn why_gone(root: &Path, key: &str) -> Option<String> {
    let boundary = Boundary::read(root).ok()?.filter(|boundary| boundary.explains(key))?;
    let Boundary { before } = boundary;
    Some(format!("it is gone; retention.objects has removed objects stored before {before}"))
}

/// Leaves the file that the next boundary is written to. Where there is no room for it now, there may be the next time.
pub(super) fn make_spare(root: &Path) {
    let next = root.join(SPARE);
    if !next.exists() && write(&next, Boundary { before: CaptureTime(0) }).is_err() {
        drop(fs::remove_file(&next));
    }
}

/// Always as long, so that what lies there is written over.
fn write(path: &Path, boundary: Boundary) -> io::Result<()> {
    let text = format!("{{\"before\": {:>20}}}\n", boundary.before.0);
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Takes the right to remove objects, until the file is dropped or the process dies; none while somebody has it.
pub(super) fn try_lock(root: &Path) -> Result<Option<File>, PortError> {
    let path: PathBuf = root.join(LOCK);
    let failed = |error| PortError::io(format!("lock file {path:?}"), error);
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
