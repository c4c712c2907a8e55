//! Tends the files: what is due leaves, what is small is put together, what has left is removed.

use tokio_util::sync::CancellationToken;

use super::Tended;
use super::work::Work;
use crate::delivery::lock::FilingLock;
use crate::delivery::retired;
use crate::error::PortError;

impl Work {
    /// Does what is to do, the filing lock taken anew for each step, until `stop` is cancelled.
    ///
    /// # Errors
    /// The first, after what can be done without it.
    pub(super) fn tend(&self, stop: &CancellationToken) -> Result<Tended, PortError> {
        let mut done = Tended::default();
        let (mut failed, mut can_retire) = (None, true);
        loop {
            let Some(_lock) = FilingLock::try_take(&self.table)? else {
                done.is_held_up = true;
                break;
            };
            // No file is removed before the copy tells that it has left.
            retired::even_out(&self.database, &self.table, self.clock.now())?;
            match self.sweep() {
                Ok(removed) => done.removed += removed,
                Err(error) => _ = failed.get_or_insert(error),
            }
            match if can_retire { self.retire_some(stop) } else { Ok(None) } {
                Ok(Some(left)) => {
                    done.retired += left.files;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    can_retire = false;
                    failed.get_or_insert(error);
                }
            }
            match self.compact_one(stop) {
                Ok(0) => break,
                Ok(left) => {
                    done.left += left;
                    done.made += 1;
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }
}
