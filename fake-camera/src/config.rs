//! What a fake camera is told to be: its addresses, its cameras, and for each its source, login and faults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use media::FrameRate;
use media::scene::SceneConfig;

use crate::error::StartError;
use crate::fault::Fault;

/// An RTSP server with its cameras.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    /// Where RTSP is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The cameras by mount: `gate` is served as `rtsp://…/gate`.
    pub cameras: BTreeMap<String, Feed>,
    /// Where faults are taken over HTTP; loopback only, and nowhere when `None`.
    pub control: Option<SocketAddr>,
}

impl CameraConfig {
    /// Serves on a free loopback port, without cameras yet and without HTTP.
    pub fn loopback() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, cameras: BTreeMap::new(), control: None }
    }

    /// Adds a camera.
    #[must_use]
    pub fn with(mut self, mount: &str, feed: Feed) -> Self {
        self.cameras.insert(mount.to_owned(), feed);
        self
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.cameras.is_empty() {
            return Err(StartError::NoCamera);
        }
        for (name, feed) in &self.cameras {
            if !is_mount(name) {
                return Err(StartError::Name(name.clone()));
            }
            if !feed.transports.tcp && !feed.transports.udp {
                return Err(StartError::NoTransport(name.clone()));
            }
        }
        match self.control {
            Some(addr) if !addr.ip().is_loopback() => Err(StartError::ControlNotLoopback(addr)),
            _ => Ok(()),
        }
    }
}

fn is_mount(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && name != "." && name != ".."
}

/// One camera.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Where its pictures come from.
    pub source: Source,
    /// The login it asks for; none when `None`.
    pub login: Option<Login>,
    /// How it sends.
    pub transports: Transports,
    /// What is wrong with it from the start.
    pub faults: Vec<Fault>,
    /// Which packets are lost, swapped and damaged follows from this.
    pub seed: u64,
}

impl Feed {
    /// A sound camera without login.
    pub fn new(source: Source) -> Self {
        let transports = Transports { tcp: true, udp: true };
        Self { source, login: None, transports, faults: Vec::new(), seed: 0 }
    }

    /// A sound camera that loops a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::File(path.into()))
    }

    /// A sound camera that looks at the synthetic scene.
    pub fn scene(scene: SceneSource) -> Self {
        Self::new(Source::Scene(scene))
    }

    /// Asks for this login.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.login = Some(login);
        self
    }

    /// Starts with this fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

/// Where pictures come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An MP4 file with H.264, over and over; its timestamps go on from round to round.
    File(PathBuf),
    /// The synthetic scene, encoded on the way.
    Scene(SceneSource),
}

/// The synthetic scene as a camera sees it.
#[derive(Clone, Debug)]
pub struct SceneSource {
    /// What is to be seen, and its size and rate.
    pub scene: SceneConfig,
    /// Bits per second.
    pub bitrate: u32,
    /// Frames from one key frame to the next.
    pub key_interval: u32,
    /// Encodes the scene's first frames for this time once and loops them: little CPU for many cameras, but
    /// frame numbers start over with each round. `None` encodes live, and frame numbers go on forever.
    pub repeat: Option<Duration>,
}

impl SceneSource {
    /// A scene with a key frame every two seconds and a bit rate that suits its size; encoded live.
    pub fn new(scene: SceneConfig) -> Self {
        let key_interval = frames_in(scene.fps, Duration::from_secs(2));
        // A tenth of a bit per pixel keeps flat shapes and text sharp.
        let pixels = u64::from(scene.width) * u64::from(scene.height);
        let bitrate =
            u32::try_from(pixels * u64::from(frames_in(scene.fps, Duration::from_secs(1))) / 10);
        Self {
            scene,
            bitrate: bitrate.unwrap_or(u32::MAX).max(200_000),
            key_interval,
            repeat: None,
        }
    }

    /// Loops the first `span` of the scene.
    #[must_use]
    pub fn repeating(mut self, span: Duration) -> Self {
        self.repeat = Some(span);
        self
    }
}

/// Counts the frames in `span`, at least one.
pub(crate) fn frames_in(rate: FrameRate, span: Duration) -> u32 {
    let frames = (rate.as_f64() * span.as_secs_f64()).round().clamp(1.0, f64::from(u32::MAX));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    let frames = frames as u32;
    frames
}

/// How a camera sends RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transports {
    /// Interleaved in the RTSP connection.
    pub tcp: bool,
    /// Unicast UDP.
    pub udp: bool,
}

/// A user, a password and the way to prove them.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password; never printed.
    pub password: String,
    /// How it is proven.
    pub scheme: AuthScheme,
}

impl Login {
    /// A login by digest with MD5, as most cameras ask for.
    pub fn digest(user: &str, password: &str) -> Self {
        Self { user: user.into(), password: password.into(), scheme: AuthScheme::DigestMd5 }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// How a login is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthScheme {
    /// The password itself (RFC 7617).
    Basic,
    /// A digest with MD5 and without qop (RFC 2617).
    #[default]
    DigestMd5,
    /// A digest with SHA-256 and qop `auth` (RFC 7616).
    DigestSha256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_hides_its_name_and_password() {
        let shown = format!("{:?}", Feed::file("a.mp4").login(Login::digest("viewer", "sesame")));
        assert!(!shown.contains("sesame") && !shown.contains("viewer"), "{shown}");
    }

    #[test]
    fn mounts_are_path_segments() {
        for name in ["gate", "gate-2.north_side"] {
            assert!(is_mount(name), "{name}");
        }
        for name in ["", "a/b", "..", "a b", "tür", &"x".repeat(65)] {
            assert!(!is_mount(name), "{name}");
        }
    }

    #[test]
    fn senseless_configurations_are_refused_by_name() {
        let feed = || Feed::file("a.mp4");
        let refused = |config: CameraConfig| config.check().unwrap_err().to_string();
        assert!(refused(CameraConfig::loopback()).contains("none is configured"));
        assert!(refused(CameraConfig::loopback().with("a/b", feed())).contains("\"a/b\""));
        let mut mute = feed();
        mute.transports = Transports { tcp: false, udp: false };
        assert!(refused(CameraConfig::loopback().with("mute", mute)).contains("\"mute\""));
        let mut open = CameraConfig::loopback().with("gate", feed());
        open.control = Some(SocketAddr::from(([0, 0, 0, 0], 80)));
        assert!(refused(open).contains("0.0.0.0:80"));
    }
}
