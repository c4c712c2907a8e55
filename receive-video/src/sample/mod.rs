//! The sampler core: access units in decode order → what becomes of each, for each model of the stream.
//!
//! Without I/O and without decoding: it decides on sequence numbers and timestamps alone. Every unit gets exactly
//! one fate per lane (a lane is one model's interest in the stream), sooner or later; `finish` settles the rest.

mod picker;
mod reorder;
#[cfg(test)]
pub(crate) mod tests;

use services::config::{Pick, SampleConfig};
use services::{MediaTime, Stamp};

pub(crate) use picker::Run;
use picker::{Choice, Picker};
use reorder::Reorder;
pub(crate) use reorder::UnitMeta;

/// Reasons for which an access unit is skipped, as they stand in accounts.
pub mod reason {
    /// No due time fell between the picture before it and itself.
    pub const NOT_DUE: &str = "not-due";
    /// The model looks at key frames only.
    pub const NOT_KEY: &str = "not-key";
    /// It is in a run whose answer belongs to a later picture.
    pub const CONTEXT: &str = "context";
    /// A picture of its run could not be had, or was lost with what lies between two of them.
    pub const CONTEXT_LOST: &str = "context-lost";
    /// It came before the epoch's first key frame, or is shown before it.
    pub const BEFORE_KEY: &str = "before-key";
    /// The file's edit list begins after it.
    pub const NOT_SHOWN: &str = "not-shown";
    /// Packets were lost since the last key frame, or before one that it is shown before.
    pub const AFTER_LOSS: &str = "after-loss";
    /// The decoder refused a picture since the last key frame.
    pub const AFTER_DAMAGE: &str = "after-damage";
    /// Its presentation time is not later than its predecessor's.
    pub const OUT_OF_ORDER: &str = "out-of-order";
    /// The sampler could not keep up with a live source.
    pub const OVERLOAD: &str = "overload";
    /// The process died before it was decided.
    pub const CRASH: &str = "crash";
    /// The process was stopped before there was time or room for it.
    pub const STOPPED: &str = "stopped";
}

/// What becomes of one unit for one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is skipped, for a reason.
    Skip(&'static str),
    /// It is skipped as itself, for a reason, but its picture is wanted for a run to come.
    Context(&'static str),
    /// It is taken: the last of this run.
    Take(Run),
}

/// A unit with its fate for each lane that is settled by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The unit's stamp.
    pub(crate) stamp: Stamp,
    /// No other lane has a say in this unit any more.
    pub(crate) last_word: bool,
    /// Lane and fate.
    pub(crate) fates: Vec<(usize, Fate)>,
}

/// Decides for all lanes of one epoch.
#[derive(Debug)]
pub(crate) struct Sampler {
    lanes: Vec<Lane>,
    reorder: Reorder,
    trouble: Option<&'static str>,
    /// Where an open group began anew, and why: what is shown before it cannot be had.
    began: Option<(MediaTime, &'static str)>,
}

#[derive(Debug)]
struct Lane {
    pick: Pick,
    picker: Picker,
}

impl Sampler {
    /// A sampler for a new epoch; lanes are numbered as given.
    pub(crate) fn new<'a>(lanes: impl IntoIterator<Item = &'a SampleConfig>) -> Self {
        let lane = |sample: &SampleConfig| Lane {
            pick: sample.pick,
            picker: Picker::new(sample.every.duration(), sample.frames, sample.step),
        };
        Self {
            lanes: lanes.into_iter().map(lane).collect(),
            reorder: Reorder::new(),
            trouble: Some(reason::BEFORE_KEY),
            began: None,
        }
    }

    /// Takes note of how deep the stream's parameter sets say it reorders.
    pub(crate) fn declare_reorder(&mut self, depth: Option<u32>) {
        self.reorder.declare(depth);
    }

    /// Takes note that the units before the next one are missing, and why; gives those that still can be settled.
    pub(crate) fn interrupt(&mut self, reason: &'static str) -> Vec<Settled> {
        let settled = self.settle_held();
        self.trouble.get_or_insert(reason);
        self.break_runs();
        settled
    }

    /// Tells whether decoding begins with the next unit. An open group goes on from the one before it, if that is whole
    /// and decoded.
    pub(crate) fn begins(&self, unit: &UnitMeta) -> bool {
        let is_whole = !unit.loss && self.trouble.is_none();
        unit.key && !(unit.open && is_whole && self.has(Pick::Exact))
    }

