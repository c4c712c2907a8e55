//! One message's way, in a straight line: parse → fetch → decode → run → publish → rows → deliver → how it ends.
//!
//! Fetching, answering and delivering have bounds of their own: a message counts as taken, and keeps another one from being
//! fetched and answered, until its rows begin to be delivered.
//!
//! A frame's result is published when its run ends, before any row is delivered. On each try the frames that could be answered are, and their rows delivered; when others failed the message is
//! given back. On the last try those get `error` rows and the message goes to the dead letters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use services::message::STALE;
use services::queue::Received;
use services::{
    CaptureTime, Clock, DetectionRow, FrameBatch, FrameEntry, Payload, PortError, Ports, Status,
};
use telemetry::trace::{self, Span};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answerer::{Answerer, WindowAnswer};
use super::intake::Taken;
use super::until::Until;
use crate::deliver::deliver;
use crate::model::Model;
use crate::publish::publish;
use crate::receive::{self, FetchedPayload, MAX_PAYLOAD_BYTES};
use crate::rows::{Answer, RowMaker};
use crate::status::{ModelStatus, StatusBoard};

/// What all batches of one model's worker share.
#[derive(Debug)]
pub(crate) struct BatchWorker {
    pub(crate) model: Arc<Model>,
    pub(crate) answerer: Answerer,
    pub(crate) bounds: WorkBounds,
    pub(crate) ports: Ports,
    pub(crate) board: StatusBoard,
    pub(crate) clock: Clock,
    /// Receives before the queue itself gives a message up.
    pub(crate) max_receives: u32,
    /// Whether the queue keeps order: then a message keeps its place, also where that costs a try.
    pub(crate) is_fifo: bool,
    /// This worker's name in rows.
    pub(crate) worker: String,
}

/// How much of each kind of work goes on at once.
#[derive(Debug)]
pub(crate) struct WorkBounds {
    /// Payloads that are being fetched.
    fetches: Semaphore,
    /// Bytes of payloads that are held, in KiB.
    held: Semaphore,
    /// Messages that are being delivered and acknowledged.
    deliveries: Arc<Semaphore>,
}

/// Most payloads that are fetched at once.
const FETCHES: usize = 16;
/// Most messages that are delivered and acknowledged at once.
pub(crate) const DELIVERIES: usize = 16;
/// Most KiB of payloads that are held: as much as the largest one has.
const HELD: usize = (MAX_PAYLOAD_BYTES >> 10) as usize;

impl Default for WorkBounds {
    fn default() -> Self {
        Self {
            fetches: Semaphore::new(FETCHES),
            held: Semaphore::new(HELD),
            deliveries: Arc::new(Semaphore::new(DELIVERIES)),
        }
    }
}

/// What became of a message, and its place among those that are delivered until the queue knows.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) ending: Ending,
    pub(crate) _delivery: Option<OwnedSemaphorePermit>,
}

impl From<Ending> for Stepped {
    fn from(ending: Ending) -> Self {
        Self { ending, _delivery: None }
    }
}

/// How a message ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All of its rows are accepted.
    Acknowledge,
    /// To be tried again, with the reason of this try's failure.
    Release(Option<String>),
    /// To the dead letters, with the reason.
    Bury(String),
}

/// Decides how a message ends of which the frames in `failed` came to nothing, each with its reason.
fn ending(failed: &[(String, String)], frames: usize, is_last_try: bool) -> Ending {
    let Some((frame, reason)) = failed.first() else { return Ending::Acknowledge };
    let reason = match failed.len() {
        1 if frames == 1 => reason.clone(),
        count => format!("{count} of {frames} frames failed, first {frame}: {reason}"),
    };
    if is_last_try { Ending::Bury(reason) } else { Ending::Release(Some(reason)) }
}

/// A run's answer.
#[derive(Debug)]
struct Answered<'a> {
    /// The frame that the answer is about.
    entry: &'a FrameEntry,
    answer: Answer,
    at: CaptureTime,
    /// Fetch, decode and run, without what was waited for.
    worked: Duration,
}

