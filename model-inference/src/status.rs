//! What the workers are doing, for whoever shows it: counts, latencies and states, never a secret.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use services::{ModelName, StreamId};
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
    /// Messages that went to the dead letters.
    pub buried: u64,
    /// Messages given back to be tried again.
    pub retried: u64,
    /// Leases that ran out or were taken over before the work was done.
    pub lost_leases: u64,
    /// Capture to answer, of all streams.
    pub latency: Histogram,
    /// Counts per stream.
    pub streams: BTreeMap<StreamId, StreamCounts>,
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
    /// Frames with an `error` row that was accepted.
    pub errors: u64,
    /// Rows that were accepted.
    pub rows: u64,
    /// Capture to answer of the last frames.
    pub latency: Latency,
}

/// The last latencies, in milliseconds.
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
}
