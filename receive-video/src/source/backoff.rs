//! How long to wait before the next try: exponential, with jitter, randomness as an argument.

use std::time::Duration;

/// Waits between `min` and `max`, doubling from one failure to the next.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// A backoff that has seen no failure.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        Self { min, max, next: min }
    }

    /// Tells whether the last try was no failure.
    pub(crate) fn is_fresh(&self) -> bool {
        self.next == self.min
    }

    /// Forgets the failures so far.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Takes note that something worked for `lived`: only what outlived the longest wait was no failure. A camera that
    /// dies a second into each session would else be connected to as often as the shortest wait allows.
    pub(crate) fn lived(&mut self, lived: Duration) {
        if lived >= self.max {
            self.reset();
        }
    }

    /// The wait after one more failure: between half and all of the current step.
    ///
    /// `random` is uniform in 0..1; without it, cameras that went away together would come back together.
    pub(crate) fn wait(&mut self, random: f64) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(3);

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut backoff = Backoff::new(MIN, MAX);
        let waits: Vec<u128> = (0..5).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        backoff.reset();
        assert_eq!(backoff.wait(0.0), MIN / 2);
    }

    #[test]
    fn a_connection_that_outlived_the_longest_wait_was_no_failure() {
        let mut backoff = Backoff::new(MIN, MAX);
        backoff.wait(1.0);
        backoff.lived(MAX - Duration::from_millis(1));
        assert_eq!(backoff.wait(1.0), MIN * 2);
        backoff.lived(MAX);
        assert_eq!(backoff.wait(1.0), MIN);
    }

    #[test]
    fn a_camera_that_dies_a_second_into_each_session_is_tried_less_and_less_often() {
        let mut backoff = Backoff::new(MIN, Duration::from_secs(30));
        let mut sessions = 0;
        let mut day = Duration::from_secs(24 * 3_600);
        while let Some(rest) = day.checked_sub(Duration::from_secs(1)) {
            backoff.lived(Duration::from_secs(1));
            day = rest.saturating_sub(backoff.wait(0.5));
            sessions += 1;
        }
        assert!(sessions < 4_000, "{sessions} epochs a day");
    }
}
