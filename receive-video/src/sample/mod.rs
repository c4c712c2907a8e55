//! The sampler core: access units in decode order → what becomes of each, for each model of the stream.
//!
//! Without I/O and without decoding: it decides on sequence numbers and timestamps alone. Every unit gets exactly
//! one fate per lane (a lane is one model's interest in the stream), sooner or later; `finish` settles the rest.

mod picker;
mod reorder;

use services::MediaTime;
use services::config::{Pick, SampleConfig};

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
    /// The unit's number.
    pub(crate) seq: u64,
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
            self.began = trouble.filter(|_| unit.open).map(|reason| (unit.time, reason));
        }
        let leading = self.began.filter(|(began, _)| unit.time < *began);
        if let Some(reason) = self.trouble.or(leading.map(|(_, reason)| reason)) {
            let all = (0..self.lanes.len()).map(|lane| (lane, Fate::Skip(reason)));
            settled.push(Settled { seq: unit.seq, last_word: true, fates: all.collect() });
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
            seq: unit.seq,
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
        (!fates.is_empty()).then_some(Settled { seq: unit.seq, last_word, fates })
    }

    fn settle_exact(&mut self, unit: &UnitMeta) -> Settled {
        let lanes = self.lanes_of(Pick::Exact);
        let fates = lanes.into_iter().map(|lane| (lane, self.offer(lane, unit))).collect();
        Settled { seq: unit.seq, last_word: true, fates }
    }

    fn offer(&mut self, lane: usize, unit: &UnitMeta) -> Fate {
        match self.lanes[lane].picker.offer(unit.time) {
            Choice::NotDue => Fate::Skip(reason::NOT_DUE),
            Choice::OutOfOrder => Fate::Skip(reason::OUT_OF_ORDER),
            Choice::Context => Fate::Context(reason::CONTEXT),
            Choice::Lost { wanted: true } => Fate::Context(reason::CONTEXT_LOST),
            Choice::Lost { wanted: false } => Fate::Skip(reason::CONTEXT_LOST),
            Choice::Completes(run) => Fate::Take(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use services::config::Span;

    use super::*;

    fn sample(pick: Pick, every_ms: u64, frames: u32) -> SampleConfig {
        SampleConfig { pick, every: Span::from_millis(every_ms), frames, ..SampleConfig::default() }
    }

    fn unit(seq: u64, pts: i64, key: bool) -> UnitMeta {
        UnitMeta { seq, time: MediaTime(pts), key, open: false, loss: false }
    }

    /// A picture is taken as a run of its own.
    fn take(pts: i64) -> Fate {
        Fate::Take(Run { times: vec![MediaTime(pts)], still_open: None })
    }

    fn fates_of(settled: &[Settled], lane: usize) -> BTreeMap<u64, Fate> {
        let of_lane = |settled: &Settled| {
            settled.fates.iter().find(|(l, _)| *l == lane).map(|(_, f)| (settled.seq, f.clone()))
        };
        settled.iter().filter_map(of_lane).collect()
    }

    #[test]
    fn a_lane_of_key_frames_takes_the_first_key_frame_at_or_after_each_due_time() {
        let mut sampler = Sampler::new(&[sample(Pick::Keyframe, 1_000, 1)]);
        let settled: Vec<Settled> = (0..100_i64)
            .flat_map(|n| sampler.push(unit(n.unsigned_abs(), n * 3_600, n % 10 == 0)))
            .collect();
        let fates = fates_of(&settled, 0);
        let taken: Vec<u64> =
            fates.iter().filter(|(_, f)| matches!(f, Fate::Take(_))).map(|(seq, _)| *seq).collect();
        assert_eq!(taken, [0, 30, 50, 80]);
        assert_eq!(fates[&10], Fate::Skip(reason::NOT_DUE));
        assert_eq!(fates[&11], Fate::Skip(reason::NOT_KEY));
    }

    #[test]
    fn units_before_the_first_key_frame_are_skipped() {
        let mut sampler = Sampler::new(&[sample(Pick::Exact, 40, 1)]);
        let settled = sampler.push(unit(0, 0, false));
        assert_eq!(fates_of(&settled, 0)[&0], Fate::Skip(reason::BEFORE_KEY));
        assert_eq!(fates_of(&sampler.push(unit(1, 3_600, true)), 0)[&1], take(3_600));
    }

    #[test]
    fn nothing_is_taken_between_a_loss_and_the_next_key_frame() {
        let mut sampler = Sampler::new(&[sample(Pick::Exact, 40, 1)]);
        sampler.push(unit(0, 0, true));
        let lossy = UnitMeta { loss: true, ..unit(1, 3_600, false) };
        assert_eq!(fates_of(&sampler.push(lossy), 0)[&1], Fate::Skip(reason::AFTER_LOSS));
        let settled = sampler.push(unit(2, 7_200, false));
        assert_eq!(fates_of(&settled, 0)[&2], Fate::Skip(reason::AFTER_LOSS));
        assert_eq!(fates_of(&sampler.push(unit(3, 10_800, true)), 0)[&3], take(10_800));
    }

    #[test]
    fn damage_spoils_what_is_held_and_what_follows() {
        let mut sampler = Sampler::new(&[sample(Pick::Exact, 40, 1)]);
        sampler.declare_reorder(Some(1));
        sampler.push(unit(0, 0, true));
        sampler.push(unit(1, 3_600, false));
        assert_eq!(fates_of(&sampler.spoil(), 0)[&1], Fate::Skip(reason::AFTER_DAMAGE));
        let settled = sampler.push(unit(2, 7_200, false));
        assert_eq!(fates_of(&settled, 0)[&2], Fate::Skip(reason::AFTER_DAMAGE));
    }

    #[test]
    fn no_window_spans_a_loss() {
        let sampler = || {
            let mut sampler = Sampler::new(&[sample(Pick::Exact, 1_000, 3)]);
            sampler.push(unit(0, 0, true));
            sampler.push(unit(1, 3_600, false));
            sampler
        };
        let lost = [(4, Fate::Skip(reason::CONTEXT_LOST))];
        let after = |mut sampler: Sampler| {
            let loss = UnitMeta { loss: true, ..unit(4, 180_000, true) };
            fates_of(&sampler.push(loss), 0)
        };
        // What is lost may be told by the unit itself, by one before it, by the decoder or by whoever left units out.
        let mut told_before = sampler();
        told_before.push(UnitMeta { loss: true, ..unit(2, 90_000, false) });
        let mut damaged = sampler();
        damaged.spoil();
        for sampler in [sampler(), told_before, damaged] {
            let fates = after(sampler);
            assert_eq!(fates[&4], Fate::Context(reason::CONTEXT_LOST), "{fates:?}");
        }
        let mut overloaded = sampler();
        overloaded.interrupt(reason::OVERLOAD);
        let fates = fates_of(&overloaded.push(unit(4, 21_600, true)), 0);
        assert_eq!(fates.into_iter().collect::<Vec<_>>(), lost);
    }

    /// Times of groups of an I picture and two B pictures that are shown before it.
    const OPEN_GROUPS: [(i64, bool); 9] = [
        (2, true),
        (0, false),
        (1, false),
        (5, true),
        (3, false),
        (4, false),
        (8, true),
        (6, false),
        (7, false),
    ];

    fn open_groups(lost: Option<u64>) -> Vec<Settled> {
        let mut sampler =
            Sampler::new(&[sample(Pick::Exact, 40, 1), sample(Pick::Keyframe, 40, 1)]);
        sampler.declare_reorder(Some(1));
        let mut settled = Vec::new();
        for (seq, (place, key)) in (0..).zip(OPEN_GROUPS) {
            let loss = lost == Some(seq);
            let unit = UnitMeta { open: key, loss, ..unit(seq, place * 3_600, key) };
            settled.extend(sampler.push(unit));
        }
        settled.extend(sampler.finish());
        settled
    }

    #[test]
    fn an_open_group_goes_on_from_the_one_before_it() {
        let settled = open_groups(None);
        let fates = fates_of(&settled, 0);
        for seq in 3..9 {
            assert!(matches!(fates[&seq], Fate::Take(_)), "{seq}: {fates:?}");
        }
        let keys = fates_of(&settled, 1);
        assert!([0, 3, 6].iter().all(|key| matches!(keys[key], Fate::Take(_))), "{keys:?}");
    }

    #[test]
    fn where_an_open_group_begins_what_is_shown_before_it_is_left_out() {
        let settled = open_groups(Some(5));
        let fates = fates_of(&settled, 0);
        for (seqs, reason) in [(1..3, reason::BEFORE_KEY), (5..6, reason::AFTER_LOSS)] {
            assert!(seqs.clone().all(|seq| fates[&seq] == Fate::Skip(reason)), "{fates:?}");
        }
        assert!([7, 8].iter().all(|seq| fates[seq] == Fate::Skip(reason::AFTER_LOSS)), "{fates:?}");
        assert!([0, 3, 4, 6].iter().all(|seq| matches!(fates[seq], Fate::Take(_))), "{fates:?}");
    }

    fn arrivals() -> impl Strategy<Value = Vec<(i64, bool, bool, bool)>> {
        let unit = (
            -3_i64..4,
            proptest::bool::weighted(0.1),
            any::<bool>(),
            proptest::bool::weighted(0.02),
        );
        proptest::collection::vec(unit, 1..200)
    }

    proptest! {
        #[test]
        fn every_unit_gets_one_fate_per_lane(
            arrivals in arrivals(), depth in proptest::option::of(0_u32..4), spoil_at in 0_u64..300,
        ) {
            let lanes = [
                sample(Pick::Keyframe, 500, 1), sample(Pick::Exact, 100, 1), sample(Pick::Exact, 200, 3),
            ];
            let mut sampler = Sampler::new(&lanes);
            sampler.declare_reorder(depth);
            let mut settled = Vec::new();
            for (n, &(shift, key, open, loss)) in (0..).zip(&arrivals) {
                let time = MediaTime((n + shift) * 3_600);
                let seq = n.unsigned_abs();
                settled.extend(sampler.push(UnitMeta { seq, time, key, open, loss }));
                if seq == spoil_at {
                    settled.extend(sampler.spoil());
                }
            }
            settled.extend(sampler.finish());
            for lane in 0..lanes.len() {
                let mut seqs: Vec<u64> = settled
                    .iter()
                    .flat_map(|s| s.fates.iter().filter(|(l, _)| *l == lane).map(|_| s.seq))
                    .collect();
                seqs.sort_unstable();
                prop_assert_eq!(seqs, (0..arrivals.len() as u64).collect::<Vec<_>>());
            }
        }
    }
}
