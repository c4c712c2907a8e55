//! What a camera may not do: each bound with its number, and the words for whoever looks after the camera.

use std::time::Duration;

use super::super::error::SourceError;

/// Bytes of the first line and the headers of a message.
pub(super) const MAX_HEAD: usize = 16 * 1_024;
/// Bytes of the body of a message: a description of dozens of streams has a few kilobytes.
pub(super) const MAX_BODY: usize = 256 * 1_024;
/// Bytes of a camera's access unit, in packets that count [`LEAST_PACKET`] at least: an 8K key frame has less.
pub(crate) const MAX_UNIT: usize = 8 << 20;
/// Bytes of packets that the RTSP library was given since it made an access unit of what came before: what it keeps, and
/// what waits for it in the sockets between.
pub(super) const MAX_UNSETTLED: usize = 14 << 20;
/// NAL units of an access unit: slices of one packet each make 6,000 of a picture of 8 MiB.
pub(super) const MAX_NALS: usize = 8_192;
/// What a packet counts at least, in bytes: each costs its reader more than its payload.
pub(super) const LEAST_PACKET: usize = 128;
/// What a NAL unit counts at least, in bytes.
pub(super) const LEAST_NAL: usize = 160;
/// What an access unit counts at least, in bytes.
pub(super) const LEAST_UNIT: usize = 16 * 1_024;
/// How much of its rate a camera may send at once, beyond it: an encoder's key frame, or a server's last group of pictures.
pub(super) const BURST: Duration = Duration::from_secs(1);
/// How long a camera may want to send more than its rate.
pub(super) const MAX_HASTE: Duration = Duration::from_secs(10);
/// How long a camera may leave a request unread.
pub(super) const MAX_DEAFNESS: Duration = Duration::from_secs(5);
/// How many redirects are followed, one after the other.
pub(super) const MAX_REDIRECTS: usize = 4;

/// A bound that a camera broke, which ends its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("it sent an RTSP message whose head has more than {MAX_HEAD} bytes")]
    LongHead,
    #[error("it sent an RTSP message with a body of {0} bytes, more than {MAX_BODY}")]
    LongBody(String),
    #[error("it sent what is neither an RTSP message nor an interleaved packet")]
    NotRtsp,
    #[error("it sent an access unit of more than {MAX_UNIT} bytes")]
    LargeUnit,
    #[error("it sent {} MiB of packets that make no access unit", MAX_UNSETTLED >> 20)]
    NoUnit,
    #[error("it sent an access unit of more than {MAX_NALS} NAL units")]
    ManyNals,
    #[error(
        "it has wanted to send more than {0} bytes a second for {MAX_HASTE:?}: raise max_rate if it has to send that much"
    )]
    Haste(u64),
    #[error("it has not read a request for {MAX_DEAFNESS:?}")]
    Deaf,
    #[error("it sends from another RTP source (SSRC) than before")]
    OtherVoice,
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    ManyRedirects,
    #[error("it redirects to {0}, which is not followed: set that url if it is the right one")]
    Redirected(String),
    #[error("its answer names no UDP port that it sends from: set transport = \"tcp\"")]
    NoPort,
    #[error("{0}")]
    Untrusted(String),
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Io(String),
}

impl Breach {
    /// The word under which events count it.
    fn event(&self) -> &'static str {
        match self {
            Self::LongHead | Self::LongBody(_) => "message-too-long",
            Self::NotRtsp => "not-rtsp",
            Self::LargeUnit | Self::NoUnit | Self::ManyNals => "too-large",
            Self::Haste(_) => "too-fast",
            Self::Deaf | Self::Io(_) => "connection",
            Self::OtherVoice => "source-changed",
            Self::ManyRedirects | Self::Redirected(_) => "redirected",
            Self::NoPort => "transport",
            Self::Untrusted(_) => "untrusted-certificate",
            Self::Tls(_) => "tls",
        }
    }

    /// An error of a socket.
    pub(super) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::Io(format!("{what}: {error}"))
    }

    /// An error of a connection that may have a bound of its own.
    pub(super) fn within(what: &str, error: std::io::Error) -> Self {
        error.downcast().unwrap_or_else(|error| Self::io(what, &error))
    }
}

impl From<Breach> for SourceError {
    fn from(breach: Breach) -> Self {
        Self::broken(breach.event(), breach.to_string())
    }
}