/// What is to be delivered about a frame.
#[derive(Debug)]
struct Due {
    rows: Vec<DetectionRow>,
    worked: Duration,
}

impl BatchWorker {
    /// Works on a leased message up to the acceptance of its rows; `taken` is dropped when its last run has ended.
    ///
    /// # Cancel safety
    /// Nothing is acknowledged in here: a dropped call leaves the message to be worked on again.
    pub(crate) async fn step(&self, received: &Received, taken: Taken) -> Stepped {
        let batch = match receive::parse(&received.body, &self.model, &self.ports.bucket.name) {
            Ok(batch) => batch,
            Err(reason) => return Ending::Bury(reason).into(),
        };
        taken.expect(batch.answered().count());
        let span = begin(&batch, received.receives);
        let is_last_try = received.receives >= self.max_receives;
        let answers = self.answers(&batch, &span, &taken, is_last_try).await;
        let failed = failures(&batch, &answers);
        let ending = ending(&failed, answers.len(), is_last_try);
        let results = self.results(&batch, &answers, is_last_try);
        if let Ending::Release(Some(reason)) | Ending::Bury(reason) = &ending {
            span.fail(reason);
        }
        let delivery = Arc::clone(&self.bounds.deliveries).acquire_owned().await.ok();
        drop(taken);
        let delivering = self.deliver(&batch, results);
        let ending = match trace::inside(&span, "deliver", delivering).await {
            Ok(()) => ending,
            Err(error) if is_last_try => Ending::Bury(error.to_string()),
            Err(error) => Ending::Release(Some(error.to_string())),
        };
        Stepped { ending, _delivery: delivery }
    }

    async fn answers<'a>(
        &self,
        batch: &'a FrameBatch,
        span: &Span,
        taken: &Taken,
        is_last_try: bool,
    ) -> Vec<Answered<'a>> {
        let bytes = receive::span(batch).end.div_ceil(1 << 10).min(HELD as u64);
        let bytes = u32::try_from(bytes).expect("the largest payload has fewer KiB");
        let _held = self.bounds.held.acquire_many(bytes).await.expect("it is never closed");
        let (fetched, fetch) = self.fetch(batch, span).await;
        let windows = batch.frames.chunks(batch.window.max(1) as usize);
        let answering = windows.filter_map(|window| Some((window, window.last()?)));
        let answering = answering.map(async |(window, entry)| {
            let (run, until) = (taken.run(), Until::new(batch, entry, &self.clock));
            let WindowAnswer { answer, at, worked } = match &fetched {
                None => WindowAnswer::of(Answer::Stale, until.now()),
                Some(Ok(payload)) => self.answerer.answer(window, payload, span, run, &until).await,
                Some(Err(reason)) => WindowAnswer::of(Answer::Failed(reason.clone()), until.now()),
            };
            if is_last_try || answer.is_final() {
                publish(self.ports.feed.as_ref(), batch, entry, &answer, at);
            }
            Answered { entry, answer, at, worked: fetch + worked }
        });
        join_all(answering).await
    }

    /// The batch's bytes, and how long they took; none when all of its frames are stale.
    async fn fetch(
        &self,
        batch: &FrameBatch,
        span: &Span,
    ) -> (Option<Result<FetchedPayload, String>>, Duration) {
        let _fetch = self.bounds.fetches.acquire().await.expect("it is never closed");
        if batch.answered().all(|entry| Until::new(batch, entry, &self.clock).is_past()) {
            return (None, Duration::ZERO);
        }
        let began = Instant::now();
        let fetching = receive::fetch(batch, &self.ports.bucket, |error| self.trouble(error));
        let fetched = trace::inside(span, "fetch", fetching).await;
        self.clear_trouble();
        (Some(fetched.map_err(|error| error.to_string())), began.elapsed())
    }

    /// The rows of each frame that has some to deliver on this try.
    fn results(&self, batch: &FrameBatch, answers: &[Answered<'_>], is_last_try: bool) -> Vec<Due> {
        let object_uri = match &batch.payload {
            Payload::Object(object) => Some(self.ports.bucket.object_uri(&object.key)),
            Payload::Inline(_) => None,
        };
        let (model_version, worker) = (self.model.version.as_str(), self.worker.as_str());
        let maker = RowMaker { batch, model_version, object_uri, worker };
        let due = answers.iter().filter(|run| is_last_try || run.answer.is_final());
        due.map(|run| Due { rows: maker.rows(run.entry, &run.answer, run.at), worked: run.worked })
            .collect()
    }

    async fn deliver(&self, batch: &FrameBatch, results: Vec<Due>) -> Result<(), PortError> {
        let rows: Vec<DetectionRow> = results.iter().flat_map(|due| &due.rows).cloned().collect();
        let delivered =
            deliver(self.ports.delivery.as_ref(), rows, |error| self.trouble(error)).await;
        self.clear_trouble();
        delivered?;
        self.count(batch, &results);
        Ok(())
    }

    fn count(&self, batch: &FrameBatch, results: &[Due]) {
        self.board.update(&self.model.name, |model| {
            let ModelStatus { streams, latency, work, .. } = model;
            let counts = streams.entry(batch.stream.clone()).or_default();
            for Due { rows, worked } in results {
                counts.rows += rows.len() as u64;
                match rows.first() {
                    Some(row) if row.reason.as_deref() == Some(STALE) => counts.stale += 1,
                    Some(row) if row.status == Status::Error => counts.errors += 1,
                    Some(row) => {
                        counts.inferred += 1;
                        let since_capture = row.stamp.captured_at.millis_until(row.inferred_at);
                        if let Some(skew) = counts.answered(since_capture, row.stamp.clock) {
                            tracing::warn!(stream = %batch.stream, model = %batch.model, "{skew}");
                        }
                        latency.record(seconds(row.latency_ms));
                        work.record(worked.as_secs_f64());
                    }
                    None => {}
                }
            }
        });
    }

    /// Shows what is being waited for.
    pub(super) fn trouble(&self, error: &PortError) {
        tracing::warn!(model = %self.model.name, %error, "waiting to try again");
        self.board.update(&self.model.name, |model| model.trouble = Some(error.to_string()));
    }

    /// Shows that the wait is over.
    pub(super) fn clear_trouble(&self) {
        self.board.update(&self.model.name, |model| model.trouble = None);
    }
}

