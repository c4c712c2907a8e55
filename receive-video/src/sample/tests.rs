//! The sampler by made-up units: what becomes of each.

use std::collections::BTreeMap;

use proptest::prelude::*;
use services::config::Span;
use services::{CaptureClock, CaptureTime, Seq};

use super::*;

fn sample(pick: Pick, every_ms: u64, frames: u32) -> SampleConfig {
    SampleConfig { pick, every: Span::from_millis(every_ms), frames, ..SampleConfig::default() }
}

/// The stamp of an access unit that came at no particular time.
pub(crate) fn stamp(seq: u64, media_time: MediaTime) -> Stamp {
    let (captured_at, clock) = (CaptureTime(0), CaptureClock::Arrival);
    Stamp { seq: Seq(seq), media_time, captured_at, clock }
}

fn unit(seq: u64, pts: i64, key: bool) -> UnitMeta {
    UnitMeta { stamp: stamp(seq, MediaTime(pts)), key, open: false, loss: false }
}

/// A picture is taken as a run of its own.
fn take(pts: i64) -> Fate {
    Fate::Take(Run { times: vec![MediaTime(pts)], still_open: None })
}

fn fates_of(settled: &[Settled], lane: usize) -> BTreeMap<u64, Fate> {
    let of_lane = |settled: &Settled| {
        settled
            .fates
            .iter()
            .find(|(l, _)| *l == lane)
            .map(|(_, f)| (settled.stamp.seq.0, f.clone()))
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
    let mut sampler = Sampler::new(&[sample(Pick::Exact, 40, 1), sample(Pick::Keyframe, 40, 1)]);
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

#[test]
fn what_comes_before_the_beginning_is_skipped_in_all_lanes() {
    let lanes = [sample(Pick::Exact, 40, 1), sample(Pick::Keyframe, 40, 1)];
    let mut sampler = Sampler::new(&lanes);
    let times = [(-7_200, true), (-3_600, false), (0, false), (3_600, true)];
    let settled: Vec<Settled> =
        (0..).zip(times).flat_map(|(seq, (pts, key))| sampler.push(unit(seq, pts, key))).collect();
    let exact = fates_of(&settled, 0);
    let skipped = Fate::Skip(reason::NOT_SHOWN);
    assert_eq!([&exact[&0], &exact[&1]], [&skipped; 2]);
    assert_eq!([&exact[&2], &exact[&3]], [&take(0), &take(3_600)]);
    let keys = fates_of(&settled, 1);
    assert_eq!([&keys[&0], &keys[&3]], [&skipped, &take(3_600)]);
}

fn arrivals() -> impl Strategy<Value = Vec<(i64, bool, bool, bool)>> {
    let unit =
        (-3_i64..4, proptest::bool::weighted(0.1), any::<bool>(), proptest::bool::weighted(0.02));
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
            let stamp = stamp(seq, time);
            settled.extend(sampler.push(UnitMeta { stamp, key, open, loss }));
            if seq == spoil_at {
                settled.extend(sampler.spoil());
            }
        }
        settled.extend(sampler.finish());
        for lane in 0..lanes.len() {
            let mut seqs: Vec<u64> = settled
                .iter()
                .flat_map(|s| s.fates.iter().filter(|(l, _)| *l == lane).map(|_| s.stamp.seq.0))
                .collect();
            seqs.sort_unstable();
            prop_assert_eq!(seqs, (0..arrivals.len() as u64).collect::<Vec<_>>());
        }
    }
}
