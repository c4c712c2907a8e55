//! The configured URL → where a source is, its credentials apart and out of sight.

use std::fmt;
use std::path::PathBuf;

use media::FrameRate;
use media::scene::SceneConfig;
use percent_encoding::percent_decode_str;
use services::config::{StreamConfig, Transport};
use url::Url;

use super::error::SourceError;

/// Where a source is.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// An RTSP server.
    Rtsp(RtspAddress),
    /// A file of this machine.
    File {
        /// Where it lies.
        path: PathBuf,
        /// The frame rate, when the file does not say.
        fps: Option<FrameRate>,
    },
    /// The synthetic scene.
    Scene {
        /// What it looks like.
        scene: SceneConfig,
        /// How many frames it has; without end when absent.
        frames: Option<u64>,
    },
}

/// An RTSP server and how to speak to it.
#[derive(Clone)]
pub(crate) struct RtspAddress {
    /// The URL, without user name and password.
    pub(crate) url: Url,
    /// User name and password.
    pub(crate) credentials: Option<retina::client::Credentials>,
    /// How RTP travels.
    pub(crate) transport: Transport,
}

impl fmt::Debug for RtspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtspAddress")
            .field("url", &self.shown_url().as_str())
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .field("transport", &self.transport)
            .finish()
    }
}

impl RtspAddress {
    /// The URL without its query, in which many cameras want their password.
    fn shown_url(&self) -> Url {
        let mut url = self.url.clone();
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        url
    }
}

impl Address {
    /// Reads a stream's configuration.
    ///
    /// # Errors
    /// The URL is none that a source has; its text is not in the error, for it may hold a password.
    pub(crate) fn of(stream: &StreamConfig) -> Result<Self, SourceError> {
        let text = stream.url.trim();
        if let Some(query) = text.strip_prefix("scene:") {
            return scene(query);
        }
        if let Some(path) = text.strip_prefix("file:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return Ok(Self::File { path, fps: frame_rate(stream.fps)? });
        }
        rtsp(text, stream).map(Self::Rtsp)
    }

    /// Tells whether the source goes on while nobody listens: it cannot be made to wait.
    pub(crate) fn is_live(&self, paced: bool) -> bool {
        match self {
            Self::Rtsp(_) => true,
            Self::File { .. } => false,
            Self::Scene { .. } => paced,
        }
    }
}

/// What may be shown of an address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp(rtsp) => write!(f, "{}", rtsp.shown_url()),
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Scene { scene, .. } => {
                write!(f, "the scene {} at {} × {}", scene.seed, scene.width, scene.height)
            }
        }
    }
}

fn rtsp(text: &str, stream: &StreamConfig) -> Result<RtspAddress, SourceError> {
    let bad = |why: &str| SourceError::hopeless(format!("its url cannot be read: {why}"));
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if url.scheme() != "rtsp" {
        return Err(bad(&format!("scheme {:?}, expected rtsp, file or scene", url.scheme())));
    }
    if url.host().is_none() {
        return Err(bad("it names no host"));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let in_url = |text: &str| (!text.is_empty()).then(|| decoded(text));
    let username = stream.username.clone().or_else(|| in_url(url.username()));
    let password = stream.password.clone().or_else(|| url.password().and_then(in_url));
    let credentials = username.map(|username| retina::client::Credentials {
        username,
        password: password.unwrap_or_default(),
    });
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| bad("it cannot have a user name"))?;
    Ok(RtspAddress { url, credentials, transport: stream.transport })
}

fn scene(query: &str) -> Result<Address, SourceError> {
    let mut scene = SceneConfig::default();
    let mut seconds = None;
    let query = query.trim_start_matches('/').strip_prefix('?').unwrap_or(query);
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let bad = || SourceError::hopeless(format!("scene url: {key} cannot be {value:?}"));
        match &*key {
            "seed" => scene.seed = value.parse().map_err(|_| bad())?,
            "width" => scene.width = value.parse().map_err(|_| bad())?,
            "height" => scene.height = value.parse().map_err(|_| bad())?,
            "shapes" => scene.shapes = value.parse().map_err(|_| bad())?,
            "fps" => scene.fps = frame_rate(value.parse().ok())?.ok_or_else(bad)?,
            "seconds" => seconds = Some(value.parse::<f64>().map_err(|_| bad())?),
            _ => return Err(SourceError::hopeless(format!("scene url: {key:?} is not known"))),
        }
    }
    let frames = seconds.map(|seconds| {
        let ticks = services::MediaTime::from_duration(
            std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        );
        (0..).find(|n| scene.fps.pts(*n) >= ticks.0).unwrap_or(0)
    });
    Ok(Address::Scene { scene, frames })
}

fn frame_rate(fps: Option<f64>) -> Result<Option<FrameRate>, SourceError> {
    let bad = |fps: f64| SourceError::hopeless(format!("fps cannot be {fps}"));
    fps.map(|fps| FrameRate::from_decimal(fps).ok_or_else(|| bad(fps))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(url: &str) -> StreamConfig {
        serde_json::from_value(serde_json::json!({ "url": url })).unwrap()
    }

    #[test]
    fn a_password_leaves_the_url_and_is_decoded() {
        let address = Address::of(&stream("rtsp://me:p%40ss%2Fword@10.0.0.9:554/live")).unwrap();
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("p%40ss") && !shown.contains("p@ss"), "{shown}");
        let Address::Rtsp(rtsp) = address else { panic!("{shown}") };
        let credentials = rtsp.credentials.unwrap();
        assert_eq!((&*credentials.username, &*credentials.password), ("me", "p@ss/word"));
    }

    #[test]
    fn a_password_in_the_query_is_not_shown() {
        let address =
            Address::of(&stream("rtsp://10.0.0.9/live?user=me&password=hunter2")).unwrap();
        assert_eq!(address.to_string(), "rtsp://10.0.0.9/live?***");
        assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        let error = Address::of(&stream("rtsp//me:hunter2@host")).unwrap_err().to_string();
        assert!(error.contains("cannot be read") && !error.contains("hunter2"), "{error}");
        let error = Address::of(&stream("http://me:hunter2@host/")).unwrap_err().to_string();
        assert!(error.contains("scheme \"http\"") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_scene_is_described_by_its_query() {
        let address =
            Address::of(&stream("scene:?seed=7&width=1280&height=720&fps=12.5&seconds=2"));
        let Address::Scene { scene, frames } = address.unwrap() else { panic!("no scene") };
        assert_eq!((scene.seed, scene.width, frames), (7, 1_280, Some(25)));
        assert!(Address::of(&stream("scene:?size=big")).is_err());
    }
}
