//! Removes the files that have left the table, when nobody reads them any more.

use std::sync::PoisonError;

use super::work::Work;
use crate::delivery::list;
use crate::durable;
use crate::error::PortError;

impl Work {
    /// Removes what left; whoever calls holds the filing lock. Gives how many files went.
    ///
    /// A file goes before its entry does: a crash in between leaves an entry without a file, which goes next time.
    pub(super) fn sweep(&self) -> Result<u64, PortError> {
        let left = self.database.read("read", list::left)?;
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut swept = 0;
        for path in turns.unread(&self.table, left)? {
            let file = self.table.join(&path);
            durable::remove_if_there(&file)
                .map_err(|error| PortError::io(format!("remove file {file:?}"), error))?;
            self.database
                .write("forget a file in", |transaction| list::forget(transaction, &path))?;
            swept += 1;
        }
        Ok(swept)
    }
}
