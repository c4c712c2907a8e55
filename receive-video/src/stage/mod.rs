//! Arrivals in → durable bundles out: one thread per stream that samples, decodes, encodes, bundles and stores.
//!
//! Guarantee: every access unit is in the account of every lane, and the account closes at any moment. When the
//! spool has no room or cannot be written to, its policy holds; a source that can wait, waits. Once it is told to stop,
//! it counts what its inbox still holds as skipped, and stores the bundles that are open.

mod encode;
mod epoch;
mod failing;
mod lane;
#[cfg(test)]
mod tests;
mod unsaved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use services::config::{Size, SpoolPolicy};
use services::{Account, Clock, ErrorKind, FrameBatch, ModelName, PortError, StreamId};
use telemetry::trace::Span;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bundle::Bundle;
use crate::inbox::{Held, Inbound};
use crate::sample::reason;
use crate::status::{StreamBoard, Trouble};
use crate::store::{Spool, Stored, shed};
use epoch::{EpochConfig, EpochWork, LaneBundle};
use failing::{Attempt, Failing};
pub(crate) use lane::LaneConfig;
use unsaved::Unsaved;

/// How often accounts are saved.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait for room or for a disk that works before trying again.
const RETRY: Duration = Duration::from_millis(200);

/// What a stage needs.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) stream: StreamId,
    pub(crate) lanes: Vec<LaneConfig>,
    pub(crate) bucket: String,
    /// Where results are wanted besides the table.
    pub(crate) reply_to: Option<String>,
    pub(crate) max_pixels: u64,
    pub(crate) window_bytes: Size,
    pub(crate) policy: SpoolPolicy,
    pub(crate) spool: Arc<Spool>,
    pub(crate) board: StreamBoard,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
}

/// Figures of the epochs that have ended.
#[derive(Clone, Debug, Default)]
struct Past {
    received: u64,
    accounts: BTreeMap<ModelName, Account>,
}

impl Past {
    /// What a stage that panicked left on the board; what it had not decided yet is lost, as after a crash.
    fn before(board: &StreamBoard) -> Self {
        let (received, mut accounts) = board.figures();
        for account in accounts.values_mut() {
            let pending = std::mem::take(&mut account.pending);
            account.skip(reason::CRASH, pending);
        }
        Self { received, accounts }
    }
}

struct Worker {
    stage: Stage,
    work: Option<EpochWork>,
    next_save: Instant,
    past: Past,
    unsaved: Unsaved,
    failing: Failing,
    /// What was said of lanes since one of them gave a frame.
    told: BTreeSet<(ModelName, &'static str)>,
}

impl Stage {
    /// Runs on the calling thread until the inbox is closed and empty.
    ///
    /// # Errors
    /// No decoder can be had.
    pub(crate) fn run(
        self,
        mut inbox: mpsc::Receiver<Held>,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        let mut worker = Worker::new(self);
        loop {
            let wait = worker.deadline().saturating_duration_since(Instant::now());
            let held = match inbox.try_recv() {
                Ok(held) => Ok(Some(held)),
                Err(_) => {
                    runtime.block_on(async { tokio::time::timeout(wait, inbox.recv()).await })
                }
            };
            match held {
                Ok(Some(Held { inbound, .. })) => worker.handle(inbound)?,
                Ok(None) => break,
                Err(_) => {}
            }
            worker.tick(Instant::now());
        }
        let units = worker.work.as_ref().map_or(0, |work| work.received);
        worker.close(units);
        Ok(())
    }
}

impl Worker {
    fn new(stage: Stage) -> Self {
        Self {
            work: None,
            next_save: Instant::now() + SAVE_EVERY,
            past: Past::before(&stage.board),
            stage,
            unsaved: Unsaved::default(),
            failing: Failing::default(),
            told: BTreeSet::new(),
        }
    }

