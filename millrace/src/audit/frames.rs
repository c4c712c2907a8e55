//! Frames as sets of numbers, by what they are of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use services::Seq;

use super::Key;

/// Frames, by what they are of: a million take some 20 MB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(pub(super) BTreeMap<Key, BTreeSet<Seq>>);

impl Frames {
    /// Enters frames.
    pub fn extend(&mut self, key: &Key, frames: impl IntoIterator<Item = Seq>) {
        let mut frames = frames.into_iter().peekable();
        if frames.peek().is_some() {
            self.0.entry(key.clone()).or_default().extend(frames);
        }
    }

    /// Where a key's frames lie, of each key that has some.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (&Key, Placed)> {
        self.0.iter().filter_map(|(key, frames)| {
            let (first, last) = (frames.first()?.0, frames.last()?.0);
            Some((key, Placed { epochs: [key.epoch.0; 2], seqs: [first, last] }))
        })
    }

    pub(super) fn contains(&self, key: &Key, frame: Seq) -> bool {
        self.0.get(key).is_some_and(|frames| frames.contains(&frame))
    }

    pub(super) fn remove(&mut self, key: &Key, frame: Seq) {
        if let Some(frames) = self.0.get_mut(key) {
            frames.remove(&frame);
        }
    }

    /// How many of a key's are not among `others`.
    pub(super) fn count_beside(&self, key: &Key, others: &Self) -> u64 {
        let frames = self.0.get(key).into_iter().flatten();
        frames.filter(|frame| !others.contains(key, **frame)).count() as u64
    }
}

/// The epochs and numbers that frames lie between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    epochs: [u64; 2],
    seqs: [u64; 2],
}

impl Placed {
    /// Where these frames and others lie.
    pub(super) fn and(self, other: Self) -> Self {
        let both = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a.min(c), b.max(d)];
        Self { epochs: both(self.epochs, other.epochs), seqs: both(self.seqs, other.seqs) }
    }
}

/// In SQL.
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epochs: [begin, end], seqs: [first, last] } = self;
        write!(f, "epoch BETWEEN {begin} AND {end} AND seq BETWEEN {first} AND {last}")
    }
}
