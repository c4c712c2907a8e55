//! Spooled bundles in → objects and messages out: object first, then message, then the bundle is deleted.
//!
//! One shipper per stream and model, so that one model's full queue holds up no other. Guarantee: each bundle is
//! sent at least once, in order; a crash between sending and deleting sends it again. What store or queue refuse
//! for good is given up and counted; everything else is tried again until it works.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use services::object_store::Bucket;
use services::queue::{MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, Queue};
use services::retry::{Backoff, WaitsFor};
use services::{ErrorKind, ModelName, PortError};
use telemetry::trace::{Span, trace_id};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::spool::{Claimed, Spool};
use crate::retry::Panicked;
use crate::status::StreamBoard;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Ships one model's bundles out of one stream's spool.
#[derive(Clone, Debug)]
pub(crate) struct Shipper {
    pub(crate) spool: Arc<Spool>,
    pub(crate) model: ModelName,
    pub(crate) bucket: Bucket,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) board: StreamBoard,
}

/// A bundle whose object is stored.
#[derive(Debug)]
struct Ready {
    bundle: Claimed,
    span: Span,
}

/// What came of trying to ship some bundles.
#[derive(Debug, Default)]
struct Shipment {
    sent: Vec<i64>,
    failure: Option<PortError>,
}

impl Shipper {
    /// Ships as [`run`](Self::run) does; a panic is a failure like others, told and tried again.
    pub(crate) async fn keep_running(self, drained: CancellationToken, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        loop {
            let running = tokio::spawn(self.clone().run(drained.clone(), stop.clone()));
            let Err(error) = AbortOnDropHandle::new(running).await else { return };
            let panicked = Panicked::of("shipping", error);
            self.report(&PortError::new(ErrorKind::Unavailable, "ship bundles", panicked));
            if stop.run_until_cancelled(backoff.pause()).await.is_none() {
                return;
            }
        }
    }

