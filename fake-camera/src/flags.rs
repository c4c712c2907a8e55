//! The command line, turned into a checked configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use fake_camera::{AuthScheme, CameraConfig, Fault, Feed, Login, SceneSource, Source, Transports};
use media::FrameRate;
use media::scene::SceneConfig;
use serde_json::{Map, Value};

/// Serves looped files and a synthetic scene as RTSP cameras, with faults on demand.
#[derive(Debug, Parser)]
#[command(name = "fake-camera", version)]
pub(crate) struct Flags {
    /// Where RTSP is served; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8554")]
    listen: SocketAddr,

    /// A camera: NAME=FILE.mp4, or NAME=scene[:KEY=VALUE,…] with the keys seed, size, fps, shapes,
    /// bitrate (bits per second), gop (frames), loop (seconds, encoded once and repeated).
    #[arg(long = "mount", value_name = "NAME=SOURCE", required = true)]
    mounts: Vec<String>,

    /// The login of all cameras.
    #[arg(long, value_name = "NAME:PASSWORD", env = "FAKE_CAMERA_USER", hide_env_values = true)]
    user: Option<Secret>,

    /// How the login is proven.
    #[arg(long, value_enum, default_value_t = Auth::Digest)]
    auth: Auth,

    /// How packets are sent.
    #[arg(long, value_enum, default_value_t = Transport::Both)]
    transport: Transport,

    /// A fault to start with: NAME=KIND[:KEY=VALUE,…], as in gate=lose:rate=0.02 or
    /// gate=wrong-sdp:codec=H265. Kinds: refuse, close, freeze, lose, reorder, corrupt, foreign,
    /// bad-header, unescaped, omit, redirect, resolution, jump, no-key-frames, mark, wrong-sdp, status,
    /// unauthorized.
    #[arg(long = "fault", value_name = "NAME=FAULT")]
    faults: Vec<String>,

    /// Takes faults over HTTP here (a loopback address).
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,

    /// Which packets are lost, swapped and damaged follows from this number.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Auth {
    Basic,
    Digest,
    DigestSha256,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Tcp,
    Udp,
    Both,
}

/// A value that is never printed.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Flags {
    /// Checks the flags and makes the configuration of them.
    pub(crate) fn config(self) -> Result<CameraConfig> {
        let login = self.login()?;
        let transports = Transports {
            tcp: !matches!(self.transport, Transport::Udp),
            udp: !matches!(self.transport, Transport::Tcp),
        };
        let mut cameras = BTreeMap::new();
        for mount in &self.mounts {
            let (name, source) =
                mount_of(mount).with_context(|| format!("read mount {mount:?}"))?;
            let feed =
                Feed { login: login.clone(), transports, seed: self.seed, ..Feed::new(source) };
            ensure!(
                cameras.insert(name.clone(), feed).is_none(),
                "read mounts: {name:?} is there twice"
            );
        }
        for fault in &self.faults {
            let (name, parsed) =
                fault_of(fault).with_context(|| format!("read fault {fault:?}"))?;
            let camera = cameras.get_mut(&name);
            camera
                .with_context(|| format!("read fault {fault:?}: no mount {name:?}"))?
                .faults
                .push(parsed);
        }
        Ok(CameraConfig { listen: self.listen, cameras, control: self.control })
    }

    fn login(&self) -> Result<Option<Login>> {
        let Some(Secret(user)) = &self.user else { return Ok(None) };
        let (user, password) = user.split_once(':').context("read user: expected NAME:PASSWORD")?;
        let scheme = match self.auth {
            Auth::Basic => AuthScheme::Basic,
            Auth::Digest => AuthScheme::DigestMd5,
            Auth::DigestSha256 => AuthScheme::DigestSha256,
        };
        Ok(Some(Login { user: user.into(), password: password.into(), scheme }))
    }
}

fn mount_of(text: &str) -> Result<(String, Source)> {
    let (name, source) = text.split_once('=').context("expected NAME=SOURCE")?;
    let source = match source.strip_prefix("scene") {
        Some("") => Source::Scene(scene_of("")?),
        Some(rest) if rest.starts_with(':') => Source::Scene(scene_of(&rest[1..])?),
        _ => Source::File(source.into()),
    };
    Ok((name.to_owned(), source))
}

