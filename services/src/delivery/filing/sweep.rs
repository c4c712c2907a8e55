//! Removes the files that have left the table, when nobody reads them any more, and warns of those that never were part of it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::work::Work;
use crate::delivery::list;
use crate::durable;
use crate::error::PortError;

impl Work {
    /// Removes what left; whoever calls holds the filing lock. Gives how many files went.
    ///
    /// A file goes before its entry does: a crash in between leaves an entry without a file, which goes next time.
    ///
    /// # Errors
    /// The first of the files that could not be removed, after the others are; it is tried again.
    pub(super) fn sweep(&self) -> Result<u64, PortError> {
        let left = self.database.read("read", list::left)?;
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut swept, mut failed) = (0, None);
        for path in turns.unread(&self.table, left)? {
            let file = self.table.join(&path);
            if let Err(error) = durable::remove_if_there(&file) {
                failed.get_or_insert_with(|| PortError::io(format!("remove file {file:?}"), error));
                continue;
            }
            self.database
                .write("forget a file in", |transaction| list::forget(transaction, &path))?;
            swept += 1;
        }
        failed.map_or(Ok(swept), Err)
    }

    /// Warns once of the files that lie in the table's folder and that its list does not know; whoever calls holds the
    /// filing lock.
    pub(super) fn warn_of_unknown(&self) {
        if self.has_looked.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.unknown() {
            Ok(unknown) if unknown.is_empty() => {}
            Ok(unknown) => tracing::warn!(
                files = unknown.len(),
                first = unknown[0],
                "files of rows lie in the table's folder and are in no list, so that no query sees them: \"millrace repair\" lists them"
            ),
            Err(error) => tracing::warn!(%error, "looking for files that are in no list failed"),
        }
    }

    /// The files that lie in the table's folder and that its list does not know, by name.
    pub(super) fn unknown(&self) -> Result<Vec<String>, PortError> {
        let mut files = list::files_in(&self.table)?;
        let known = list::known(&self.database)?;
        files.retain(|path| !known.contains(path));
        Ok(files)
    }
}
