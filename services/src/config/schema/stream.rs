//! The keys of a camera or file.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::fingerprint::Fingerprint;
use crate::config::mask::masked;
use crate::config::value::{Size, Span};
use crate::id::ModelName;

/// One camera or file.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// `rtsp://[user:password@]host[:port]/path`, `rtsps://` likewise for RTSP in TLS, `file:PATH` (MP4 or `.h264`), or `scene:` (the synthetic
    /// scene, with `?seed=…&width=…&height=…&fps=…&seconds=…`).
    pub url: String,
    /// The user name, when it is not part of the URL.
    #[serde(default)]
    pub username: Option<String>,
    /// The password, when it is not part of the URL; best given as `"${NAME}"`.
    #[serde(default)]
    pub password: Option<String>,
    /// `rtsps://`: a file of certificates in PEM, of whoever issued the camera's, or its own; those that this machine trusts
    /// when absent.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// `rtsps://`: the SHA-256 fingerprint of the camera's certificate, which then need not be issued by anybody, nor for its
    /// name, nor for this time.
    #[serde(default)]
    pub certificate_sha256: Option<Fingerprint>,
    /// How RTP travels from an RTSP server.
    #[serde(default)]
    pub transport: Transport,
    /// The models that are asked about this stream; all of them when the key is absent.
    #[serde(default)]
    pub models: Option<Vec<ModelName>>,
    /// A camera that sends no access unit for so long is connected to anew: more than the time between two of its pictures.
    #[serde(default = "default_silence")]
    pub silence: Span,
    /// A camera whose clock is further from this machine's is not believed: its capture times go by arrival.
    #[serde(default = "default_clock_bound")]
    pub clock_bound: Span,
    /// Most bytes a second that a camera may go on sending; one that wants to send more is refused.
    #[serde(default = "default_max_rate")]
    pub max_rate: Size,
    /// Files and scenes: read at the speed of their timeline rather than as fast as it goes.
    #[serde(default)]
    pub paced: bool,
    /// Files: begin again at the end, as a new epoch.
    #[serde(default)]
    pub repeat: bool,
    /// Frames per second of a bare `.h264` file that does not say.
    #[serde(default)]
    pub fps: Option<f64>,
    /// What happens to frames that the spool has no room for; `block` for files, else `drop-oldest`.
    #[serde(default)]
    pub policy: Option<SpoolPolicy>,
}

impl StreamConfig {
    /// Whether frames come when their time has come: those of a file or scene that is read as fast as it goes do not.
    pub fn is_timely(&self) -> bool {
        self.paced || !["file:", "scene:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The URL without what may be secret in it: `rtsp://***@host/path`.
    pub fn shown_url(&self) -> String {
        if self.url.starts_with("file:") || self.url.starts_with("scene:") {
            return self.url.clone();
        }
        let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
        let parts = self.url.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
        let Some((scheme, rest)) = parts else { return "***".to_owned() };
        // Up to the last '@': a password may hold any character, '/' and '?' by mistake too.
        let (user, rest) = match rest.rsplit_once('@') {
            // Nobody can tell whether the '@' ends a password, or is part of one in the query.
            Some((before, _)) if before.contains('?') => return format!("{scheme}://***"),
            Some((_, rest)) => ("***@", rest),
            None => ("", rest),
        };
        match rest.split_once('?') {
            Some((path, _)) => format!("{scheme}://{user}{}?***", masked(path)),
            None => format!("{scheme}://{user}{}", masked(rest)),
        }
    }

    /// Tells whether the source cannot be made to wait: a camera, not a file or scene read at leisure.
    pub fn is_live(&self) -> bool {
        self.url.starts_with("rtsp:") || self.is_secure()
    }

    /// Tells whether it is a camera that speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("rtsps:")
    }

    /// What happens to frames that the spool has no room for.
    pub fn spool_policy(&self) -> SpoolPolicy {
        let default = if self.is_live() { SpoolPolicy::DropOldest } else { SpoolPolicy::Block };
        self.policy.unwrap_or(default)
    }
}

impl fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        f.debug_struct("StreamConfig")
            .field("url", &self.shown_url())
            .field("username", &hidden(&self.username))
            .field("password", &hidden(&self.password))
            .field("ca", &self.ca)
            .field("certificate_sha256", &self.certificate_sha256)
            .field("transport", &self.transport)
            .field("models", &self.models)
            .field("silence", &self.silence)
            .field("clock_bound", &self.clock_bound)
            .field("max_rate", &self.max_rate)
            .field("paced", &self.paced)
            .field("repeat", &self.repeat)
            .field("fps", &self.fps)
            .field("policy", &self.policy)
            .finish()
    }
}

fn default_silence() -> Span {
    Span::from_millis(10_000)
}

/// No zone of the world is closer to UTC than a quarter of an hour, but for those that are UTC.
fn default_clock_bound() -> Span {
    Span::from_millis(300_000)
}

/// Four times what cameras of 8K send.
fn default_max_rate() -> Size {
    Size::from_bytes(16 << 20)
}

/// How RTP travels from an RTSP server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Interleaved in the RTSP connection (RFC 2326 §10.12).
    #[default]
    Tcp,
    /// Over UDP.
    Udp,
}

/// What happens to frames that the spool has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpoolPolicy {
    /// The source waits.
    Block,
    /// The oldest bundle in the spool is given up.
    DropOldest,
    /// All bundles in the spool of the same model are given up.
    Latest,
}
