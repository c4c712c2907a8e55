//! Accounts of ended epochs that the spool could not take: kept until it can, so that what was dropped while a disk
//! was full is counted all the same.

use std::collections::VecDeque;

use services::{Epoch, ModelName};

use crate::store::Books;

/// Most ended epochs that are kept; past it the oldest is forgotten, and reads as a crash.
const MOST_EPOCHS: usize = 64;

/// One ended epoch's accounts.
pub(super) type EndedEpoch = (Epoch, Vec<(ModelName, Books)>);

/// The accounts that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    epochs: VecDeque<EndedEpoch>,
}

impl Unsaved {
    /// Keeps the accounts of an epoch that has ended.
    pub(super) fn keep(&mut self, ended: EndedEpoch) {
        if self.epochs.len() == MOST_EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back(ended);
    }

    /// Saves what waits, up to the first failure.
    pub(super) fn save<E>(
        &mut self,
        mut save: impl FnMut(Epoch, &[(&ModelName, &Books)]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((epoch, lanes)) = self.epochs.front() {
            let lanes: Vec<_> = lanes.iter().map(|(model, books)| (model, books)).collect();
            save(*epoch, &lanes)?;
            self.epochs.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(epoch: u64) -> EndedEpoch {
        let mut books = Books::default();
        books.shed("disk-full", epoch);
        (Epoch(epoch), vec![(ModelName::new("shapes").unwrap(), books)])
    }

    #[test]
    fn accounts_wait_for_the_disk_and_are_saved_once_in_order() {
        let mut unsaved = Unsaved::default();
        (1..=3).for_each(|epoch| unsaved.keep(ended(epoch)));
        let mut saved = Vec::new();
        let refused = unsaved.save(|epoch, _| {
            if epoch.0 < 2 {
                saved.push(epoch.0);
                Ok(())
            } else {
                Err(())
            }
        });
        assert_eq!(refused, Err(()));
        assert_eq!(saved, [1]);
        unsaved
            .save(|epoch, lanes| {
                assert_eq!(lanes[0].1.unsaved_shed["disk-full"], epoch.0);
                saved.push(epoch.0);
                Ok::<_, ()>(())
            })
            .unwrap();
        unsaved.save(|_, _| -> Result<(), ()> { panic!("nothing waits any more") }).unwrap();
        assert_eq!(saved, [1, 2, 3]);
    }

    #[test]
    fn no_more_than_so_many_epochs_wait() {
        let mut unsaved = Unsaved::default();
        (1..=100).for_each(|epoch| unsaved.keep(ended(epoch)));
        let mut saved = Vec::new();
        unsaved
            .save(|epoch, _| -> Result<(), ()> {
                saved.push(epoch.0);
                Ok(())
            })
            .unwrap();
        assert_eq!(saved, (37..=100).collect::<Vec<_>>());
    }
}
