//! How fast a camera may send: a bucket that fills with time and that bytes are taken from.

use std::time::{Duration, Instant};

use super::breach::{BURST, Breach, MAX_HASTE};

/// What a camera may still send.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When the bucket was, or will be, empty; full is [`BURST`] later.
    empty_at: Instant,
    hasty_since: Option<Instant>,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self { rate, empty_at: before(now, BURST), hasty_since: None }
    }

    /// Takes `bytes`, and tells when the next may be taken: at once, while there are any left.
    ///
    /// # Errors
    /// The camera has been made to wait for too long.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Result<Instant, Breach> {
        self.empty_at = self.empty_at.max(before(now, BURST)) + self.time_for(bytes as u64);
        if self.empty_at <= before(now, BURST / 2) {
            self.hasty_since = None;
        } else if self.empty_at > now {
            let since = *self.hasty_since.get_or_insert(now);
            if now.saturating_duration_since(since) > MAX_HASTE {
                return Err(Breach::Haste(self.rate));
            }
        }
        Ok(self.empty_at)
    }

    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.rate.max(1))
    }
}

fn before(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const RATE: u64 = 16 << 20;

    #[test]
    fn a_burst_passes_and_what_is_faster_than_the_rate_waits() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::new(RATE, start);
        assert!(pace.take(16 * MIB, start).unwrap() <= start);
        let next = pace.take(8 * MIB, start).unwrap();
        assert_eq!(next - start, Duration::from_millis(500));
    }

    #[test]
    fn a_camera_that_is_always_too_fast_is_told_so_and_one_that_calms_down_is_not() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::new(RATE, start);
        let mut now = start;
        let breach = loop {
            match pace.take(MIB, now) {
                Ok(next) => now = now.max(next),
                Err(breach) => break breach,
            }
            assert!(now < start + Duration::from_secs(30), "it goes on");
        };
        assert_eq!(breach, Breach::Haste(RATE));

        let mut pace = Pace::new(RATE, start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            pace.take(if second % 8 == 0 { 40 * MIB } else { MIB }, now).unwrap();
        }
    }

    /// What a pace says to a camera of 24 MiB a second, in pieces of one, within a minute.
    fn said_to_one_of_24_mib(rate: u64) -> Result<(), Breach> {
        let start = Instant::now() + Duration::from_secs(60);
        let (mut pace, mut now) = (Pace::new(rate, start), start);
        for n in 1..24 * 60 {
            let due = start + Duration::from_secs(n) / 24;
            now = now.max(due).max(pace.take(MIB, now)?);
        }
        Ok(())
    }

    #[test]
    fn a_camera_that_has_to_send_more_may_where_its_rate_is_raised() {
        assert_eq!(said_to_one_of_24_mib(RATE), Err(Breach::Haste(RATE)));
        assert_eq!(said_to_one_of_24_mib(2 * RATE), Ok(()));
    }
}
