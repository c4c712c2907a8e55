//! Rates of the last while, from what was counted at each look.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telemetry::metrics::value;

/// What was counted of a model since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Frames taken for it; `None` where no receiver runs.
    pub(super) taken: Option<u64>,
    /// What its workers did; `None` where none run.
    pub(super) answered: Option<Answered>,
}

/// What a model's workers did since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) frames: u64,
    pub(super) messages: u64,
    /// Frames that were not in error, of which the times are known.
    pub(super) timed: u64,
    /// Seconds of work on these.
    pub(super) work: f64,
    /// Seconds from capture to answer of these.
    pub(super) latency: f64,
}

/// What happened of late; a figure that cannot be known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Frames that this process took for the model, per second.
    pub taken: Option<f64>,
    /// Frames that this process answered, per second.
    pub answered: Option<f64>,
    /// Frames that a message has.
    pub frames_per_message: Option<f64>,
    /// Fetch, decode and run of a frame, without what it waited for.
    pub work: Option<Duration>,
    /// From capture to answer.
    pub latency: Option<Duration>,
}

impl Rates {
    /// The share of a frame's time, from capture to answer, in which nobody works on it; 0 to 1.
    pub fn waiting_share(&self) -> Option<f64> {
        let (work, latency) = (self.work?, self.latency?);
        (!latency.is_zero()).then(|| (1.0 - work.as_secs_f64() / latency.as_secs_f64()).max(0.0))
    }
}

/// The looks of a window.
#[derive(Debug)]
pub(super) struct Meter {
    window: Duration,
    looks: VecDeque<(Instant, Counts)>,
}

impl Meter {
    /// One for rates over `window`.
    pub(super) fn new(window: Duration) -> Self {
        Self { window, looks: VecDeque::new() }
    }

    /// Takes a look, and gives the rates since the window's first.
    pub(super) fn look(&mut self, now: Instant, counts: Counts) -> Rates {
        self.looks.push_back((now, counts));
        while self.looks.front().is_some_and(|(at, _)| now.duration_since(*at) > self.window) {
            self.looks.pop_front();
        }
        let (at, before) = self.looks.front().copied().unwrap_or((now, counts));
        let seconds = now.duration_since(at).as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { value(count) / seconds } else { 0.0 };
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let taken =
            counts.taken.zip(before.taken).map(|(now, before)| per_second(since(now, before)));
        let Some((answered, before)) = counts.answered.zip(before.answered) else {
            return Rates { taken, ..Rates::default() };
        };
        let timed = since(answered.timed, before.timed);
        let mean = |now: f64, before: f64| {
            let seconds = (timed > 0).then(|| (now - before) / value(timed))?;
            Duration::try_from_secs_f64(seconds.max(0.0)).ok()
        };
        let frames = since(answered.frames, before.frames);
        Rates {
            taken,
            answered: Some(per_second(frames)),
            // Those of all messages: one may be answered while others are in work.
            frames_per_message: (answered.messages > 0)
                .then(|| (value(answered.frames) / value(answered.messages)).max(1.0)),
            work: mean(answered.work, before.work),
            latency: mean(answered.latency, before.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_window() {
        let (start, mut meter) = (Instant::now(), Meter::new(Duration::from_secs(30)));
        let mut rates = Rates::default();
        for second in 0..100 {
            let busy = second.max(50) - 50;
            let answered = Answered {
                frames: 4 * busy,
                messages: 2 * busy,
                timed: 4 * busy,
                work: value(busy),
                latency: value(100 * busy),
            };
            let counts = Counts { taken: Some(12 * second), answered: Some(answered) };
            rates = meter.look(start + Duration::from_secs(second), counts);
        }
        assert_eq!((rates.taken, rates.answered), (Some(12.0), Some(4.0)));
        assert_eq!(rates.frames_per_message, Some(2.0));
        assert_eq!(rates.work, Some(Duration::from_millis(250)));
        assert_eq!(rates.latency, Some(Duration::from_secs(25)));
        assert_eq!(rates.waiting_share(), Some(0.99));
        assert!(meter.looks.len() <= 31);
    }

    #[test]
    fn what_is_not_counted_here_has_no_rate() {
        let (now, mut meter) = (Instant::now(), Meter::new(Duration::from_secs(30)));
        assert_eq!(meter.look(now, Counts::default()), Rates::default());
        let first = meter.look(now, Counts { taken: None, answered: Some(Answered::default()) });
        assert_eq!((first.answered, first.work, first.frames_per_message), (None, None, None));
    }
}
