//! Leases held while work goes on: [`LeaseKeeper`] decides, [`Leases`] asks the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use services::ErrorKind;
use services::queue::{MAX_BATCH_ENTRIES, Queue, Receipt};
use tokio_util::sync::CancellationToken;

/// Decides which leases to extend, and which are lost because they could not be.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    lease: Duration,
    /// By receipt, the last moment at which the lease is known to have had its full length.
    held: HashMap<Receipt, Instant>,
}

/// What a tick asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Leases to extend.
    pub(crate) extend: Vec<Receipt>,
    /// Leases that ran out; they are held no more.
    pub(crate) lost: Vec<Receipt>,
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

    /// Says what is to be done at `now`: a third of a lease is a reason to extend it, a whole one its end.
    pub(crate) fn on_tick(&mut self, now: Instant) -> Tick {
        let age = |since: &Instant| now.saturating_duration_since(*since);
        let (lease, mut tick) = (self.lease, Tick::default());
        self.held.retain(|receipt, since| {
            let keep = age(since) < lease;
            if !keep {
                tick.lost.push(receipt.clone());
            } else if age(since) >= lease / 3 {
                tick.extend.push(receipt.clone());
            }
            keep
        });
        tick
    }
}

/// The leases of one worker, extended by [`keep`](Self::keep).
#[derive(Debug)]
pub(crate) struct Leases {
    lease: Duration,
    state: Mutex<State>,
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
        Arc::new(Self { lease, state: Mutex::new(state) })
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

    /// Extends leases until `stop`.
    pub(crate) async fn keep(&self, queue: &dyn Queue, stop: CancellationToken) {
        let mut ticks = tokio::time::interval((self.lease / 6).max(Duration::from_millis(1)));
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
        let tick = self.state().keeper.on_tick(now);
        tick.lost.iter().for_each(|receipt| self.lose(receipt));
        for receipts in tick.extend.chunks(MAX_BATCH_ENTRIES) {
            match queue.extend(receipts, self.lease).await {
                Ok(outcomes) => self.settle(receipts, outcomes, now),
                Err(error) => tracing::warn!(%error, "cannot extend leases, trying again"),
            }
        }
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
        assert_eq!(keeper.on_tick(start + after(9)), Tick::default());
        let due = Tick { extend: vec![receipt("a")], lost: vec![] };
        assert_eq!(keeper.on_tick(start + after(10)), due);
        keeper.extended(&receipt("a"), start + after(10));
        assert_eq!(keeper.on_tick(start + after(19)), Tick::default());
    }

    #[test]
    fn a_lease_that_could_not_be_extended_is_lost_when_it_runs_out() {
        let start = Instant::now();
        let mut keeper = LeaseKeeper::new(after(30));
        keeper.hold(receipt("a"), start);
        assert_eq!(keeper.on_tick(start + after(29)).extend, [receipt("a")]);
        let lost = Tick { extend: vec![], lost: vec![receipt("a")] };
        assert_eq!(keeper.on_tick(start + after(30)), lost);
        keeper.extended(&receipt("a"), start + after(31));
        assert_eq!(keeper.on_tick(start + after(50)), Tick::default());
    }

    #[test]
    fn a_lease_let_go_is_extended_no_more() {
        let start = Instant::now();
        let mut keeper = LeaseKeeper::new(after(30));
        keeper.hold(receipt("a"), start);
        keeper.let_go(&receipt("a"));
        assert_eq!(keeper.on_tick(start + after(20)), Tick::default());
    }
}
