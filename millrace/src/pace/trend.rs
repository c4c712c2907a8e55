//! Whether a queue grows for good, decided from how many messages waited in it at each look.
//!
//! The looks of a window are parted into thirds. The queue *rises* over the window when the mean of each third is
//! above that of the third before it by a message at least, and by more than half of what either of the two spans; it
//! *falls* when the same holds downwards. Nothing that stays within bounds can do either, whatever its shape: two such
//! steps are more than it spans. So bundles, jitter and a burst that comes for no longer than a third of the window are no
//! rise. Two windows are looked at: a short one, for what is plain, and ten minutes for what is slow.
//!
//! A model is behind from the first rise on, until its queue falls and does not rise, or nothing waits in it for a
//! third of the short window. A queue that stands full stays what it was.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telemetry::metrics::value;

/// The short window, where depths are exact; three times what they lag, where they do.
const SHORT: Duration = Duration::from_secs(30);
/// The long window.
const LONG: Duration = Duration::from_secs(600);

/// What one queue did lately.
#[derive(Debug)]
pub(super) struct Trend {
    short: Duration,
    looks: VecDeque<(Instant, u64)>,
    is_behind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Rising,
    Falling,
    /// Neither, or not looked at for long enough.
    Level,
}

impl Trend {
    /// That of a queue whose depth may be `lag` old.
    pub(super) fn new(lag: Duration) -> Self {
        Self { short: SHORT.max(lag * 3), looks: VecDeque::new(), is_behind: false }
    }

    /// The short window.
    pub(super) fn window(&self) -> Duration {
        self.short
    }

    /// Takes a look at which so many messages waited; tells whether their model is behind.
    pub(super) fn look(&mut self, now: Instant, waiting: u64) -> bool {
        self.looks.push_back((now, waiting));
        // One look that is older than the window tells that the window is full.
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= LONG) {
            self.looks.pop_front();
        }
        let courses = [self.course(now, self.short), self.course(now, LONG)];
        if self.is_idle(now) {
            self.is_behind = false;
        } else if courses.contains(&Course::Rising) {
            self.is_behind = true;
        } else if courses.contains(&Course::Falling) {
            self.is_behind = false;
        }
        self.is_behind
    }

    /// Forgets everything: the model did not run.
    pub(super) fn reset(&mut self) {
        *self = Self { short: self.short, looks: VecDeque::new(), is_behind: false };
    }

    fn is_idle(&self, now: Instant) -> bool {
        let mut last =
            self.looks.iter().rev().take_while(|(at, _)| now.duration_since(*at) < self.short / 3);
        last.all(|(_, waiting)| *waiting == 0)
    }

    fn course(&self, now: Instant, window: Duration) -> Course {
        let is_full = self.looks.front().is_some_and(|(at, _)| now.duration_since(*at) >= window);
        let mut thirds = [Third::default(); 3];
        for (at, waiting) in &self.looks {
            let age = now.duration_since(*at);
            let place =
                [window * 2 / 3, window / 3, Duration::ZERO].iter().position(|from| age >= *from);
            if let (true, Some(place)) = (age < window, place) {
                thirds[place].take(*waiting);
            }
        }
        let [first, middle, last] = thirds;
        if !is_full || thirds.iter().any(|third| third.looks == 0) {
            return Course::Level;
        }
        match (middle.is_above(first), last.is_above(middle)) {
            (true, true) => Course::Rising,
            _ if first.is_above(middle) && middle.is_above(last) => Course::Falling,
            _ => Course::Level,
        }
    }
}

/// A third of a window.
#[derive(Clone, Copy, Default)]
struct Third {
    looks: u32,
    sum: u64,
    least: u64,
    most: u64,
}

impl Third {
    fn take(&mut self, waiting: u64) {
        self.least = if self.looks == 0 { waiting } else { self.least.min(waiting) };
        self.most = self.most.max(waiting);
        self.sum = self.sum.saturating_add(waiting);
        self.looks += 1;
    }

