//! One model's interest in a stream during one epoch: its books, the frames its runs hold, its open bundle.

use std::collections::BTreeMap;
use std::sync::Arc;

use services::ModelName;
use services::config::SampleConfig;

use crate::bundle::{Bundler, Frame};
use crate::store::Books;

/// A model and how it samples.
#[derive(Clone, Debug)]
pub(crate) struct LaneConfig {
    pub(crate) model: ModelName,
    pub(crate) sample: SampleConfig,
}

/// A lane while its epoch lasts.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) config: LaneConfig,
    pub(super) bundler: Bundler,
    pub(super) books: Books,
    frames: BTreeMap<u64, Arc<Frame>>,
}

impl Lane {
    pub(super) fn new(config: LaneConfig, bundler: Bundler) -> Self {
        Self { config, bundler, books: Books::default(), frames: BTreeMap::new() }
    }

    /// Keeps a frame for the runs that are open.
    pub(super) fn keep(&mut self, frame: Arc<Frame>) {
        self.frames.insert(frame.seq.0, frame);
    }

    /// The frames of a run, if all of them could be had.
    pub(super) fn run(&self, seqs: &[u64]) -> Option<Vec<Arc<Frame>>> {
        seqs.iter().map(|seq| self.frames.get(seq).cloned()).collect()
    }

    /// Forgets the frames before `oldest`, all of them without one.
    pub(super) fn forget_before(&mut self, oldest: Option<u64>) {
        match oldest {
            Some(oldest) => self.frames = self.frames.split_off(&oldest),
            None => self.frames.clear(),
        }
    }
}