    fn handle(&mut self, inbound: Inbound) -> anyhow::Result<()> {
        match inbound {
            Inbound::Open(epoch) => {
                self.work = Some(EpochWork::new(&self.stage.epoch_config(), epoch)?);
                self.save(false);
            }
            Inbound::Unit(arrival) if self.stage.stop.is_cancelled() => {
                if let Some(work) = &mut self.work {
                    work.skip(arrival.stamp.seq.0, reason::STOPPED);
                }
            }
            Inbound::Unit(arrival) => {
                let bundles = self.work.as_mut().map(|work| work.unit(*arrival, Instant::now()));
                self.store_all(bundles.unwrap_or_default());
            }
            Inbound::Close { units } => self.close(units),
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let due = self.work.as_ref().and_then(EpochWork::deadline);
        due.map_or(self.next_save, |due| due.min(self.next_save))
    }

    fn tick(&mut self, now: Instant) {
        if let Some(work) = &mut self.work {
            let bundles = work.due(now);
            self.store_all(bundles);
        }
        if now >= self.next_save {
            self.next_save = now + SAVE_EVERY;
            self.save(false);
        }
    }

    fn close(&mut self, units: u64) {
        let Some(work) = &mut self.work else { return };
        let bundles = work.finish(units, Instant::now());
        self.store_all(bundles);
        let saved = self.save(true);
        self.past = self.figures();
        let Some(work) = self.work.take() else { return };
        if work.lanes.iter().any(|lane| lane.books.account.taken > 0) {
            self.told.clear();
        }
        if !saved {
            let lanes = work.lanes.into_iter().map(|lane| (lane.config.model, lane.books));
            self.unsaved.keep((work.epoch, lanes.collect()));
        }
    }

    fn store_all(&mut self, bundles: Vec<LaneBundle>) {
        for (index, bundle) in bundles {
            self.store(index, bundle);
        }
    }

    /// Stores a bundle, or gives it up as the policy says.
    fn store(&mut self, index: usize, mut bundle: Bundle) {
        let Some(work) = &mut self.work else { return };
        let lane = &mut work.lanes[index];
        let (model, books) = (&lane.config.model, &mut lane.books);
        bundle.batch.traceparent = trace(&bundle);
        let now = (self.stage.clock.now(), Instant::now());
        let fresh = lane.config.sample.fresh;
        bundle.batch.deadline = fresh.map(|fresh| bundle.deadline(fresh.duration(), now));
        loop {
            let mut after = books.clone();
            after.take(bundle.runs, bundle.last_taken);
            let waiting_for = match self.stage.spool.commit(&bundle, &after) {
                Ok(Stored::Yes | Stored::Shed) => {
                    after.unsaved_shed.clear();
                    *books = after;
                    self.failing.succeeds(Attempt::Store);
                    self.stage.board.storing(self.failing.words().cloned());
                    // Whoever compares the figures must not see answers to frames that are not counted yet.
                    self.stage.board.update(|status| status.taken += bundle.runs);
                    return;
                }
                Ok(Stored::NoRoom) => "the spool is full: the source waits".to_owned(),
                Err(error) if self.stage.policy == SpoolPolicy::Block => error.to_string(),
                Err(error) => {
                    after.shed(shed_reason(&error), bundle.runs);
                    self.stage.spool.count_lost(model, shed_reason(&error), bundle.runs);
                    *books = after;
                    let news = self.failing.refuses(bundle.size(&bundle.batch.to_json()), &error);
                    self.stage.trouble(&error, news);
                    return;
                }
            };
            if self.stage.stop.is_cancelled() {
                books.skip(reason::STOPPED, bundle.runs);
                return;
            }
            self.stage.board.storing(Some(waiting_for));
            self.stage.spool.wait_for_room(RETRY);
        }
    }

    /// Saves the accounts; tells whether the spool took them.
    fn save(&mut self, closed: bool) -> bool {
        let spool = &self.stage.spool;
        let waiting = self.unsaved.save(|epoch, lanes| spool.save(epoch, lanes, true));
        let saved = self.work.as_mut().map_or(Ok(()), |work| {
            let lanes = work.lanes.iter().map(|lane| (&lane.config.model, &lane.books));
            spool.save(work.epoch, &lanes.collect::<Vec<_>>(), closed)?;
            work.lanes.iter_mut().for_each(|lane| lane.books.unsaved_shed.clear());
            Ok(())
        });
        let is_saved = saved.is_ok();
        self.say_saved(saved.and(waiting));
        let Past { received, mut accounts } = self.figures();
        let Some(work) = &mut self.work else { return is_saved };
        for ((model, reason), frames) in self.stage.spool.shed() {
            if let Ok(model) = ModelName::new(model) {
                accounts.entry(model).or_default().shed(reason, frames);
            }
        }
        let size = work.size;
        self.stage.board.update(|status| {
            status.size = size.or(status.size);
            status.received = received;
            status.taken = accounts.values().map(|account| account.taken).sum();
            status.undecodable = accounts.values().map(|account| account.undecodable).sum();
            status.accounts = accounts;
        });
        self.stage.board.spooled(self.stage.spool.counts());
        self.say_trouble();
        is_saved
    }

    /// Says what keeps lanes from giving frames.
    fn say_trouble(&mut self) {
        let Some(work) = &self.work else { return };
        let mut first = None;
        for lane in &work.lanes {
            let Some(trouble) = &lane.trouble else { continue };
            if self.told.insert((lane.config.model.clone(), trouble.kind)) {
                self.stage.note(&lane.config.model, trouble);
            }
            first = first.or(Some(trouble.clone()));
        }
        self.stage.board.making(first);
    }

    /// Says whether accounts could be saved, and whether bundles can be stored again: none may come for long.
    fn say_saved(&mut self, saved: Result<(), PortError>) {
        match saved {
            Ok(()) => self.failing.succeeds(Attempt::Save),
            Err(error) => {
                let news = self.failing.fails(Attempt::Save, &error);
                self.stage.trouble(&error, news);
            }
        }
        let refused = self.failing.refused();
        if refused.is_some_and(|bytes| self.stage.spool.rehearse(bytes).is_ok()) {
            self.failing.succeeds(Attempt::Store);
        }
        self.stage.board.storing(self.failing.words().cloned());
    }

    fn figures(&self) -> Past {
        let mut figures = self.past.clone();
        if let Some(work) = &self.work {
            figures.received += work.received;
            for lane in &work.lanes {
                let account = figures.accounts.entry(lane.config.model.clone()).or_default();
                account.add(&lane.books.account);
            }
        }
        figures
    }
}

impl Stage {
    fn epoch_config(&self) -> EpochConfig {
        EpochConfig {
            stream: self.stream.clone(),
            lanes: self.lanes.clone(),
            bucket: self.bucket.clone(),
            reply_to: self.reply_to.clone(),
            max_pixels: self.max_pixels,
            window_bytes: self.window_bytes,
        }
    }

