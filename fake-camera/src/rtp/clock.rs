//! The camera's RTP clock: 90 kHz ticks since the camera came to life, from a random start (RFC 3550 §5.1).

use std::time::Duration;

use tokio::time::Instant;

/// The clock rate of video over RTP.
pub(crate) const TICKS_PER_SECOND: i64 = 90_000;

/// Maps instants to ticks, and ticks to the 32 bits that a packet carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtpClock {
    started: Instant,
    base: u32,
}

impl RtpClock {
    /// Starts at `started` with the random value `base`.
    pub(crate) fn new(started: Instant, base: u32) -> Self {
        Self { started, base }
    }

    /// Counts the ticks from the start to `at`.
    pub(crate) fn ticks_at(&self, at: Instant) -> i64 {
        ticks_in(at.saturating_duration_since(self.started))
    }

    /// Gives the timestamp of `ticks`, which wraps every 13 hours.
    pub(crate) fn timestamp(&self, ticks: i64) -> u32 {
        let wrapped = u32::try_from(ticks.rem_euclid(1 << 32)).expect("a remainder of 2^32");
        self.base.wrapping_add(wrapped)
    }
}

/// Counts the whole ticks in `span`.
fn ticks_in(span: Duration) -> i64 {
    let ticks = span.as_nanos() * 9 / 100_000;
    i64::try_from(ticks).expect("a span of less than three million years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_ninety_thousand_ticks() {
        let start = Instant::now();
        let clock = RtpClock::new(start, 0);
        assert_eq!(clock.ticks_at(start + Duration::from_millis(1_040)), 93_600);
        assert_eq!(clock.ticks_at(start - Duration::from_secs(1)), 0);
    }

    #[test]
    fn timestamps_wrap_and_may_lie_before_the_start() {
        let clock = RtpClock::new(Instant::now(), 0xFFFF_FFF0);
        assert_eq!(clock.timestamp(0), 0xFFFF_FFF0);
        assert_eq!(clock.timestamp(0x10), 0);
        assert_eq!(clock.timestamp(-0x10), 0xFFFF_FFE0);
        assert_eq!(clock.timestamp((1 << 32) + 1), 0xFFFF_FFF1);
    }
}
