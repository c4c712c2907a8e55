//! Until when an answer is wanted.

use services::{CaptureTime, Clock, FrameBatch, FrameEntry};

/// The time after which nobody wants the answer about a frame, with the clock that tells.
#[derive(Clone, Debug)]
pub(super) struct Until {
    deadline: Option<CaptureTime>,
    clock: Clock,
}

impl Until {
    pub(super) fn new(batch: &FrameBatch, entry: &FrameEntry, clock: &Clock) -> Self {
        Self { deadline: batch.deadline_of(entry), clock: clock.clone() }
    }

    /// An answer that is always wanted.
    #[cfg(test)]
    pub(super) fn ever() -> Self {
        Self { deadline: None, clock: Clock::system() }
    }

    /// Tells whether the frame is stale.
    pub(super) fn is_past(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.now() > deadline)
    }

    pub(super) fn now(&self) -> CaptureTime {
        self.clock.now()
    }
}
