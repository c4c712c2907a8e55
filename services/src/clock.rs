//! The wall clock as an argument: the system's, or one made up by a test.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::time::CaptureTime;

/// Reads the UTC time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> CaptureTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(|| CaptureTime::from_system(SystemTime::now())))
    }

    /// The time now.
    pub fn now(&self) -> CaptureTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct MadeUpClock(Arc<AtomicI64>);

impl MadeUpClock {
    /// A clock that stands at `now`.
    pub fn at(now: CaptureTime) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Lets `elapsed` pass.
    pub fn advance(&self, elapsed: Duration) {
        let micros = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// Is set back, as somebody may do with a real one.
    pub fn set_back(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_sub(micros, Ordering::SeqCst);
    }

    /// The handle that adapters read it by.
    pub fn clock(&self) -> Clock {
        let micros = Arc::clone(&self.0);
        Clock(Arc::new(move || CaptureTime(micros.load(Ordering::SeqCst))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_clock_moves_only_when_told() {
        let made_up = MadeUpClock::at(CaptureTime(5));
        let clock = made_up.clock();
        assert_eq!(clock.now(), CaptureTime(5));
        made_up.advance(Duration::from_millis(1));
        assert_eq!(clock.now(), CaptureTime(1_005));
    }
}
