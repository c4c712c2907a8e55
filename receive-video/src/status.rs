//! What each stream is doing, in words and numbers, for whoever shows it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use services::{Account, ModelName, StreamId};

use crate::store::SpoolCounts;

/// The frame rate is an average over this long.
const FPS_OVER: Duration = Duration::from_secs(3);
/// Arrivals are counted in slots of this length.
const SLOT: Duration = Duration::from_millis(250);

/// What a stream is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamState {
    /// Its spool is being opened.
    #[default]
    Starting,
    /// Its source is being opened.
    Connecting,
    /// Access units come.
    Playing,
    /// Its source failed and is opened again after a while.
    Waiting,
    /// Its source has come to its end, or was stopped.
    Ended,
    /// It cannot be received until somebody changes something.
    Refused,
}

/// One stream's state and figures since the receiver started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStatus {
    /// What it is doing.
    pub state: StreamState,
    /// The same in words, with the cause and when the next try is.
    pub words: String,
    /// What keeps it from giving frames, by the word that its events have; none while nothing does.
    pub trouble: Option<&'static str>,
    /// Access units per second, over the last seconds.
    pub fps: f64,
    /// Size of the pictures, once known.
    pub size: Option<(u32, u32)>,
    /// Access units that arrived.
    pub received: u64,
    /// Frames taken, over all models.
    pub taken: u64,
    /// Access units that could not be decoded, over all models.
    pub undecodable: u64,
    /// What became of the access units, for each model.
    pub accounts: BTreeMap<ModelName, Account>,
    /// Bundles in the spool.
    pub spooled: u64,
    /// Bytes of the bundles in the spool.
    pub spool_bytes: u64,
    /// Bundles handed to the queues.
    pub shipped: u64,
    /// Taken frames that were given up.
    pub shed: u64,
    /// Events since the start: reconnects, jumps of clocks.
    pub events: u64,
    /// Which spool, store or queue is away, and why.
    pub away: Option<String>,
}

/// What keeps a stream that plays from giving frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The word that its events have.
    pub(crate) kind: &'static str,
    /// The cause in words.
    pub(crate) words: String,
}

/// The status of all streams; cloning gives another handle to the same one.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<BTreeMap<StreamId, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    status: StreamStatus,
    meter: Meter,
    away: BTreeMap<ModelName, String>,
    /// Why the spool takes nothing at the moment.
    unstored: Option<String>,
    /// Why nothing can be made of what comes.
    unmade: Option<Trouble>,
    /// Bundles shipped and frames shed before its spool was opened last.
    before: (u64, u64),
}

impl StatusBoard {
    /// The status of every stream, by id.
    pub fn snapshot(&self) -> BTreeMap<StreamId, StreamStatus> {
        let now = Instant::now();
        let status = |(id, entry): (&StreamId, &Entry)| {
            let fps = entry.meter.per_second(now);
            (id.clone(), StreamStatus { fps, ..entry.shown() })
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(status).collect()
    }

    /// The handle by which one stream tells its status.
    pub(crate) fn stream(&self, id: &StreamId) -> StreamBoard {
        let board = StreamBoard { board: self.clone(), id: id.clone() };
        board.update(|_| {});
        board
    }
}

/// One stream's handle to the board.
#[derive(Clone, Debug)]
pub(crate) struct StreamBoard {
    board: StatusBoard,
    id: StreamId,
}

impl StreamBoard {
    /// The stream's id.
    pub(crate) fn id(&self) -> &StreamId {
        &self.id
    }

    /// Changes the status.
    pub(crate) fn update(&self, change: impl FnOnce(&mut StreamStatus)) {
        self.entry(|entry| change(&mut entry.status));
    }

    /// Says what the stream is doing.
    pub(crate) fn state(&self, state: StreamState, words: impl Into<String>) {
        self.tell(state, None, words);
    }

    /// Says what the stream is doing, and what keeps it from giving frames.
    pub(crate) fn tell(
        &self,
        state: StreamState,
        trouble: Option<&'static str>,
        words: impl Into<String>,
    ) {
        let words = words.into();
        self.update(|status| {
            status.state = state;
            status.trouble = trouble;
            status.words = words;
        });
    }

    /// Counts an access unit that arrived.
    pub(crate) fn arrived(&self, now: Instant) {
        self.entry(|entry| entry.meter.count(now));
    }