    /// Counts, logs and keeps an event.
    fn note(&self, model: &ModelName, Trouble { kind, words }: &Trouble) {
        tracing::warn!(stream = %self.stream, %model, kind, "{words}");
        self.board.update(|status| status.events += 1);
        if let Err(error) = self.spool.note(self.clock.now(), kind, words) {
            tracing::warn!(stream = %self.stream, %error, "the event is not kept");
        }
    }

    fn trouble(&self, error: &PortError, news: bool) {
        let words = error.to_string();
        self.board.storing(Some(words.clone()));
        if news {
            tracing::error!(stream = %self.stream, error = %words, "the spool does not take it");
        }
    }
}

fn shed_reason(error: &PortError) -> &'static str {
    if error.kind() == ErrorKind::Full { shed::DISK_FULL } else { shed::UNWRITABLE }
}

/// Begins the trace of a bundle that has just closed: from its first access unit until now. Gives its context.
fn trace(bundle: &Bundle) -> String {
    let FrameBatch { stream, epoch, model, frames, .. } = &bundle.batch;
    let now = SystemTime::now();
    let span = Span::root("take", now.checked_sub(bundle.opened.elapsed()).unwrap_or(now));
    span.set("stream", stream.to_string());
    span.set("epoch", epoch.to_string());
    span.set("model", model.to_string());
    span.count("frames", frames.len() as u64);
    let seqs = frames.first().zip(frames.last());
    if let Some((first, last)) = seqs {
        span.count("first_seq", first.stamp.seq.0);
        span.count("last_seq", last.stamp.seq.0);
    }
    span.traceparent()
}
