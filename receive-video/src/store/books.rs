//! One lane's account while its epoch lasts, and what of it is not in the spool yet.

use std::collections::BTreeMap;

use services::{Account, MediaTime};

/// The account of one epoch and model. What was shed from the spool is counted there, not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// The account, its `shed` empty.
    pub(crate) account: Account,
    /// Media time of the last frame taken.
    pub(crate) last_taken: Option<MediaTime>,
    /// Frames given up that no transaction has told the spool of.
    pub(crate) unsaved_shed: BTreeMap<String, u64>,
}

impl Books {
    /// Counts access units that arrived.
    pub(crate) fn receive(&mut self, n: u64) {
        self.account.received += n;
        self.account.pending += n;
    }

    /// Settles pending units as skipped.
    pub(crate) fn skip(&mut self, reason: &str, n: u64) {
        let n = self.settle(n);
        self.account.skip(reason, n);
    }

    /// Settles a pending unit as undecodable.
    pub(crate) fn undecodable(&mut self) {
        self.account.undecodable += self.settle(1);
    }

    /// Settles pending units as taken, up to `last`.
    pub(crate) fn take(&mut self, n: u64, last: MediaTime) {
        self.account.taken += self.settle(n);
        self.last_taken = self.last_taken.max(Some(last));
    }

    /// Counts taken frames that never came into the spool.
    pub(crate) fn shed(&mut self, reason: &str, n: u64) {
        *self.unsaved_shed.entry(reason.to_owned()).or_default() += n;
    }

    fn settle(&mut self, n: u64) -> u64 {
        debug_assert!(n <= self.account.pending, "{n} settled of {}", self.account.pending);
        let n = n.min(self.account.pending);
        self.account.pending -= n;
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_closes_after_every_step() {
        let mut books = Books::default();
        books.receive(10);
        assert!(books.account.closes());
        books.skip("not-due", 6);
        books.undecodable();
        books.take(2, MediaTime(90_000));
        assert!(books.account.closes());
        assert_eq!((books.account.pending, books.last_taken), (1, Some(MediaTime(90_000))));
    }
}
