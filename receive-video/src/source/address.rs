//! The configured URL → where a source is, its credentials apart and out of sight.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use media::FrameRate;
use media::scene::SceneConfig;
use percent_encoding::percent_decode_str;
use services::MediaTime;
use services::config::{StreamConfig, TORN_PASSWORD, Transport, masked, torn};
use url::Url;

use super::error::SourceError;
use super::trust::Trust;

/// The longest scene, in seconds: a year.
const LONGEST_SCENE: f64 = 365.0 * 24.0 * 3_600.0;

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
    /// How many microseconds its clock may be from ours and be believed.
    pub(crate) clock_bound: i64,
    /// How many bytes a second it may go on sending.
    pub(crate) max_rate: u64,
    /// What its certificate has to be, where it speaks TLS.
    pub(crate) trust: Trust,
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
    /// The URL without its fragment, and without its query, in which many cameras want their password, and without passwords in its path.
    fn shown_url(&self) -> Url {
        let mut url = self.url.clone();
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        url.set_path(&masked(self.url.path()));
        url.set_fragment(None);
        url
    }

    /// A text that may repeat the URL, without what [`shown_url`](Self::shown_url) leaves out.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(fragment) = self.url.fragment() {
            text = text.replace(&format!("#{fragment}"), "");
        }
        if let Some(query) = self.url.query() {
            text = text.replace(&format!("?{query}"), "?***");
        }
        masked(&text)
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
    if torn(text) {
        return Err(bad(&format!("it {TORN_PASSWORD}")));
    }
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "rtsp" | "rtsps") {
        let found = url.scheme();
        return Err(bad(&format!("scheme {found:?}, expected rtsp, rtsps, file or scene")));
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
    let clock_bound = stream.clock_bound.duration().as_micros();
    let clock_bound = i64::try_from(clock_bound).unwrap_or(i64::MAX);
    let (transport, max_rate) = (stream.transport, stream.max_rate.bytes());
    let trust = Trust::of(stream);
    Ok(RtspAddress { url, credentials, transport, clock_bound, max_rate, trust })
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
            "seconds" => seconds = Some(scene_seconds(&value).ok_or_else(bad)?),
            _ => return Err(SourceError::hopeless(format!("scene url: {key:?} is not known"))),
        }
    }
    let frames = seconds.map(|seconds| frames_within(seconds, scene.fps));
    Ok(Address::Scene { scene, frames })
}

fn scene_seconds(text: &str) -> Option<f64> {
    let seconds = text.parse().ok()?;
    (0.0..=LONGEST_SCENE).contains(&seconds).then_some(seconds)
}

/// How many frames are due before `seconds` are over.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn frames_within(seconds: f64, fps: FrameRate) -> u64 {
    let end = MediaTime::from_duration(Duration::from_secs_f64(seconds));
    // A product of decimals is off by one at most.
    let about = (seconds * fps.as_f64()) as u64;
    (about.saturating_sub(1)..).find(|n| fps.pts(*n) >= end.0).unwrap_or(about)
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
    fn a_password_in_the_path_is_not_shown() {
        let text = "rtsp://10.0.0.9/user=me_Password=hun_ter2_channel=1/pwd=hunter2/live";
        let address = Address::of(&stream(text)).unwrap();
        let shown = "rtsp://10.0.0.9/user=me_Password=***/pwd=***/live";
        assert_eq!(address.to_string(), shown);
        assert!(format!("{address:?}").contains(shown), "{address:?}");
    }

    #[test]
    fn a_password_that_a_url_cannot_hold_is_refused_and_not_shown() {
        for url in
            ["rtsp://admin:2024/hunter2@10.0.0.9/live", "rtsp://admin:2024#hunter2@10.0.0.9/live"]
        {
            let error = Address::of(&stream(url)).unwrap_err().to_string();
            assert!(error.contains("%2F") && error.contains("%40"), "{error}");
            assert!(!error.contains("2024") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_fragment_is_not_shown() {
        let text = "rtsp://10.0.0.9/live#hunter2";
        let Address::Rtsp(rtsp) = Address::of(&stream(text)).unwrap() else { panic!("{text}") };
        assert_eq!(rtsp.shown_url().as_str(), "rtsp://10.0.0.9/live");
        assert_eq!(rtsp.hidden_in("no rtsp://10.0.0.9/live#hunter2"), "no rtsp://10.0.0.9/live");
    }

    #[test]
    fn an_error_that_repeats_the_url_does_not_repeat_the_password() {
        let text = "rtsp://10.0.0.9/pass=hunter2/live?hunter3";
        let Address::Rtsp(rtsp) = Address::of(&stream(text)).unwrap() else { panic!("{text}") };
        let error = format!("bad Content-Base \"10.0.0.9/pass=hunter2\" at {text} has no type");
        let hidden = "bad Content-Base \"10.0.0.9/pass=***\" \
                      at rtsp://10.0.0.9/pass=***/live?*** has no type";
        assert_eq!(rtsp.hidden_in(&error), hidden);
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

    #[test]
    fn a_scene_lasts_a_time_that_can_be() {
        let frames = |query: &str| match Address::of(&stream(&format!("scene:?{query}"))) {
            Ok(Address::Scene { frames, .. }) => Ok(frames.unwrap()),
            other => Err(other.unwrap_err().to_string()),
        };
        for (query, count) in [
            ("seconds=0", 0),
            ("seconds=0.001", 1),
            ("seconds=0.4&fps=25", 10),
            ("seconds=1.1&fps=10", 11),
            ("seconds=1001&fps=29.97", 30_000),
            ("seconds=31536000&fps=1000", 31_536_000_000),
        ] {
            assert_eq!(frames(query), Ok(count), "{query}");
        }
        for seconds in ["1e10", "-1", "NaN", "inf", "soon"] {
            let error = frames(&format!("seconds={seconds}")).unwrap_err();
            assert_eq!(error, format!("scene url: seconds cannot be {seconds:?}"));
        }
    }
}
