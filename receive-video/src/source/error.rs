//! Why a source gives nothing, in words for whoever looks after the camera.

use std::fmt;
use std::time::Duration;

use media::h264::support::Unsupported;
use services::MediaTime;

use super::Incident;
use super::relay::MAX_UNIT;
use super::watchdog::Alarm;

/// What helps a camera whose key frames are too rare.
pub(super) const I_FRAME_ADVICE: &str = "; set the camera's I-frame interval to 1 to 2 s";

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
        Self::broken("no-answer", format!("it did not answer within {waited:.0?} of connecting"))
    }

    /// It plays and gives nothing, while packets of it come or not; `announced` is why what its description announces
    /// could not be decoded either.
    pub(crate) fn no_picture(
        waited: Duration,
        packets_come: bool,
        announced: Option<&Unsupported>,
    ) -> Self {
        let mut error = Self::from(Alarm::Silent(waited).where_packets_come(packets_come));
        if let Some(reason) = announced {
            error.words += &format!("; its description announces this: {reason}");
        }
        error
    }

    /// The same, with what happened to the source before, for whoever reads no events.
    pub(crate) fn after(mut self, incidents: &[Incident]) -> Self {
        incidents.iter().for_each(|incident| self.words += &format!("; {}", incident.words));
        self
    }

    pub(crate) fn empty() -> Self {
        Self::hopeless("it holds no H.264 access unit")
    }

    /// Nothing that came can be decoded: the end of a file, or of a look at a camera.
    pub(crate) fn no_key_frame(units: u64, within: MediaTime, is_camera: bool) -> Self {
        let seconds = within.as_seconds();
        let advice = if is_camera { I_FRAME_ADVICE } else { "" };
        Self::hopeless(format!(
            "it sent {units} access units in {seconds:.1} s and no key frame with parameter sets{advice}"
        ))
    }

    pub(crate) fn too_large(bytes: usize) -> Self {
        let words = format!("it sent an access unit of {bytes} bytes, more than {MAX_UNIT}");
        Self::broken("too-large", words)
    }

    pub(crate) fn unsupported(reason: impl fmt::Display) -> Self {
        Self::new(SourceErrorKind::Unsupported, "unsupported", reason.to_string())
    }

    /// An error of an RTSP session; `code` is the status it was answered with, `login` whether we have one.
    pub(crate) fn rtsp(code: Option<u16>, login: bool, text: &str) -> Self {
        match code {
            Some(401) if !login => {
                let words = "it wants a user name and password";
                Self::new(SourceErrorKind::Unauthorized, "unauthorized", words)
            }
            Some(403) if !login => {
                let words = "it refuses access (403)";
                Self::new(SourceErrorKind::Unauthorized, "unauthorized", words)
            }
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
            Alarm::NoPicture(_) => "no-picture",
            Alarm::Frozen(_) => "frozen",
            Alarm::NoKeyFrame(..) => "no-key-frame",
            Alarm::Jumped(_) => "time-jump",
        };
        Self::broken(event, alarm.to_string())
    }
}

/// The first line of an error of several, its first letter small where that begins a plain word.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']);
    let mut chars = line.chars();
    match chars.next() {
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_said_plainly_and_tried_slowly() {
        let error = SourceError::rtsp(Some(401), true, "401 response to DESCRIBE CSeq=2: …");
        assert_eq!(error.kind(), SourceErrorKind::Unauthorized);
        assert_eq!(error.to_string(), "it refuses the user name or password");
    }

    #[test]
    fn a_login_that_is_missing_was_not_refused() {
        let error = SourceError::rtsp(Some(401), false, "401 response to DESCRIBE CSeq=1: …");
        assert_eq!(error.kind(), SourceErrorKind::Unauthorized);
        assert_eq!(error.to_string(), "it wants a user name and password");
    }

    #[test]
    fn an_abbreviation_keeps_its_capitals() {
        let error = SourceError::rtsp(None, true, "RTSP framing error: invalid\n\nconn: …");
        assert_eq!(error.to_string(), "RTSP framing error: invalid");
    }

    #[test]
    fn long_errors_give_their_first_line() {
        let text = "Unable to connect: refused\n\nconn: 127.0.0.1";
        let error = SourceError::rtsp(None, true, text);
        assert_eq!(error.to_string(), "unable to connect: refused");
    }
}
