//! The loss equation's books: what became of every access unit, per stream, epoch and model.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of one epoch's access units for one model, as the receiver knows it.
///
/// `received = taken + skipped + undecodable + pending`. What became of the taken frames after they were
/// durable (delivered, in flight, dead) is read from the queue and the table; `shed` is the receiver's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Access units that arrived.
    pub received: u64,
    /// Runs asked for: frames (a window counts by its last) whose bundle is durable in the spool or beyond.
    pub taken: u64,
    /// Access units that were not asked for or could not be, by reason (`not-due`, `not-key`, `context`, …).
    pub skipped: BTreeMap<String, u64>,
    /// Access units that the decoder refused.
    pub undecodable: u64,
    /// Access units that are still in the decoder or an open bundle: decided soon, lost by a crash.
    pub pending: u64,
    /// Taken frames given up before they reached the queue, by reason (`spool-full`, …).
    pub shed: BTreeMap<String, u64>,
}

impl Account {
    /// Access units skipped, for whatever reason.
    pub fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Taken frames given up, for whatever reason.
    pub fn shed_total(&self) -> u64 {
        self.shed.values().sum()
    }

    /// Tells whether every access unit received is accounted for.
    pub fn closes(&self) -> bool {
        self.received == self.taken + self.skipped_total() + self.undecodable + self.pending
    }

    /// Counts `n` access units as skipped for `reason`.
    pub fn skip(&mut self, reason: &str, n: u64) {
        count(&mut self.skipped, reason, n);
    }

    /// Counts `n` taken frames as given up for `reason`.
    pub fn shed(&mut self, reason: &str, n: u64) {
        count(&mut self.shed, reason, n);
    }

    /// Adds another epoch's account to this one.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.taken += other.taken;
        self.undecodable += other.undecodable;
        self.pending += other.pending;
        other.skipped.iter().for_each(|(reason, n)| self.skip(reason, *n));
        other.shed.iter().for_each(|(reason, n)| self.shed(reason, *n));
    }
}

fn count(by_reason: &mut BTreeMap<String, u64>, reason: &str, n: u64) {
    if n > 0 {
        *by_reason.entry(reason.to_owned()).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_closes_when_every_unit_is_decided_or_pending() {
        let mut account = Account { received: 10, taken: 2, pending: 1, ..Account::default() };
        account.skip("not-due", 7);
        assert!(account.closes());
        account.received += 1;
        assert!(!account.closes());
    }

    #[test]
    fn epochs_add_up_by_reason() {
        let mut total = Account::default();
        let mut epoch = Account { received: 3, taken: 1, ..Account::default() };
        epoch.skip("not-due", 2);
        epoch.shed("spool-full", 1);
        total.add(&epoch);
        total.add(&epoch);
        assert_eq!((total.skipped["not-due"], total.shed["spool-full"]), (4, 2));
        assert!(total.closes());
    }
}
