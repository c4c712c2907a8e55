//! Presentation order in → which pictures one model gets. No picture is in two runs as the last one.

use std::collections::VecDeque;
use std::time::Duration;

use services::MediaTime;

/// Nanoseconds times nine in a tick of 1/90,000 s times nine: ticks and nanoseconds meet without rounding.
const NANOS_PER_NINE_TICKS: i128 = 100_000;
/// Timestamps jitter: a picture counts as due when it is early by up to a tenth of the period, and by no more
/// than this. Without it a camera of 10 pictures a second, asked for 10, would lose every other one.
const MOST_EARLY: Duration = Duration::from_millis(5);

/// Chooses pictures on a grid of media time: the first at or after each due time opens a run, the rest of the
/// run follows `step` pictures apart.
///
/// Due times are multiples of `every` from the first picture on, so they do not drift. Due times that fall
/// between the same two pictures are one.
#[derive(Debug)]
pub(crate) struct Picker {
    period: i128,
    early: i128,
    frames: usize,
    step: u64,
    anchor: Option<i64>,
    next_due: i128,
    last_pts: Option<i64>,
    offered: u64,
    open: VecDeque<Window>,
}

#[derive(Debug)]
struct Window {
    times: Vec<MediaTime>,
    next: u64,
    /// Pictures were lost since it was opened: it is counted where it would have been complete, and no more.
    is_broken: bool,
}

/// The pictures of a run that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Their times; the run is the last one's.
    pub(crate) times: Vec<MediaTime>,
    /// The first picture of the runs that are still open. Told here, because later pictures are offered before this
    /// run is worked off.
    pub(crate) still_open: Option<MediaTime>,
}

/// What becomes of one picture offered to a [`Picker`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nobody wants it.
    NotDue,
    /// It is not later than the picture before it.
    OutOfOrder,
    /// It belongs to runs that later pictures complete, and is not the last one of a run that was lost.
    Context,
    /// It would have completed a run of which pictures were lost, and may belong to runs that later pictures complete.
    Lost {
        /// It does belong to such runs.
        wanted: bool,
    },
    /// It completes a run, as its last picture.
    Completes(Run),
}

impl Picker {
    /// A picker of runs of `frames` pictures, `step` apart, one every `every`.
    pub(crate) fn new(every: Duration, frames: u32, step: u32) -> Self {
        let early = MOST_EARLY.min(every / 10);
        Self {
            period: nines(every).max(1),
            early: nines(early),
            frames: frames.max(1) as usize,
            step: u64::from(step.max(1)),
            anchor: None,
            next_due: 0,
            last_pts: None,
            offered: 0,
            open: VecDeque::new(),
        }
    }

    /// Offers the next picture in presentation order.
    pub(crate) fn offer(&mut self, time: MediaTime) -> Choice {
        if self.last_pts.is_some_and(|last| time.0 <= last) {
            return Choice::OutOfOrder;
        }
        self.last_pts = Some(time.0);
        let index = self.offered;
        self.offered += 1;
        if self.is_due(time.0) {
            let times = Vec::with_capacity(self.frames);
            self.open.push_back(Window { times, next: index, is_broken: false });
        }
        let mut wanted = false;
        for window in self.open.iter_mut().filter(|window| window.next == index) {
            window.times.push(time);
            window.next += self.step;
            wanted |= !window.is_broken && window.times.len() < self.frames;
        }
        match self.open.pop_front_if(|first| first.times.len() == self.frames) {
            Some(Window { is_broken: true, .. }) => Choice::Lost { wanted },
            Some(Window { times, .. }) => {
                let whole = self.open.iter().find(|window| !window.is_broken);
                let still_open = whole.and_then(|window| window.times.first().copied());
                Choice::Completes(Run { times, still_open })
            }
            None if wanted => Choice::Context,
            None => Choice::NotDue,
        }
    }

    /// Takes note that pictures were lost: no run may hold pictures from both sides of the hole.
    pub(crate) fn interrupt(&mut self) {
        self.open.iter_mut().for_each(|window| window.is_broken = true);
    }

    fn is_due(&mut self, pts: i64) -> bool {
        let anchor = *self.anchor.get_or_insert(pts);
        let elapsed = i128::from(pts - anchor) * NANOS_PER_NINE_TICKS + self.early;
        let index = elapsed.div_euclid(self.period);
        let due = index >= self.next_due;
        if due {
            self.next_due = index + 1;
        }
        due
    }
}

