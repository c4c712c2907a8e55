//! Decode order in → presentation order out, by timestamps alone: nothing is decoded for it.

use std::collections::VecDeque;

use services::{MediaTime, Stamp};

/// The deepest reordering that H.264 allows (ITU-T H.264 §A.3.1: `max_dec_frame_buffering` is at most 16).
const DEEPEST: usize = 16;
/// Assumed of a stream with B-frames whose parameter sets do not say; grows when the stream shows more.
const UNDECLARED: usize = 2;

/// One access unit as the sampler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitMeta {
    /// Its place in the epoch and its times.
    pub(crate) stamp: Stamp,
    /// Decoding can start here.
    pub(crate) key: bool,
    /// It is the key frame of an open group: pictures after it may be shown before it, and refer to what came before.
    pub(crate) open: bool,
    /// Packets before it, or of it, were lost.
    pub(crate) loss: bool,
}

impl UnitMeta {
    /// Its presentation time.
    pub(crate) fn time(&self) -> MediaTime {
        self.stamp.media_time
    }
}

/// Holds units back for as long as an earlier one may still come.
///
/// When at most `depth` units precede any unit in decoding order and follow it in presentation order
/// (`max_num_reorder_frames`, ITU-T H.264 §E.2.1), then of `depth + 1` held units the earliest is next.
#[derive(Debug)]
pub(crate) struct Reorder {
    depth: usize,
    held: Vec<UnitMeta>,
    recent: VecDeque<i64>,
}

impl Reorder {
    /// A stage for a stream that declares its depth, or does not.
    pub(crate) fn new() -> Self {
        Self { depth: 0, held: Vec::new(), recent: VecDeque::new() }
    }

    /// Takes note of what a parameter set declares; `None` when it is silent.
    pub(crate) fn declare(&mut self, depth: Option<u32>) {
        let declared = depth.map_or(UNDECLARED, |depth| usize::try_from(depth).unwrap_or(DEEPEST));
        self.depth = declared.min(DEEPEST);
    }

    /// Takes the next unit in decoding order; gives those whose turn it now is.
    pub(crate) fn push(&mut self, unit: UnitMeta) -> Vec<UnitMeta> {
        let mut next = if unit.key && !unit.open { self.drain() } else { Vec::new() };
        self.learn(unit.time().0);
        self.held.push(unit);
        while self.held.len() > self.depth {
            next.extend(self.earliest());
        }
        next
    }

    /// Gives all that is held: nothing earlier can come any more.
    pub(crate) fn drain(&mut self) -> Vec<UnitMeta> {
        self.recent.clear();
        let mut all = std::mem::take(&mut self.held);
        all.sort_by_key(UnitMeta::time);
        all
    }

    fn earliest(&mut self) -> Option<UnitMeta> {
        let at = self.held.iter().enumerate().min_by_key(|(_, unit)| unit.time())?.0;
        Some(self.held.remove(at))
    }

    fn learn(&mut self, pts: i64) {
        let later = self.recent.iter().filter(|&&recent| recent > pts).count();
        self.depth = self.depth.max(later);
        self.recent.push_back(pts);
        if self.recent.len() > DEEPEST {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::tests::stamp;

    fn unit(seq: u64, pts: i64, key: bool) -> UnitMeta {
        UnitMeta { stamp: stamp(seq, MediaTime(pts)), key, open: false, loss: false }
    }

    fn times(units: &[UnitMeta]) -> Vec<i64> {
        units.iter().map(|unit| unit.time().0).collect()
    }

    fn run(depth: Option<u32>, decode_order: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let mut reorder = Reorder::new();
        reorder.declare(depth);
        let mut before_end = Vec::new();
        for (seq, &pts) in (0..).zip(decode_order) {
            before_end.extend(times(&reorder.push(unit(seq, pts, seq == 0))));
        }
        (before_end, times(&reorder.drain()))
    }

    #[test]
    fn a_stream_without_reordering_waits_for_nothing() {
        assert_eq!(run(Some(0), &[0, 1, 2]).0, [0, 1, 2]);
    }

    #[test]
    fn a_pyramid_of_b_frames_comes_in_order_without_decoding() {
        let (early, rest) = run(Some(2), &[0, 4, 2, 1, 3, 8, 6, 5, 7]);
        assert_eq!([early, rest].concat(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_stream_deeper_than_it_declares_is_learnt() {
        let group = [0, 4, 2, 1, 3];
        let mut reorder = Reorder::new();
        reorder.declare(Some(0));
        let mut all = Vec::new();
        for n in 0..20_i64 {
            let key = n % 5 == 0 && n < 5;
            let pts = group[usize::try_from(n % 5).unwrap()] + n / 5 * 5;
            all.extend(times(&reorder.push(unit(n.unsigned_abs(), pts, key))));
        }
        all.extend(times(&reorder.drain()));
        assert!(all[8..].is_sorted(), "{all:?}");
    }

    #[test]
    fn a_key_frame_releases_what_came_before_it() {
        let mut reorder = Reorder::new();
        reorder.declare(None);
        assert_eq!(reorder.push(unit(0, 0, true)), []);
        assert_eq!(reorder.push(unit(1, 9, false)), []);
        assert_eq!(times(&reorder.push(unit(2, 18, true))), [0, 9]);
    }

    #[test]
    fn the_key_frame_of_an_open_group_waits_its_turn() {
        let mut reorder = Reorder::new();
        reorder.declare(Some(1));
        assert_eq!(reorder.push(unit(0, 0, true)), []);
        let open = UnitMeta { open: true, ..unit(1, 18, true) };
        assert_eq!(times(&reorder.push(open)), [0]);
        assert_eq!(times(&reorder.push(unit(2, 9, false))), [9]);
    }

    proptest! {
        #[test]
        fn every_unit_comes_out_once(pts in proptest::collection::vec(0_i64..50, 0..100), depth in 0_u32..20) {
            let (early, rest) = run(Some(depth), &pts);
            let mut out = [early, rest].concat();
            let mut expected = pts;
            out.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