/// Begins the worker's part of the batch's trace, and lets its events be found by the trace's id.
fn begin(batch: &FrameBatch, receives: u32) -> Span {
    tracing::Span::current().record("trace_id", trace::trace_id(&batch.traceparent));
    let span = Span::within("answer", &batch.traceparent);
    span.set("stream", batch.stream.to_string());
    span.set("epoch", batch.epoch.to_string());
    span.set("model", batch.model.to_string());
    span.count("frames", batch.frames.len() as u64);
    span.count("receives", u64::from(receives));
    span
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

fn failures(batch: &FrameBatch, answers: &[Answered<'_>]) -> Vec<(String, String)> {
    let failure = |run: &Answered<'_>| match &run.answer {
        Answer::Failed(reason) => Some((batch.frame_id(run.entry).to_string(), reason.clone())),
        Answer::Found(_) | Answer::Stale => None,
    };
    answers.iter().filter_map(failure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(count: usize) -> Vec<(String, String)> {
        vec![("gate/1/2".to_owned(), "decode jpeg: damaged".to_owned()); count]
    }

    #[test]
    fn a_message_without_failures_is_acknowledged_on_any_try() {
        assert_eq!(ending(&[], 3, false), Ending::Acknowledge);
        assert_eq!(ending(&[], 3, true), Ending::Acknowledge);
    }

    #[test]
    fn a_message_with_failures_is_tried_again_until_the_last_try() {
        let reason = "2 of 3 frames failed, first gate/1/2: decode jpeg: damaged".to_owned();
        assert_eq!(ending(&failed(2), 3, false), Ending::Release(Some(reason.clone())));
        assert_eq!(ending(&failed(2), 3, true), Ending::Bury(reason));
    }

    #[test]
    fn the_reason_of_a_lone_frame_is_the_message_s() {
        assert_eq!(ending(&failed(1), 1, true), Ending::Bury("decode jpeg: damaged".into()));
    }
}