fn scene_of(text: &str) -> Result<SceneSource> {
    let mut scene = SceneConfig::default();
    let (mut bitrate, mut gop, mut repeat) = (None, None, None);
    for (key, value) in pairs(text)? {
        let wrong = || format!("read {key} {value:?}");
        match key {
            "seed" => scene.seed = value.parse().with_context(wrong)?,
            "size" => (scene.width, scene.height) = size_of(value).with_context(wrong)?,
            "fps" => scene.fps = rate_of(value).with_context(wrong)?,
            "shapes" => scene.shapes = value.parse().with_context(wrong)?,
            "bitrate" => bitrate = Some(value.parse().with_context(wrong)?),
            "gop" => gop = Some(value.parse().with_context(wrong)?),
            "loop" => {
                repeat = Some(
                    Duration::try_from_secs_f64(value.parse().with_context(wrong)?)
                        .with_context(wrong)?,
                )
            }
            _ => {
                bail!("unknown key {key:?}: expected seed, size, fps, shapes, bitrate, gop or loop")
            }
        }
    }
    let usual = SceneSource::new(scene);
    Ok(SceneSource {
        bitrate: bitrate.unwrap_or(usual.bitrate),
        key_interval: gop.unwrap_or(usual.key_interval),
        repeat,
        ..usual
    })
}

fn size_of(text: &str) -> Result<(u32, u32)> {
    let (width, height) = text.split_once('x').context("expected WIDTHxHEIGHT")?;
    Ok((width.parse()?, height.parse()?))
}

fn rate_of(text: &str) -> Result<FrameRate> {
    FrameRate::from_decimal(text.parse()?).context("expected 0.001 to 1000")
}

/// Reads `NAME=KIND:key=value,…` by the rules of the faults' JSON.
fn fault_of(text: &str) -> Result<(String, Fault)> {
    let (name, fault) = text.split_once('=').context("expected NAME=KIND")?;
    let (kind, rest) = fault.split_once(':').unwrap_or((fault, ""));
    let mut object = Map::from_iter([("kind".to_owned(), Value::from(kind))]);
    for (key, value) in pairs(rest)? {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        object.insert(key.to_owned(), value);
    }
    Ok((name.to_owned(), serde_json::from_value(Value::Object(object))?))
}

fn pairs(text: &str) -> Result<Vec<(&str, &str)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.split_once('=').with_context(|| format!("read {part:?}: expected KEY=VALUE"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<CameraConfig> {
        Flags::try_parse_from([&["fake-camera"], args].concat())?.config()
    }

    #[test]
    fn a_scene_takes_its_keys_and_keeps_what_is_not_said() {
        let mount = "gate=scene:seed=7,size=1280x720,fps=12.5,loop=2.5";
        let config = config(&["--mount", mount]).unwrap();
        let Source::Scene(scene) = &config.cameras["gate"].source else { panic!("not a scene") };
        assert_eq!((scene.scene.seed, scene.scene.width, scene.scene.height), (7, 1280, 720));
        assert_eq!(scene.scene.fps.to_string(), "12.5");
        assert_eq!(scene.key_interval, 25, "two seconds");
        assert_eq!(scene.repeat, Some(Duration::from_millis(2_500)));
        assert_eq!(scene.scene.shapes, SceneConfig::default().shapes);
    }

    #[test]
    fn a_file_may_be_called_as_it_likes() {
        for path in ["clip.mp4", "scenery.mp4", "/videos/a=b.mp4"] {
            let config = config(&["--mount", &format!("clip={path}")]).unwrap();
            let Source::File(found) = &config.cameras["clip"].source else { panic!("not a file") };
            assert_eq!(found, std::path::Path::new(path));
        }
    }

    #[test]
    fn faults_go_to_their_camera() {
        let config = config(&[
            "--mount",
            "a=scene",
            "--mount",
            "b=scene",
            "--fault",
            "a=lose:rate=0.02",
            "--fault",
            "b=wrong-sdp:codec=H265",
            "--fault",
            "b=close:every_seconds=3",
        ]);
        let config = config.unwrap();
        assert_eq!(config.cameras["a"].faults, [Fault::Lose { rate: 0.02 }]);
        assert_eq!(config.cameras["b"].faults.len(), 2);
    }

    #[test]
    fn mistakes_are_named() {
        let mistake = |args: &[&str]| format!("{:#}", config(args).unwrap_err());
        assert!(mistake(&["--mount", "gate"]).contains("expected NAME=SOURCE"));
        assert!(mistake(&["--mount", "gate=scene:speed=3"]).contains("unknown key \"speed\""));
        assert!(mistake(&["--mount", "gate=scene:fps=fast"]).contains("read fps \"fast\""));
        assert!(mistake(&["--mount", "g=scene", "--mount", "g=a.mp4"]).contains("twice"));
        assert!(mistake(&["--mount", "g=scene", "--fault", "h=freeze"]).contains("no mount \"h\""));
        assert!(mistake(&["--mount", "g=scene", "--fault", "g=explode"]).contains("explode"));
    }

    #[test]
    fn the_password_is_not_shown() {
        let flags = Flags::parse_from(["x", "--mount", "g=scene", "--user", "viewer:sesame"]);
        assert!(!format!("{flags:?}").contains("sesame"));
        let shown = format!("{:?}", flags.config().unwrap());
        assert!(!shown.contains("sesame"), "{shown}");
    }
}
