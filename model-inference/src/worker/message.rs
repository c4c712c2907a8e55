//! One message from its lease to its end, told to the queue.

use std::future::{self, Future};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use services::queue::{Outcome, Received};
use services::retry::{Backoff, WaitsFor};
use services::stop::FAREWELL;
use services::{ErrorKind, PortError, WorkQueue};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::batch::{BatchWorker, Ending, Stepped};
use super::intake::Taken;
use super::lease::HeldLease;
use crate::panic::words;
use crate::status::ModelStatus;

/// One message from its lease to its end.
pub(super) struct MessageTask {
    pub(super) batches: Arc<BatchWorker>,
    pub(super) queue: WorkQueue,
    pub(super) message: Received,
    pub(super) lease: HeldLease,
    pub(super) shutdown: CancellationToken,
    pub(super) hurry: CancellationToken,
}

impl MessageTask {
    /// Brings the message to its end; `taken` is dropped when its last run has ended.
    pub(super) async fn run(self, taken: Taken) {
        // At the level of the events that matter most, so that the filter that shows those shows whose they are.
        let batch = tracing::error_span!("batch", trace_id = tracing::field::Empty);
        self.bring_to_end(taken).instrument(batch).await;
    }

    async fn bring_to_end(self, taken: Taken) {
        let _in_flight = InFlight::enter(&self.batches);
        let begun = taken.begun();
        let Stepped { ending, _delivery } = tokio::select! {
            biased;
            () = self.lease.lost.cancelled() => {
                tracing::warn!(model = %self.batches.model.name, "lease lost, message left to its new owner");
                self.count(|model| model.lost_leases += 1);
                return;
            }
            () = self.hurry.cancelled() => Ending::Release(None).into(),
            () = self.shutdown_before(&begun) => Ending::Release(None).into(),
            stepped = self.step(taken) => stepped,
        };
        let settling = self.settle(&ending);
        let settled = tokio::select! {
            biased;
            settled = settling => settled,
            () = farewell(&self.hurry) => return,
        };
        match settled {
            Ok(()) => self.note(&ending),
            Err(error) => {
                tracing::warn!(model = %self.batches.model.name, %error, "message comes again");
            }
        }
    }

    /// Works on the message. A panic is a failure like others: it costs this try, and says why.
    async fn step(&self, taken: Taken) -> Stepped {
        let stepping = self.batches.step(&self.message, taken);
        let stepped = AssertUnwindSafe(stepping).catch_unwind().await;
        stepped.unwrap_or_else(|panic| {
            let reason = format!("work on frame batch: it panicked: {}", words(panic.as_ref()));
            match self.message.receives {
                receives if receives >= self.batches.max_receives => Ending::Bury(reason).into(),
                _ => Ending::Release(Some(reason)).into(),
            }
        })
    }

    /// Waits for a shutdown that comes before the first run, when others may as well begin with the message.
    async fn shutdown_before(&self, begun: &AtomicBool) {
        self.shutdown.cancelled().await;
        if begun.load(Ordering::Relaxed) || self.batches.is_fifo {
            future::pending().await
        }
    }

    /// Tells the queue. A message that is given back on its last receive would be a dead letter although it never
    /// failed: it is sent anew, and then acknowledged. Whoever dies between the two doubles it.
    async fn settle(&self, ending: &Ending) -> Result<(), PortError> {
        let is_last = self.message.receives >= self.batches.max_receives;
        if *ending == Ending::Release(None) && is_last && !self.batches.is_fifo {
            self.insist(|| self.send_anew()).await?;
            return self.insist(|| self.tell(&Ending::Acknowledge)).await;
        }
        self.insist(|| self.tell(ending)).await
    }

    /// Asks the queue again while it is away or denied: the lease is held meanwhile.
    async fn insist<F: Future<Output = Result<(), PortError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<(), PortError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            match call().await {
                Err(error)
                    if WaitsFor::Permission.covers(&error) && !self.lease.lost.is_cancelled() =>
                {
                    self.batches.trouble(&error);
                }
                settled => {
                    self.batches.clear_trouble();
                    return settled;
                }
            }
            backoff.pause().await;
        }
    }

    async fn send_anew(&self) -> Result<(), PortError> {
        only(self.queue.queue.send(std::slice::from_ref(&self.message.body)).await?)
    }

    async fn tell(&self, ending: &Ending) -> Result<(), PortError> {
        let receipt = &self.message.receipt;
        match ending {
            Ending::Acknowledge => {
                only(self.queue.queue.acknowledge(std::slice::from_ref(receipt)).await?)
            }
            Ending::Release(reason) => {
                only(self.queue.queue.release(&[(receipt.clone(), reason.clone())]).await?)
            }
            Ending::Bury(reason) => self.queue.dead.bury(receipt, reason).await,
        }
    }

    fn note(&self, ending: &Ending) {
        let model = &self.batches.model.name;
        match ending {
            Ending::Acknowledge => self.count(|model| model.answered += 1),
            Ending::Release(None) => {}
            Ending::Release(Some(reason)) => {
                tracing::warn!(%model, receives = self.message.receives, reason, "batch failed, tried again");
                self.count(|model| model.retried += 1);
            }
            Ending::Bury(reason) => {
                tracing::error!(%model, reason, "batch given up, see the dead letters");
                self.count(|model| model.buried += 1);
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut ModelStatus)) {
        self.batches.board.update(&self.batches.model.name, change);
    }
}

/// Counts a message as in flight for as long as it lives, also through a panic.
struct InFlight<'a>(&'a BatchWorker);

impl<'a> InFlight<'a> {
    fn enter(batches: &'a BatchWorker) -> Self {
        batches.board.update(&batches.model.name, |model| model.in_flight += 1);
        Self(batches)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.board.update(&self.0.model.name, |model| model.in_flight -= 1);
    }
}

/// The outcome of a batch of one entry.
fn only(outcomes: Vec<Outcome>) -> Result<(), PortError> {
    outcomes.into_iter().next().unwrap_or_else(|| {
        let cause = "it gave no outcome for the entry";
        Err(PortError::because(ErrorKind::Unavailable, "settle message with the queue", cause))
    })
}

async fn farewell(hurry: &CancellationToken) {
    hurry.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}
