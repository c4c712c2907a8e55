//! A viewer as the project's receiver is one: retina, with pictures decoded.

use std::future::Future;
use std::time::{Duration, SystemTime};

use fake_camera::{CameraConfig, FakeCamera, Feed, SceneSource};
use futures::StreamExt;
use media::h264::{Decoder, OpenH264Decoder};
use media::scene::{SceneConfig, read_frame_number};
use media::{AccessUnit, Picture};
use retina::client::{Credentials, Demuxed, PlayOptions, Session, SessionOptions, SetupOptions};
use retina::client::{TcpTransportOptions, Transport, UdpTransportOptions};
use retina::codec::{CodecItem, FrameFormat, VideoFrame};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any picture here has.
const MAX_PIXELS: u64 = 1_920 * 1_080;

/// From 1900 to 1970.
const NTP_TO_UNIX_SECONDS: f64 = 2_208_988_800.0;

/// A small scene, cheap to encode, with a key frame every second.
pub(crate) fn small_scene() -> SceneSource {
    let scene = SceneConfig { seed: 7, width: 320, height: 180, ..SceneConfig::default() };
    SceneSource { key_interval: 25, ..SceneSource::new(scene) }
}

/// Serves one camera, `gate`.
pub(crate) async fn serve(feed: Feed) -> FakeCamera {
    FakeCamera::start(CameraConfig::loopback().with("gate", feed)).await.unwrap()
}

/// Serves the small scene as `gate`.
pub(crate) async fn serve_scene() -> FakeCamera {
    serve(Feed::scene(small_scene())).await
}

pub(crate) fn tcp() -> Transport {
    Transport::Tcp(TcpTransportOptions::default())
}

pub(crate) fn udp() -> Transport {
    Transport::Udp(UdpTransportOptions::default())
}

/// What the server said or did wrong, in words.
pub(crate) type Refusal = retina::Error;

/// A viewer that is playing.
pub(crate) struct Client {
    stream: Demuxed,
    decoder: OpenH264Decoder,
    /// The last sender report: its wall clock in seconds since 1970, and its RTP time.
    pub(crate) report: Option<(f64, u32)>,
}

impl Client {
    /// Describes, sets up and plays.
    pub(crate) async fn play(url: &str, transport: Transport) -> Result<Self, Refusal> {
        Self::play_as(url, transport, None).await
    }

    /// The same with a login.
    pub(crate) async fn play_as(
        url: &str,
        transport: Transport,
        login: Option<(&str, &str)>,
    ) -> Result<Self, Refusal> {
        let creds = login.map(|(user, password)| Credentials {
            username: user.into(),
            password: password.into(),
        });
        let options = SessionOptions::default().creds(creds);
        let url = url::Url::parse(url).unwrap();
        let mut session = Session::describe(url, options).await?;
        let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::SIMPLE);
        session.setup(0, setup).await?;
        let stream = session.play(PlayOptions::default()).await?.demuxed()?;
        Ok(Self { stream, decoder: OpenH264Decoder::new(MAX_PIXELS).unwrap(), report: None })
    }

    /// Waits for the next encoded frame; `None` at the end of the stream. Notes sender reports on the way.
    pub(crate) async fn frame(&mut self) -> Option<Result<VideoFrame, Refusal>> {
        loop {
            match self.stream.next().await? {
                Ok(CodecItem::VideoFrame(frame)) => return Some(Ok(frame)),
                Ok(CodecItem::Rtcp(packets)) => {
                    for packet in packets.pkts() {
                        if let Some(report) = packet.as_sender_report().unwrap() {
                            let ntp = seconds(report.ntp_timestamp().0) - NTP_TO_UNIX_SECONDS;
                            self.report = Some((ntp, report.rtp_timestamp()));
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits for the next picture that can be decoded, with the RTP time it came with.
    pub(crate) async fn picture(&mut self) -> (Picture, u32) {
        within("a picture", async {
            loop {
                let frame = self.frame().await.expect("the stream goes on").unwrap();
                let timestamp = rtp_time(&frame);
                let pts = frame.timestamp().elapsed();
                let unit = AccessUnit::from_annex_b(frame.into_data(), pts, pts);
                let pictures = self.decoder.decode(&unit).unwrap_or_default();
                if let Some(picture) = pictures.into_iter().next() {
                    return (picture, timestamp);
                }
            }
        })
        .await
    }

    /// Reads the frame numbers of the next `count` pictures.
    pub(crate) async fn frame_numbers(&mut self, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (picture, _) = self.picture().await;
            numbers.push(read_frame_number(&picture).expect("the bar code can be read"));
        }
        numbers
    }

    /// Waits until the stream ends or breaks.
    pub(crate) async fn end(&mut self) {
        within("the end of the stream", async { while let Some(Ok(_)) = self.frame().await {} })
            .await;
    }
}

/// The 32 bits that the packets carried.
pub(crate) fn rtp_time(frame: &VideoFrame) -> u32 {
    u32::try_from(frame.timestamp().timestamp() & 0xFFFF_FFFF).unwrap()
}

/// Fails when `future` takes longer than anything here may.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks until `holds`, or fails.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// The wall clock in seconds since 1970.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// An NTP time in seconds since 1900.
fn seconds(ntp: u64) -> f64 {
    let (whole, fraction) =
        (u32::try_from(ntp >> 32).unwrap(), u32::try_from(ntp & 0xFFFF_FFFF).unwrap());
    f64::from(whole) + f64::from(fraction) / 4_294_967_296.0
}