    /// Takes the next unit in decode order.
    pub(crate) fn push(&mut self, unit: UnitMeta) -> Vec<Settled> {
        let mut settled = Vec::new();
        let begins = self.begins(&unit);
        if unit.loss {
            settled.extend(self.interrupt(reason::AFTER_LOSS));
        }
        if begins {
            settled.extend(self.settle_held());
            let trouble = self.trouble.take();
            self.began = trouble.filter(|_| unit.open).map(|reason| (unit.time(), reason));
        }
        let leading = self.began.filter(|(began, _)| unit.time() < *began);
        if let Some(reason) = self.trouble.or(leading.map(|(_, reason)| reason)) {
            let all = (0..self.lanes.len()).map(|lane| (lane, Fate::Skip(reason)));
            settled.push(Settled { stamp: unit.stamp, last_word: true, fates: all.collect() });
            return settled;
        }
        settled.extend(self.settle_by_key(&unit));
        if self.has(Pick::Exact) {
            for unit in self.reorder.push(unit) {
                settled.push(self.settle_exact(&unit));
            }
        }
        settled
    }

    /// Tells that the decoder refused a unit: until the next key frame no picture can be trusted.
    pub(crate) fn spoil(&mut self) -> Vec<Settled> {
        self.trouble = Some(reason::AFTER_DAMAGE);
        self.break_runs();
        let held = self.reorder.drain();
        let exact = self.lanes_of(Pick::Exact);
        let skip = |unit: UnitMeta| Settled {
            stamp: unit.stamp,
            last_word: true,
            fates: exact.iter().map(|&lane| (lane, Fate::Skip(reason::AFTER_DAMAGE))).collect(),
        };
        held.into_iter().map(skip).collect()
    }

    /// Settles what is left: the epoch has ended.
    pub(crate) fn finish(&mut self) -> Vec<Settled> {
        self.settle_held()
    }

    /// Tells whether no picture can be had before the next key frame.
    pub(crate) fn in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Tells whether any lane may ask for pictures other than key frames.
    pub(crate) fn has(&self, pick: Pick) -> bool {
        self.lanes.iter().any(|lane| lane.pick == pick)
    }

    /// No run may hold pictures from both sides of a hole.
    fn break_runs(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.picker.interrupt());
    }

    fn lanes_of(&self, pick: Pick) -> Vec<usize> {
        (0..self.lanes.len()).filter(|&lane| self.lanes[lane].pick == pick).collect()
    }

    fn settle_held(&mut self) -> Vec<Settled> {
        let held = self.reorder.drain();
        held.iter().map(|unit| self.settle_exact(unit)).collect()
    }

    /// Lanes that look at key frames decide at once: key frames are never reordered among themselves.
    fn settle_by_key(&mut self, unit: &UnitMeta) -> Option<Settled> {
        let lanes = self.lanes_of(Pick::Keyframe);
        let decide = |lane: usize| {
            let fate = if unit.key { self.offer(lane, unit) } else { Fate::Skip(reason::NOT_KEY) };
            (lane, fate)
        };
        let fates: Vec<_> = lanes.into_iter().map(decide).collect();
        let last_word = !self.has(Pick::Exact);
        (!fates.is_empty()).then_some(Settled { stamp: unit.stamp, last_word, fates })
    }

    fn settle_exact(&mut self, unit: &UnitMeta) -> Settled {
        let lanes = self.lanes_of(Pick::Exact);
        let fates = lanes.into_iter().map(|lane| (lane, self.offer(lane, unit))).collect();
        Settled { stamp: unit.stamp, last_word: true, fates }
    }

    fn offer(&mut self, lane: usize, unit: &UnitMeta) -> Fate {
        if unit.time() < MediaTime(0) {
            return Fate::Skip(reason::NOT_SHOWN);
        }
        match self.lanes[lane].picker.offer(unit.time()) {
            Choice::NotDue => Fate::Skip(reason::NOT_DUE),
            Choice::OutOfOrder => Fate::Skip(reason::OUT_OF_ORDER),
            Choice::Context => Fate::Context(reason::CONTEXT),
            Choice::Lost { wanted: true } => Fate::Context(reason::CONTEXT_LOST),
            Choice::Lost { wanted: false } => Fate::Skip(reason::CONTEXT_LOST),
            Choice::Completes(run) => Fate::Take(run),
        }
    }
}
