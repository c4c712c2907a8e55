//! What is done about a stream that failed: whether it is tried again, and how long after.

use std::any::Any;
use std::time::Duration;

use services::PortError;
use services::config::StreamConfig;
use services::retry::Backoff;
use tokio::task::JoinError;

/// Shortest and longest time to the next try of a stream that failed as a whole.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A part of a stream that panicked: a failure like others, with the panic's own words.
#[derive(Debug, thiserror::Error)]
#[error("{part} panicked: {words}")]
pub(crate) struct Panicked {
    part: &'static str,
    words: String,
}

impl Panicked {
    /// What a thread that was joined panicked with.
    pub(crate) fn new(part: &'static str, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self { part, words: text.unwrap_or("without a word").to_owned() }
    }

    /// Why a task that was awaited gave nothing.
    pub(crate) fn of(part: &'static str, error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => Self::new(part, &*panic),
            Err(cancelled) => Self { part, words: cancelled.to_string() },
        }
    }
}

/// Decides about one stream's failures.
///
/// A camera is tried again after whatever may pass, and after a panic, for as long as it takes: its streams may all
/// fail at once, for want of descriptors or of room. A file that is read once is tried again while others are
/// received, and not after a panic: it would be answered from its beginning once more.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    lasts: bool,
    backoff: Backoff,
}

impl Retry {
    /// Decides for a stream that has not failed yet.
    pub(crate) fn new(stream: &StreamConfig) -> Self {
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Self { lasts: stream.is_live() || stream.repeat, backoff }
    }

    /// The wait until the next try after it was received for `lived`; none when it is to be given up.
    pub(crate) fn wait(
        &mut self,
        error: &anyhow::Error,
        lived: Duration,
        others: bool,
        random: f64,
    ) -> Option<Duration> {
        let may_pass = error.downcast_ref::<PortError>().is_some_and(PortError::is_retryable);
        let is_retried = match error.downcast_ref::<Panicked>() {
            Some(_) => self.lasts,
            None => may_pass && (self.lasts || others),
        };
        self.backoff.lived(lived);
        is_retried.then(|| self.backoff.wait(random))
    }
}

#[cfg(test)]
mod tests {
    use services::ErrorKind;

    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn retry(stream: serde_json::Value) -> Retry {
        Retry::new(&serde_json::from_value(stream).unwrap())
    }

    fn camera() -> Retry {
        retry(serde_json::json!({ "url": "rtsp://camera/1" }))
    }

    fn file() -> Retry {
        retry(serde_json::json!({ "url": "file:clip.mp4" }))
    }

    fn failure(kind: ErrorKind) -> anyhow::Error {
        PortError::because(kind, "open spool", "too many open files").into()
    }

    fn panic() -> anyhow::Error {
        Panicked::new("its stage", &"a width of 0").into()
    }

    #[test]
    fn the_last_of_cameras_that_fail_together_is_tried_again_too() {
        for kind in [ErrorKind::Unavailable, ErrorKind::Full] {
            assert!(camera().wait(&failure(kind), AT_ONCE, false, 1.0).is_some(), "{kind:?}");
        }
        assert_eq!(camera().wait(&failure(ErrorKind::Corrupt), AT_ONCE, true, 1.0), None);
        assert_eq!(camera().wait(&anyhow::anyhow!("no such codec"), AT_ONCE, true, 1.0), None);
    }

    #[test]
    fn a_job_of_files_ends_when_none_of_them_can_be_read() {
        let failure = failure(ErrorKind::Unavailable);
        assert!(file().wait(&failure, AT_ONCE, true, 1.0).is_some());
        assert_eq!(file().wait(&failure, AT_ONCE, false, 1.0), None);
    }

    #[test]
    fn a_panic_is_tried_again_less_and_less_often_unless_answers_would_come_twice() {
        let mut camera = camera();
        let mut wait = |lived| camera.wait(&panic(), lived, false, 1.0).unwrap().as_secs();
        assert_eq!([AT_ONCE; 5].map(&mut wait), [5, 10, 20, 40, 60]);
        assert_eq!(wait(LONGEST_WAIT), 5);
        assert_eq!(file().wait(&panic(), AT_ONCE, true, 1.0), None);
        assert_eq!(panic().to_string(), "its stage panicked: a width of 0");
    }
}
