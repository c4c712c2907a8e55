//! What the workers are doing, for whoever shows it: counts, latencies and states, never a secret.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use services::{CaptureClock, ModelName, StreamId};
use telemetry::metrics::Histogram;

/// Latencies that the percentiles are taken from: the last ones of each stream and model.
const LATENCIES: usize = 512;

/// A board that workers write on and others read from.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<BTreeMap<ModelName, ModelStatus>>>);

/// One model's workers in this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelStatus {
    /// What they are doing.
    pub state: ModelState,
    /// The model's version, once it is loaded.
    pub version: String,
    /// What they wait for, in words, while a port is away.
    pub trouble: Option<String>,
    /// Messages leased and not done with.
    pub in_flight: u64,
    /// Messages all of whose rows were accepted.
    pub answered: u64,
    /// Messages that went to the dead letters.
    pub buried: u64,
    /// Messages given back to be tried again.
    pub retried: u64,
    /// Leases that ran out or were taken over before the work was done.
    pub lost_leases: u64,
    /// Capture to answer, of all streams.
    pub latency: Histogram,
    /// Fetch, decode and run of each frame, of all streams, without what it waited for.
    pub work: Histogram,
    /// Counts per stream.
    pub streams: BTreeMap<StreamId, StreamCounts>,
}

impl ModelStatus {
    /// What they are doing, in words.
    pub fn words(&self) -> String {
        match (&self.state, &self.trouble) {
            (ModelState::Loading, _) => "is being loaded".to_owned(),
            (ModelState::Failed(why), _) => why.clone(),
            (ModelState::Stopped, _) => "stopped".to_owned(),
            (ModelState::Ready, Some(trouble)) => format!("waits: {trouble}"),
            (ModelState::Ready, None) => "ready".to_owned(),
        }
    }
}

/// What a model's workers are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModelState {
    /// The file is being read and optimised.
    #[default]
    Loading,
    /// Messages are being taken.
    Ready,
    /// The model cannot be used; the words say why.
    Failed(String),
    /// The workers ended.
    Stopped,
}

/// What became of one stream's frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamCounts {
    /// Frames with an answer (also `none`) whose rows were accepted.
    pub inferred: u64,
    /// Frames with an `error` row that was accepted, but for those that were shed.
    pub errors: u64,
    /// Frames that were shed: nobody wanted the answer any more when their turn came.
    pub stale: u64,
    /// Rows that were accepted.
    pub rows: u64,
    /// Capture to answer of the last frames.
    pub latency: Latency,
    /// Whose clock is ahead of this machine's, while frames come that were captured after their own answers.
    pub skew: Option<Skew>,
    /// Such frames came before.
    pub was_skewed: bool,
}

/// By how much a clock is ahead of this machine's, at least: frames that it dates were answered before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The clock that dated them: the camera's as far as its receiver believes it, or the receiver's.
    pub clock: CaptureClock,
    /// The most that was seen, in milliseconds.
    pub millis: i64,
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.clock {
            CaptureClock::Rtcp => "the clock of its camera or receiver",
            CaptureClock::Arrival | CaptureClock::File => "the clock of its receiver",
        };
        #[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
        let seconds = self.millis as f64 / 1e3;
        write!(
            f,
            "{whose} is {seconds:.3} s or more ahead of this machine's: latencies are too short, none below 0"
        )
    }
}

impl StreamCounts {
    /// Frames whose rows were accepted, whatever these say.
    pub fn ended(&self) -> u64 {
        self.inferred + self.errors + self.stale
    }

    /// Takes in how long after its capture a frame was answered, in milliseconds. Gives the skew when that is below 0
    /// for the first time.
    ///
    /// A file that is read ahead of its time line has no latency.
    pub(crate) fn answered(&mut self, millis: i64, clock: CaptureClock) -> Option<Skew> {
        if millis >= 0 || clock != CaptureClock::File {
            self.latency.record(millis.max(0));
        }
        if millis >= 0 || clock == CaptureClock::File {
            self.skew = None;
            return None;
        }
        let most = self.skew.map_or(0, |skew| skew.millis).max(millis.saturating_neg());
        self.skew = Some(Skew { clock, millis: most });
        self.skew.filter(|_| !std::mem::replace(&mut self.was_skewed, true))
    }
}

/// The last latencies, in milliseconds; none is below 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency(VecDeque<i64>);

impl Latency {
    /// Takes another one in, the oldest out.
    pub fn record(&mut self, millis: i64) {
        if self.0.len() == LATENCIES {
            self.0.pop_front();
        }
        self.0.push_back(millis);
    }

    /// Adds another stream's.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// The latency that `percent` of the last frames did not exceed; `None` before the first one.
    ///
    /// # Units
    /// Milliseconds; `percent` is 1 to 100.
    pub fn percentile(&self, percent: usize) -> Option<i64> {
        let mut sorted: Vec<i64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent.min(100)).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

impl StatusBoard {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// How things stand now, by model.
    pub fn snapshot(&self) -> BTreeMap<ModelName, ModelStatus> {
        self.models().clone()
    }

    pub(crate) fn update(&self, model: &ModelName, change: impl FnOnce(&mut ModelStatus)) {
        change(self.models().entry(model.clone()).or_default());
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<ModelName, ModelStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_latencies() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50), None);
        (1..=100).for_each(|millis| latency.record(millis));
        assert_eq!((latency.percentile(50), latency.percentile(99)), (Some(50), Some(99)));
        (0..LATENCIES).for_each(|_| latency.record(7));
        assert_eq!((latency.percentile(1), latency.percentile(100)), (Some(7), Some(7)));
    }

    #[test]
    fn no_latency_is_negative_and_whose_clock_is_ahead_is_said_once() {
        let mut counts = StreamCounts::default();
        assert_eq!(counts.answered(40, CaptureClock::Rtcp), None);
        let skew = counts.answered(-3_200, CaptureClock::Rtcp).unwrap();
        assert_eq!(
            skew.to_string(),
            "the clock of its camera or receiver is 3.200 s or more ahead of this machine's: latencies are too short, none below 0"
        );
        assert_eq!(counts.answered(-4_000, CaptureClock::Rtcp), None);
        assert_eq!(counts.skew.unwrap().millis, 4_000);
        assert_eq!(counts.answered(0, CaptureClock::Rtcp), None);
        assert_eq!(counts.skew, None, "it is over");
        assert_eq!(counts.answered(-7, CaptureClock::Rtcp), None);
        assert_eq!(
            (counts.latency.percentile(1), counts.latency.percentile(99)),
            (Some(0), Some(40))
        );
        let arrival = StreamCounts::default().answered(-1, CaptureClock::Arrival).unwrap();
        assert!(
            arrival.to_string().starts_with("the clock of its receiver is 0.001 s"),
            "{arrival}"
        );
    }

    #[test]
    fn a_file_that_is_read_ahead_of_its_time_line_has_no_latency() {
        let mut counts = StreamCounts::default();
        assert_eq!(counts.answered(-60_000, CaptureClock::File), None);
        assert_eq!((counts.latency.percentile(50), counts.skew), (None, None));
        assert_eq!(counts.answered(70, CaptureClock::File), None);
        assert_eq!(counts.latency.percentile(50), Some(70));
    }
}