    /// Takes note that the stream's spool is about to be opened, for the first time or after a failure: what was
    /// counted so far goes on.
    pub(crate) fn begin(&self) {
        self.entry(|entry| {
            entry.before = (entry.status.shipped, entry.status.shed);
            entry.unstored = None;
            entry.unmade = None;
            entry.show_away();
        });
    }

    /// What was received so far, and what became of it.
    pub(crate) fn figures(&self) -> (u64, BTreeMap<ModelName, Account>) {
        self.entry(|entry| (entry.status.received, entry.status.accounts.clone()))
    }

    /// Takes over the spool's figures.
    pub(crate) fn spooled(&self, counts: SpoolCounts) {
        self.entry(|Entry { status, before: (shipped, shed), .. }| {
            status.spooled = counts.bundles;
            status.spool_bytes = counts.bytes;
            status.shipped = *shipped + counts.shipped;
            status.shed = *shed + counts.shed_frames;
        });
    }

    /// Says whether a model's store and queue are away; gives whether that is news.
    pub(crate) fn shipping(&self, model: &ModelName, away: Option<String>) -> bool {
        self.entry(|entry| {
            let before = match away {
                Some(words) => {
                    entry.away.insert(model.clone(), words.clone()).as_ref() != Some(&words)
                }
                None => entry.away.remove(model).is_some(),
            };
            entry.show_away();
            before
        })
    }

    /// Says why the spool takes nothing at the moment, or that it does.
    pub(crate) fn storing(&self, trouble: Option<String>) {
        self.entry(|entry| {
            entry.unstored = trouble;
            entry.show_away();
        });
    }

    /// Says why nothing can be made of what comes, or that it can.
    pub(crate) fn making(&self, trouble: Option<Trouble>) {
        self.entry(|entry| entry.unmade = trouble);
    }

    fn entry<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut board = self.board.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(board.entry(self.id.clone()).or_default())
    }
}

impl Entry {
    /// The status, with what is wrong with the frames of a source that gives, or gave, access units.
    fn shown(&self) -> StreamStatus {
        let mut status = self.status.clone();
        let gave = matches!(status.state, StreamState::Playing | StreamState::Ended);
        if let Some(Trouble { kind, words }) = self.unmade.as_ref().filter(|_| gave) {
            status.trouble = status.trouble.or(Some(kind));
            status.words = format!("{}; {words}", status.words);
        }
        status
    }

    fn show_away(&mut self) {
        self.status.away = self.unstored.as_ref().or(self.away.values().next()).cloned();
    }
}

/// Counts per second, lately.
#[derive(Debug, Default)]
struct Meter {
    first: Option<Instant>,
    slots: VecDeque<(Instant, u32)>,
}

impl Meter {
    fn count(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        match self.slots.back_mut() {
            Some((since, n)) if now < *since + SLOT => *n += 1,
            _ => self.slots.push_back((now, 1)),
        }
        while self.slots.front().is_some_and(|(since, _)| *since + FPS_OVER + SLOT < now) {
            self.slots.pop_front();
        }
    }

    fn per_second(&self, now: Instant) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let over = now.saturating_duration_since(first).clamp(SLOT, FPS_OVER);
        let recent = self.slots.iter().filter(|(since, _)| *since + over >= now);
        f64::from(recent.map(|(_, n)| n).sum::<u32>()) / over.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_shows_the_rate_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for n in 0..250 {
            meter.count(start + Duration::from_millis(n * 40));
        }
        let end = start + Duration::from_millis(10_000);
        assert!((meter.per_second(end) - 25.0).abs() < 3.0, "{}", meter.per_second(end));
        assert!(meter.slots.len() <= 15);
        assert!(meter.per_second(end + FPS_OVER * 2) < 0.1);
    }

    #[test]
    fn what_is_away_is_news_once() {
        let board = StatusBoard::default();
        let stream = board.stream(&StreamId::new("gate").unwrap());
        let model = ModelName::new("shapes").unwrap();
        assert!(stream.shipping(&model, Some("queue is full".into())));
        assert!(!stream.shipping(&model, Some("queue is full".into())));
        assert_eq!(board.snapshot()[stream.id()].away.as_deref(), Some("queue is full"));
        assert!(stream.shipping(&model, None));
        assert_eq!(board.snapshot()[stream.id()].away, None);
    }
}
