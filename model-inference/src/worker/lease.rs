//! Leases held while work goes on: [`LeaseKeeper`] decides, [`Leases`] asks the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use services::ErrorKind;
use services::queue::{MAX_BATCH_ENTRIES, Queue, Receipt};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Decides which leases to extend. When one is lost is the queue's to say: it knows whether somebody else has it.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    lease: Duration,
    /// By receipt, the last moment at which the lease is known to have had its full length.
    held: HashMap<Receipt, Instant>,
}

impl LeaseKeeper {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, held: HashMap::new() }
    }

    /// Takes a lease that began at `since`, or was extended then.
    pub(crate) fn hold(&mut self, receipt: Receipt, since: Instant) {
        self.held.insert(receipt, since);
    }

    /// Notes that an extension asked for at `since` succeeded, if the lease is still held.
    pub(crate) fn extended(&mut self, receipt: &Receipt, since: Instant) {
        if let Some(begin) = self.held.get_mut(receipt) {
            *begin = since;
        }
    }

    /// Forgets a lease: its message is done with, or somebody else's.
    pub(crate) fn let_go(&mut self, receipt: &Receipt) {
        self.held.remove(receipt);
    }

    /// The leases to extend at `now`: a third of a lease is a reason to, and its end none to give up.
    pub(crate) fn due(&self, now: Instant) -> Vec<Receipt> {
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= self.lease / 3;
        let due = self.held.iter().filter(|(_, since)| is_due(since));
        due.map(|(receipt, _)| receipt.clone()).collect()
    }
}

/// The leases of one worker, extended by [`keep`](Self::keep).
#[derive(Debug)]
pub(crate) struct Leases {
    lease: Duration,
    state: Mutex<State>,
    /// Whether leases are due that the queue has not extended yet.
    behind: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    keeper: LeaseKeeper,
    lost: HashMap<Receipt, CancellationToken>,
}

/// A lease that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldLease {
    leases: Arc<Leases>,
    receipt: Receipt,
    /// Cancelled when the lease is somebody else's.
    pub(crate) lost: CancellationToken,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        state.keeper.let_go(&self.receipt);
        state.lost.remove(&self.receipt);
    }
}

impl Leases {
    pub(crate) fn new(lease: Duration) -> Arc<Self> {
        let state = State { keeper: LeaseKeeper::new(lease), lost: HashMap::new() };
        Arc::new(Self { lease, state: Mutex::new(state), behind: watch::Sender::new(false) })
    }

    /// Holds a lease that began at `since`.
    pub(crate) fn hold(self: &Arc<Self>, receipt: Receipt, since: Instant) -> HeldLease {
        let lost = CancellationToken::new();
        let mut state = self.state();
        state.keeper.hold(receipt.clone(), since);
        state.lost.insert(receipt.clone(), lost.clone());
        drop(state);
        HeldLease { leases: Arc::clone(self), receipt, lost }
    }

    /// Waits until no lease that is due is left unextended: a queue that was away for longer than a lease would give
    /// this worker its own messages again.
    pub(crate) async fn extended(&self) {
        self.behind.subscribe().wait_for(|behind| !behind).await.expect("the sender is in self");
    }

    /// Extends leases until `stop`.
    pub(crate) async fn keep(&self, queue: &dyn Queue, stop: CancellationToken) {
        let mut ticks = tokio::time::interval((self.lease / 6).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.tick(queue).await,
            }
        }
    }

    async fn tick(&self, queue: &dyn Queue) {
        let now = Instant::now();
        let due = self.state().keeper.due(now);
        self.behind.send_replace(!due.is_empty());
        let mut failed = false;
        for receipts in due.chunks(MAX_BATCH_ENTRIES) {
            match queue.extend(receipts, self.lease).await {
                Ok(outcomes) => self.settle(receipts, outcomes, now),
                Err(error) => {
                    tracing::warn!(%error, "cannot extend leases, trying again");
                    failed = true;
                }
            }
        }
        // What an answer that took a whole lease extended may have run out again.
        self.behind.send_replace(failed || now.elapsed() >= self.lease);
    }

    fn settle(&self, receipts: &[Receipt], outcomes: Vec<services::queue::Outcome>, now: Instant) {
        for (receipt, outcome) in receipts.iter().zip(outcomes) {
            match outcome {
                Ok(()) => self.state().keeper.extended(receipt, now),
                Err(error) if error.kind() == ErrorKind::NotFound => self.lose(receipt),
                Err(error) => tracing::warn!(%error, "cannot extend lease, trying again"),
            }
        }
    }

    fn lose(&self, receipt: &Receipt) {
        let mut state = self.state();
        state.keeper.let_go(receipt);
        if let Some(lost) = state.lost.remove(receipt) {
            lost.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(name: &str) -> Receipt {
        Receipt(name.to_owned())
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_extended_after_a_third_of_it() {
        let start = Instant::now();
        let mut keeper = LeaseKeeper::new(after(30));
        keeper.hold(receipt("a"), start);
        assert_eq!(keeper.due(start + after(9)), []);
        assert_eq!(keeper.due(start + after(10)), [receipt("a")]);
        keeper.extended(&receipt("a"), start + after(10));
        assert_eq!(keeper.due(start + after(19)), []);
    }

    #[test]
    fn a_lease_that_could_not_be_extended_is_asked_for_past_its_end() {
        let start = Instant::now();
        let mut keeper = LeaseKeeper::new(after(30));
        keeper.hold(receipt("a"), start);
        assert_eq!(keeper.due(start + after(29)), [receipt("a")]);
        assert_eq!(keeper.due(start + after(300)), [receipt("a")]);
        keeper.extended(&receipt("a"), start + after(300));
        assert_eq!(keeper.due(start + after(309)), []);
    }

    #[test]
    fn a_lease_let_go_is_extended_no_more() {
        let start = Instant::now();
        let mut keeper = LeaseKeeper::new(after(30));
        keeper.hold(receipt("a"), start);
        keeper.let_go(&receipt("a"));
        keeper.extended(&receipt("a"), start + after(10));
        assert_eq!(keeper.due(start + after(20)), []);
    }
}