fn nines(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos() * 9).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last_times(picker: &mut Picker, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let last = |pts| match picker.offer(MediaTime(pts)) {
            Choice::Completes(run) => run.times.last().map(|time| time.0),
            _ => None,
        };
        times.filter_map(last).collect()
    }

    fn completes<const N: usize>(times: [i64; N], still_open: Option<i64>) -> Choice {
        let times = times.map(MediaTime).to_vec();
        Choice::Completes(Run { times, still_open: still_open.map(MediaTime) })
    }

    fn stream(numerator: i64, denominator: i64, seconds: i64) -> impl Iterator<Item = i64> {
        let pictures = seconds * numerator / denominator;
        (0..pictures).map(move |n| n * 90_000 * denominator / numerator)
    }

    /// Test 4 of the issue: T / every ± 1 runs, without drift.
    #[test]
    fn runs_are_as_many_as_periods_at_every_frame_rate() {
        for (numerator, denominator) in [(10, 1), (25, 2), (25, 1), (30_000, 1_001), (60, 1)] {
            for (millis, expected) in [(1_000, 600_u64), (500, 1_200), (100, 6_000)] {
                let mut picker = Picker::new(Duration::from_millis(millis), 1, 1);
                let runs = last_times(&mut picker, stream(numerator, denominator, 600));
                let name = format!("{numerator}/{denominator} every {millis} ms");
                assert!((runs.len() as u64).abs_diff(expected) <= 1, "{name}: {}", runs.len());
                for (run, pts) in (0_i64..).zip(&runs) {
                    let late = pts - run * i64::try_from(millis).unwrap() * 90;
                    let picture = 90_000 * denominator / numerator;
                    assert!((-450..=picture).contains(&late), "{name}: run {run} is {late} late");
                }
            }
        }
    }

    #[test]
    fn jitter_of_a_millisecond_costs_no_run() {
        let mut picker = Picker::new(Duration::from_millis(100), 1, 1);
        let jitter = |(n, pts): (usize, i64)| pts + [0, 90, -90, 45, -1][n % 5];
        let runs = last_times(&mut picker, stream(10, 1, 600).enumerate().map(jitter));
        assert!(runs.len().abs_diff(6_000) <= 1, "{}", runs.len());
    }

    #[test]
    fn a_gap_in_the_stream_is_not_made_up_for() {
        let mut picker = Picker::new(Duration::from_secs(1), 1, 1);
        let times = [0, 45_000, 90_000, 900_000, 945_000, 990_000];
        assert_eq!(last_times(&mut picker, times.into_iter()), [0, 90_000, 900_000, 990_000]);
    }

    #[test]
    fn a_run_holds_pictures_a_step_apart_and_is_its_last_ones() {
        let mut picker = Picker::new(Duration::from_secs(1), 3, 2);
        let offers: Vec<Choice> =
            stream(10, 1, 1).map(|pts| picker.offer(MediaTime(pts))).collect();
        assert_eq!(
            offers[..6],
            [
                Choice::Context,
                Choice::NotDue,
                Choice::Context,
                Choice::NotDue,
                completes([0, 18_000, 36_000], None),
                Choice::NotDue,
            ]
        );
    }

    #[test]
    fn no_run_spans_a_hole_and_each_that_would_have_is_counted_once() {
        let mut picker = Picker::new(Duration::from_millis(100), 3, 1);
        let mut offer = |n: i64| picker.offer(MediaTime(n * 9_000));
        assert_eq!([offer(0), offer(1)], [Choice::Context, Choice::Context]);
        picker.interrupt();
        let mut offer = |n: i64| picker.offer(MediaTime(n * 9_000));
        let lost = || Choice::Lost { wanted: true };
        assert_eq!([20, 21].map(&mut offer), [lost(), lost()]);
        assert_eq!(offer(22), completes([180_000, 189_000, 198_000], Some(189_000)));

        let mut picker = Picker::new(Duration::from_secs(1), 3, 1);
        picker.offer(MediaTime(0));
        picker.interrupt();
        let rest = [9_000, 18_000, 27_000].map(|time| picker.offer(MediaTime(time)));
        assert_eq!(rest, [Choice::NotDue, Choice::Lost { wanted: false }, Choice::NotDue]);
    }

    #[test]
    fn overlapping_runs_share_pictures() {
        let mut picker = Picker::new(Duration::from_millis(100), 3, 1);
        let offers: Vec<Choice> =
            stream(10, 1, 1).map(|pts| picker.offer(MediaTime(pts))).collect();
        assert_eq!(offers[2], completes([0, 9_000, 18_000], Some(9_000)));
        assert_eq!(offers[3], completes([9_000, 18_000, 27_000], Some(18_000)));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_is_never_chosen() {
        let mut picker = Picker::new(Duration::from_millis(1), 1, 1);
        assert_eq!(picker.offer(MediaTime(9_000)), completes([9_000], None));
        assert_eq!(picker.offer(MediaTime(9_000)), Choice::OutOfOrder);
        assert_eq!(picker.offer(MediaTime(0)), Choice::OutOfOrder);
    }

    proptest! {
        #[test]
        fn every_period_with_a_picture_has_one_run(
            gaps in proptest::collection::vec(1_i64..20_000, 1..400),
            millis in 10_u64..2_000,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut picker = Picker::new(Duration::from_millis(millis), 1, 1);
            let runs = last_times(&mut picker, times.iter().copied());
            let period = i64::try_from(millis).unwrap() * 90;
            let early = (period / 10).min(450);
            let mut periods: Vec<i64> =
                times.iter().map(|pts| (pts - times[0] + early) / period).collect();
            periods.dedup();
            prop_assert_eq!(runs.len(), periods.len());
        }

        #[test]
        fn no_picture_is_the_last_of_two_runs(
            times in proptest::collection::vec(-50_000_i64..500_000, 1..300),
            frames in 1_u32..4,
            step in 1_u32..4,
        ) {
            let mut picker = Picker::new(Duration::from_millis(70), frames, step);
            let runs = last_times(&mut picker, times.into_iter());
            prop_assert!(runs.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
