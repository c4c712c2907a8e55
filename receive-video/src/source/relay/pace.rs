//! How fast a camera may send: a bucket that fills with time and that bytes are taken from.

use std::time::{Duration, Instant};

use super::breach::{BURST, Breach, MAX_HASTE, RATE};

/// What a camera may still send.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the bucket was, or will be, empty; full is [`BURST`] of time later.
    empty_at: Instant,
    hasty_since: Option<Instant>,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(now: Instant) -> Self {
        Self { empty_at: now.checked_sub(time_for(BURST)).unwrap_or(now), hasty_since: None }
    }

    /// Takes `bytes`, and tells when the next may be taken: at once, while there are any left.
    ///
    /// # Errors
    /// The camera has been made to wait for too long.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Result<Instant, Breach> {
        let full = now.checked_sub(time_for(BURST)).unwrap_or(now);
        self.empty_at = self.empty_at.max(full) + time_for(bytes as u64);
        if self.empty_at <= now.checked_sub(time_for(BURST / 2)).unwrap_or(now) {
            self.hasty_since = None;
        } else if self.empty_at > now {
            let since = *self.hasty_since.get_or_insert(now);
            if now.saturating_duration_since(since) > MAX_HASTE {
                return Err(Breach::Haste);
            }
        }
        Ok(self.empty_at)
    }
}

fn time_for(bytes: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_burst_passes_and_what_is_faster_than_the_rate_waits() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::new(start);
        assert!(pace.take(16 * MIB, start).unwrap() <= start);
        let next = pace.take(8 * MIB, start).unwrap();
        assert_eq!(next - start, Duration::from_millis(500));
    }

    #[test]
    fn a_camera_that_is_always_too_fast_is_told_so_and_one_that_calms_down_is_not() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::new(start);
        let mut now = start;
        let breach = loop {
            match pace.take(MIB, now) {
                Ok(next) => now = now.max(next),
                Err(breach) => break breach,
            }
            assert!(now < start + Duration::from_secs(30), "it goes on");
        };
        assert_eq!(breach, Breach::Haste);

        let mut pace = Pace::new(start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            pace.take(if second % 8 == 0 { 40 * MIB } else { MIB }, now).unwrap();
        }
    }
}