    /// Ships until `drained` is cancelled and nothing is left, or until `stop` is cancelled.
    ///
    /// # Cancel safety
    /// Dropped at any moment, it loses nothing.
    async fn run(self, drained: CancellationToken, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut sent = Vec::new();
        loop {
            // A step that is cut short sends again what it had just sent, at the next start.
            let stepped = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                stepped = self.step(&mut sent, backoff.is_fresh()) => stepped,
            };
            let failure = match stepped {
                Ok(Some(failure)) | Err(failure) => failure,
                Ok(None) => {
                    backoff.reset();
                    self.board.shipping(&self.model, None);
                    if !self.wait_for_more(&drained, &stop).await {
                        return;
                    }
                    continue;
                }
            };
            self.report(&failure);
            if !sent.is_empty() {
                // Some calls failed and others did not: the other side is busy rather than away.
                backoff.reset();
            }
            if stop.run_until_cancelled(backoff.pause()).await.is_none() {
                return;
            }
        }
    }

    /// Deletes what was sent, claims the next bundles and sends them, until none is left or something fails.
    async fn step(
        &self,
        sent: &mut Vec<i64>,
        healthy: bool,
    ) -> Result<Option<PortError>, PortError> {
        // While the other side is away, claim one at a time: what is claimed, no policy may drop.
        let mut most = if healthy { MAX_BATCH_ENTRIES } else { 1 };
        while !sent.is_empty() || self.has_bundle().await? {
            let (model, ids) = (self.model.clone(), sent.clone());
            let claimed = self.blocking(move |spool| spool.claim(&model, &ids, most)).await?;
            sent.clear();
            let shipment = self.ship(claimed).await?;
            sent.extend(shipment.sent);
            self.board.spooled(self.spool.counts());
            if shipment.failure.is_some() {
                return Ok(shipment.failure);
            }
            most = MAX_BATCH_ENTRIES;
        }
        self.board.spooled(self.spool.counts());
        Ok(None)
    }

    async fn ship(&self, claimed: Vec<Claimed>) -> Result<Shipment, PortError> {
        let mut shipment = Shipment::default();
        let mut ready: Vec<Ready> = Vec::new();
        for bundle in claimed {
            let span = Span::within("ship", traceparent(&bundle.message));
            match self.put_object(&bundle).await {
                Ok(()) => ready.push(Ready { bundle, span }),
                Err(error) if is_final(&error) => self.give_up(&bundle, &span, &error).await?,
                Err(error) => {
                    span.fail(&error);
                    shipment.failure = Some(error);
                    break;
                }
            }
        }
        while !ready.is_empty() {
            let rest = ready.split_off(batch_len(&ready));
            self.send(&ready, &mut shipment).await?;
            ready = rest;
        }
        Ok(shipment)
    }

    async fn put_object(&self, bundle: &Claimed) -> Result<(), PortError> {
        let Some(key) = &bundle.key else { return Ok(()) };
        let id = bundle.id;
        let bytes = self.blocking(move |spool| spool.payload(id)).await?;
        self.bucket.store.put(key, bytes).await
    }

    async fn send(&self, ready: &[Ready], shipment: &mut Shipment) -> Result<(), PortError> {
        let bodies: Vec<String> = ready.iter().map(|one| one.bundle.message.clone()).collect();
        let outcomes = match self.queue.send(&bodies).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                ready.iter().for_each(|one| one.span.fail(&error));
                shipment.failure = Some(error);
                return Ok(());
            }
        };
        for (Ready { bundle, span }, outcome) in ready.iter().zip(outcomes) {
            match outcome {
                Ok(()) => shipment.sent.push(bundle.id),
                Err(error) if is_final(&error) => self.give_up(bundle, span, &error).await?,
                Err(error) => {
                    span.fail(&error);
                    shipment.failure = Some(error);
                }
            }
        }
        Ok(())
    }

    async fn give_up(
        &self,
        bundle: &Claimed,
        span: &Span,
        error: &PortError,
    ) -> Result<(), PortError> {
        span.fail(error);
        let trace_id = trace_id(traceparent(&bundle.message));
        tracing::error!(model = %self.model, %error, trace_id, "a bundle is refused for good and given up");
        let id = bundle.id;
        self.blocking(move |spool| spool.refuse(id)).await
    }

    async fn has_bundle(&self) -> Result<bool, PortError> {
        let model = self.model.clone();
        self.blocking(move |spool| spool.has(&model)).await
    }

    /// Waits for a bundle; false when none will come.
    async fn wait_for_more(&self, drained: &CancellationToken, stop: &CancellationToken) -> bool {
        let arrived = self.spool.arrived();
        tokio::pin!(arrived);
        arrived.as_mut().enable();
        // Between the last look and this registration one may have come.
        if !matches!(self.has_bundle().await, Ok(false)) {
            return !stop.is_cancelled();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = arrived => true,
            () = drained.cancelled() => false,
        }
    }

    fn report(&self, failure: &PortError) {
        let away = format!("model {}: {failure}", self.model);
        if self.board.shipping(&self.model, Some(away.clone())) {
            let bundles = self.spool.counts().bundles;
            tracing::warn!(error = %away, bundles, "store or queue are away, bundles wait in the spool");
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let spool = Arc::clone(&self.spool);
        match tokio::task::spawn_blocking(move || work(&spool)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(PortError::new(ErrorKind::Unavailable, "work on spool", error)),
        }
    }
}

/// Denied, missing and damaged are somebody's mistake that somebody will mend: the bundle waits for it.
fn is_final(error: &PortError) -> bool {
    !WaitsFor::Repair.covers(error)
}

/// The trace context of a message.
fn traceparent(message: &str) -> &str {
    #[derive(Deserialize)]
    struct Traced<'a> {
        traceparent: &'a str,
    }
    serde_json::from_str(message).map_or("", |Traced { traceparent }| traceparent)
}

/// How many of the first bundles one call of the queue takes.
fn batch_len(ready: &[Ready]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Ready| {
        bytes += one.bundle.message.len();
        bytes <= MAX_MESSAGE_BYTES
    };
    ready.iter().take(MAX_BATCH_ENTRIES).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_the_queue_keeps_both_limits() {
        let bundles = |count, bytes| -> Vec<Ready> {
            let message = "x".repeat(bytes);
            let bundle = Claimed { id: 1, key: None, message };
            let ready = || Ready { bundle: bundle.clone(), span: Span::within("ship", "") };
            std::iter::repeat_with(ready).take(count).collect()
        };
        assert_eq!(batch_len(&bundles(25, 10)), MAX_BATCH_ENTRIES);
        assert_eq!(batch_len(&bundles(5, MAX_MESSAGE_BYTES / 2)), 2);
        assert_eq!(batch_len(&bundles(1, MAX_MESSAGE_BYTES + 1)), 1);
    }
}
