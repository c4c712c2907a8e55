//! Trying again: after which failures, and how long after them. Waits double here and nowhere else.

use std::time::Duration;

use crate::error::{ErrorKind, PortError};

/// Waits between a shortest and a longest, doubling from one failure to the next, with jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// A backoff that has seen no failure.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest), next: shortest }
    }

    /// Tells whether the last try was no failure.
    pub fn is_fresh(&self) -> bool {
        self.next == self.shortest
    }

    /// Forgets the failures so far.
    pub fn reset(&mut self) {
        self.next = self.shortest;
    }

    /// Takes note that something worked for `lived`: only what outlived the longest wait was no failure. A camera that
    /// dies a second into each session would else be connected to as often as the shortest wait allows.
    pub fn lived(&mut self, lived: Duration) {
        if lived >= self.longest {
            self.reset();
        }
    }

    /// The wait after one more failure: between half and all of the current step.
    ///
    /// `random` is uniform in 0..1; without it, what went away together would come back together.
    pub fn wait(&mut self, random: f64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// Lets the wait after one more failure pass.
    ///
    /// # Cancel safety
    /// A call that is dropped has counted the failure.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.wait(rand::random())).await;
    }
}

/// What must happen before a call that failed is worth another try; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// Nothing but time: the other side is away, busy or full.
    Time,
    /// Somebody gives a permission, or credentials that expired are renewed.
    Permission,
    /// Somebody makes what is missing.
    Resource,
    /// Somebody repairs what is damaged.
    Repair,
}

impl WaitsFor {
    /// Tells whether a caller that waits for this tries again after a failure. After one of a call that breaks the port's
    /// rules, nobody does.
    pub fn covers(self, error: &PortError) -> bool {
        let needed = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Full => Self::Time,
            ErrorKind::Denied => Self::Permission,
            ErrorKind::NotFound => Self::Resource,
            ErrorKind::Corrupt => Self::Repair,
            ErrorKind::Invalid => return false,
        };
        needed <= self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(3);

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        let waits: Vec<u128> = (0..5).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        backoff.reset();
        assert_eq!(backoff.wait(0.0), SHORTEST / 2);
    }

    #[test]
    fn what_went_away_together_does_not_come_back_together() {
        let waits = [0.0, 0.25, 0.75, 1.0].map(|random| {
            let mut backoff = Backoff::new(SHORTEST, LONGEST);
            (backoff.wait(random).as_millis(), backoff.wait(random).as_millis())
        });
        assert_eq!(waits, [(250, 500), (312, 625), (437, 875), (500, 1_000)]);
    }

    #[test]
    fn a_connection_that_outlived_the_longest_wait_was_no_failure() {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        backoff.wait(1.0);
        backoff.lived(LONGEST - Duration::from_millis(1));
        assert_eq!(backoff.wait(1.0), SHORTEST * 2);
        backoff.lived(LONGEST);
        assert_eq!(backoff.wait(1.0), SHORTEST);
    }

    #[test]
    fn a_camera_that_dies_a_second_into_each_session_is_tried_less_and_less_often() {
        let mut backoff = Backoff::new(SHORTEST, Duration::from_secs(30));
        let mut sessions = 0;
        let mut day = Duration::from_secs(24 * 3_600);
        while let Some(rest) = day.checked_sub(Duration::from_secs(1)) {
            backoff.lived(Duration::from_secs(1));
            day = rest.saturating_sub(backoff.wait(0.5));
            sessions += 1;
        }
        assert!(sessions < 4_000, "{sessions} epochs a day");
    }

    #[test]
    fn who_waits_for_more_tries_again_after_more_failures() {
        use WaitsFor::{Permission, Repair, Resource, Time};
        let tries_again = |kind| {
            let error = PortError::because(kind, "put object", "no");
            assert_eq!(error.is_retryable(), Time.covers(&error), "{kind:?}");
            [Time, Permission, Resource, Repair].map(|waits_for| waits_for.covers(&error))
        };
        assert_eq!(tries_again(ErrorKind::Unavailable), [true; 4]);
        assert_eq!(tries_again(ErrorKind::Full), [true; 4]);
        assert_eq!(tries_again(ErrorKind::Denied), [false, true, true, true]);
        assert_eq!(tries_again(ErrorKind::NotFound), [false, false, true, true]);
        assert_eq!(tries_again(ErrorKind::Corrupt), [false, false, false, true]);
        assert_eq!(tries_again(ErrorKind::Invalid), [false; 4]);
    }
}
