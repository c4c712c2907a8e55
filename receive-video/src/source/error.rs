//! Why a source gives nothing, in words for whoever looks after the camera.

use std::time::Duration;

use super::watchdog::Alarm;

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// Try again soon: the other side is away, or the connection broke.
    Broken,
    /// Try again later: user name or password are refused.
    Unauthorized,
    /// Try again later: what it sends is not supported.
    Unsupported,
    /// Trying again is useless: a file that is missing or no video.
    Hopeless,
}

/// A source that could not be opened, or ended when it should not have.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct SourceError {
    kind: SourceErrorKind,
    event: &'static str,
    words: String,
}

impl SourceError {
    /// What can be done about it.
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }

    /// The word under which events count it.
    pub fn event(&self) -> &'static str {
        self.event
    }

    pub(crate) fn new(
        kind: SourceErrorKind,
        event: &'static str,
        words: impl Into<String>,
    ) -> Self {
        Self { kind, event, words: words.into() }
    }

    pub(crate) fn broken(event: &'static str, words: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Broken, event, words)
    }

    pub(crate) fn hopeless(words: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Hopeless, "unreadable", words)
    }

    pub(crate) fn end_of_stream() -> Self {
        Self::broken("end-of-stream", "it ended the stream")
    }

    pub(crate) fn connect_timeout(waited: Duration) -> Self {
        Self::broken(
            "no-answer",
            format!("it gave no access unit within {waited:.0?} of connecting"),
        )
    }

    pub(crate) fn codec(found: &str) -> Self {
        let words = format!("it sends {found}, which is not supported: expected H264");
        Self::new(SourceErrorKind::Unsupported, "unsupported", words)
    }

    /// An error of an RTSP session; `code` is the status it was answered with.
    pub(crate) fn rtsp(code: Option<u16>, text: &str) -> Self {
        match code {
            Some(401 | 403) => {
                let words = "it refuses the user name or password";
                Self::new(SourceErrorKind::Unauthorized, "unauthorized", words)
            }
            Some(404) => Self::broken("not-found", "it has no such path (404)"),
            Some(461) => {
                let words =
                    "it does not offer this transport (461): set transport = \"tcp\" or \"udp\"";
                Self::broken("transport", words)
            }
            Some(code @ 400..) => Self::broken("status", format!("it answers with status {code}")),
            _ => Self::broken("connection", first_line(text)),
        }
    }
}

impl From<Alarm> for SourceError {
    fn from(alarm: Alarm) -> Self {
        let event = match alarm {
            Alarm::Silent(_) => "silence",
            Alarm::Frozen(_) => "frozen",
            Alarm::NoKeyFrame(_) => "no-key-frame",
            Alarm::Jumped(_) => "time-jump",
        };
        Self::broken(event, alarm.to_string())
    }
}

/// The first line of an error of several, its first letter small.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']);
    let mut chars = line.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_said_plainly_and_tried_slowly() {
        let error = SourceError::rtsp(Some(401), "401 response to DESCRIBE CSeq=2: …");
        assert_eq!(error.kind(), SourceErrorKind::Unauthorized);
        assert_eq!(error.to_string(), "it refuses the user name or password");
    }

    #[test]
    fn long_errors_give_their_first_line() {
        let error = SourceError::rtsp(None, "Unable to connect: refused\n\nconn: 127.0.0.1");
        assert_eq!(error.to_string(), "unable to connect: refused");
    }
}