    fn is_above(self, other: Self) -> bool {
        let rise = self.mean() - other.mean();
        rise >= 1.0 && rise > self.span().max(other.span()) / 2.0
    }

    fn mean(self) -> f64 {
        value(self.sum) / f64::from(self.looks)
    }

    fn span(self) -> f64 {
        value(self.most - self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Waiting = fn(u64) -> u64;

    /// The seconds at which what is said of a queue changes, when so many messages wait in it at each second.
    fn turns(lag: u64, every: u64, waiting: Waiting) -> Vec<u64> {
        let (start, mut trend, mut said) =
            (Instant::now(), Trend::new(Duration::from_secs(lag)), false);
        let mut turns = Vec::new();
        for second in (0..1_500).step_by(usize::try_from(every).unwrap()) {
            let is_behind = trend.look(start + Duration::from_secs(second), waiting(second));
            if is_behind != said {
                turns.push(second);
                said = is_behind;
            }
        }
        turns
    }

    /// The same number for the same second, up to `most`, in no order.
    fn noise(second: u64, most: u64) -> u64 {
        second
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(17)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            % (most + 1)
    }

    #[test]
    fn a_queue_that_grows_for_good_is_named_and_a_burst_is_not() {
        let cases: [(&str, Waiting, &[u64]); 14] = [
            ("nothing waits", |_| 0, &[]),
            ("as many wait as at the start", |_| 500, &[]),
            ("bundles of ten", |s| s % 10, &[]),
            ("bundles of ten seconds and more", |s| s % 23, &[]),
            ("as much noise as there is", |s| noise(s, 50), &[]),
            (
                "a burst of 100, worked off in 50 s",
                |s| 100u64.saturating_sub(s.abs_diff(100) * if s < 100 { 100 } else { 2 }),
                &[],
            ),
            (
                "a burst that comes for 10 s",
                |s| if s < 110 { s.saturating_sub(100) * 8 } else { 80u64.saturating_sub(s - 110) },
                &[],
            ),
            ("a burst each minute", |s| 60u64.saturating_sub(2 * (s % 60)), &[]),
            ("it grows", |s| 8 * s, &[30]),
            ("it grows with bundles and noise", |s| 2 * s + s % 7 + noise(s, 4), &[30]),
            ("one message more in 12 s, between bundles of 5", |s| s / 12 + s % 5, &[600]),
            ("it grows up to its bound", |s| (8 * s).min(1_000), &[30]),
            (
                "it grows for a minute, and is worked off",
                |s| (8 * s).min(480u64.saturating_sub(s.saturating_sub(60) * 4)),
                &[30, 84],
            ),
            (
                "it grows, stands, and is empty at once",
                |s| if s < 200 { (8 * s).min(400) } else { 0 },
                &[30, 209],
            ),
        ];
        for (case, waiting, expected) in cases {
            assert_eq!(turns(0, 1, waiting), expected, "{case}");
        }
    }

    #[test]
    fn counts_that_are_a_minute_old_take_three_minutes() {
        let cases: [(&str, Waiting, &[u64]); 4] = [
            ("it grows", |s| 8 * s.saturating_sub(noise(s, 60)), &[180]),
            ("as much noise as there is", |s| noise(s, 50), &[]),
            ("bundles of ten", |s| s.saturating_sub(noise(s, 60)) % 10, &[]),
            ("one minute's burst", |s| if s / 60 == 4 { 480 } else { 0 }, &[]),
        ];
        for (case, waiting, expected) in cases {
            assert_eq!(turns(60, 10, waiting), expected, "{case}");
        }
    }

    #[test]
    fn what_was_not_looked_at_for_a_while_is_not_known() {
        let (start, mut trend) = (Instant::now(), Trend::new(Duration::ZERO));
        assert!(!trend.look(start, 0));
        assert!(!trend.look(start + SHORT, 1_000));
        (31..61)
            .for_each(|second| assert!(!trend.look(start + Duration::from_secs(second), 1_000)));
    }
}
