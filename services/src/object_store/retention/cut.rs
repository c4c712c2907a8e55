//! Decides which objects go: a core without I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FLOOR, Keep, micros};
use crate::time::CaptureTime;

const MICROS: i64 = 60_000_000;

/// A minute since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Minute(i64);

impl Minute {
    /// The minute that a time lies in.
    pub(super) fn of(time: CaptureTime) -> Self {
        Self(time.0.div_euclid(MICROS))
    }

    /// When it begins.
    pub(super) fn begin(self) -> CaptureTime {
        CaptureTime(self.0.saturating_mul(MICROS))
    }

    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The objects of a folder, counted. A year of minutes takes some 16 MB.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// How many there are.
    pub(super) objects: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// When the oldest of those was stored that may not go.
    pub(super) oldest_held: Option<Minute>,
    /// The bytes of the others, by when they were stored.
    loose: BTreeMap<Minute, u64>,
}

impl Stock {
    /// Counts an object.
    pub(super) fn enter(&mut self, bytes: u64, stored_at: CaptureTime, is_held: bool) {
        let minute = Minute::of(stored_at);
        self.objects += 1;
        self.bytes += bytes;
        if is_held {
            self.oldest_held = self.oldest_held.into_iter().chain([minute]).min();
        } else {
            *self.loose.entry(minute).or_default() += bytes;
        }
    }

    /// When the oldest of those was stored that may go.
    pub(super) fn oldest_loose(&self) -> Option<Minute> {
        self.loose.keys().next().copied()
    }

    /// The same of those that were stored in a minute or later.
    pub(super) fn oldest_loose_from(&self, minute: Minute) -> Option<Minute> {
        self.loose.range(minute..).map(|(minute, _)| *minute).next()
    }

    /// What goes at `now`, so that what is left is within its bounds, as far as it may go; none when nothing does.
    pub(super) fn cut(&self, keep: &Keep, now: CaptureTime) -> Option<Cut> {
        let before = |span: Duration| Minute::of(CaptureTime(now.0.saturating_sub(micros(span))));
        let aged = keep.age.map(before);
        let mut excess = keep.bytes.map_or(0, |bound| self.bytes.saturating_sub(bound));
        let mut cut = None;
        for (&minute, &bytes) in self.loose.range(..before(FLOOR)) {
            let is_aged = aged.is_some_and(|aged| minute < aged);
            if !is_aged && bytes > excess && excess > 0 {
                return Some(Cut { whole: minute, part: excess });
            }
            if !is_aged && excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            cut = Some(Cut { whole: minute.next(), part: 0 });
        }
        cut
    }
}

/// Which objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// All that were stored before this minute.
    pub(super) whole: Minute,
    /// Of this minute's, as many as have so many bytes.
    pub(super) part: u64,
}

impl Cut {
    /// Everything stored from here on stays.
    pub(super) fn boundary(&self) -> CaptureTime {
        if self.part > 0 { self.whole.next().begin() } else { self.whole.begin() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: CaptureTime = CaptureTime(1_000_000 * MICROS);

    /// Ten bytes in each of the hundred minutes before now.
    fn stock() -> Stock {
        let mut stock = Stock::default();
        for minute in 1..=100 {
            stock.enter(10, CaptureTime(NOW.0 - minute * MICROS), false);
        }
        stock
    }

    fn cut(stock: &Stock, age_minutes: Option<u64>, bytes: Option<u64>) -> Option<(i64, u64)> {
        let age = age_minutes.map(|minutes| Duration::from_secs(60 * minutes));
        let cut = stock.cut(&Keep { age, bytes }, NOW)?;
        Some((1_000_000 - cut.whole.0, cut.part))
    }

    #[test]
    fn what_is_older_goes_and_what_is_as_old_stays() {
        assert_eq!(cut(&stock(), Some(60), None), Some((60, 0)));
        assert_eq!(cut(&stock(), Some(100), None), None);
        assert_eq!(cut(&stock(), None, None), None);
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_no_more_than_it_takes() {
        assert_eq!(cut(&stock(), None, Some(1_000)), None);
        assert_eq!(cut(&stock(), None, Some(500)), Some((50, 0)));
        assert_eq!(cut(&stock(), None, Some(505)), Some((51, 5)));
        assert_eq!(cut(&stock(), None, Some(995)), Some((100, 5)));
    }

    #[test]
    fn of_two_bounds_the_narrower_one_holds() {
        assert_eq!(cut(&stock(), Some(60), Some(800)), Some((60, 0)));
        assert_eq!(cut(&stock(), Some(60), Some(300)), Some((30, 0)));
    }

    #[test]
    fn nothing_younger_than_the_floor_goes() {
        assert_eq!(cut(&stock(), Some(0), Some(0)), Some((10, 0)));
    }

    #[test]
    fn what_is_held_takes_room_and_does_not_go() {
        let mut stock = stock();
        stock.enter(400, CaptureTime(NOW.0 - 500 * MICROS), true);
        assert_eq!(cut(&stock, None, Some(1_000)), Some((60, 0)));
        assert_eq!(stock.oldest_held, Some(Minute(1_000_000 - 500)));
    }

    #[test]
    fn empty_objects_go_by_their_age_and_not_to_make_room() {
        let mut stock = Stock::default();
        stock.enter(0, CaptureTime(NOW.0 - 90 * MICROS), false);
        assert_eq!(cut(&stock, None, Some(0)), None);
        assert_eq!(cut(&stock, Some(60), None), Some((89, 0)));
    }

    #[test]
    fn all_stored_from_the_boundary_on_stays() {
        assert_eq!(Cut { whole: Minute(7), part: 0 }.boundary(), CaptureTime(7 * MICROS));
        assert_eq!(Cut { whole: Minute(7), part: 1 }.boundary(), CaptureTime(8 * MICROS));
    }
}
