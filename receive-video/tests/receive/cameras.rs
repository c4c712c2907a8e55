//! Cameras over RTSP: the right pictures, their times, logins.

use fake_camera::{CameraConfig, FakeCamera, Fault, Feed, Login, SceneSource, Transports};
use media::scene::SceneConfig;
use services::{CaptureClock, CaptureTime};

use crate::site::{Got, Site, eventually};

/// A picture that refers to others, as bare H.264.
const NO_KEY_FRAME: [u8; 7] = [0, 0, 0, 1, 0x41, 0x9a, 0x10];

/// A small scene with a key frame every second.
pub(crate) fn small_scene() -> SceneSource {
    let scene = SceneConfig { seed: 7, width: 320, height: 180, ..SceneConfig::default() };
    SceneSource { key_interval: 25, ..SceneSource::new(scene) }
}

/// Serves one camera, `gate`.
pub(crate) async fn serve(feed: Feed) -> FakeCamera {
    FakeCamera::start(CameraConfig::loopback().with("gate", feed)).await.unwrap()
}

/// A site with the stream `gate` and the model `eye`.
pub(crate) fn site(url: &str, stream: &str, sample: &str) -> Site {
    Site::new(&format!(
        "[receive]\nbackoff_min = \"100ms\"\nbackoff_max = \"500ms\"\nbackoff_unauthorized = \"1s\"\n\
         connect_timeout = \"5s\"\nkey_frame_timeout = \"3s\"\n\
         [streams.gate]\nurl = \"{url}\"\n{stream}\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {sample} }}"
    ))
}

/// Checks that pictures are those that their media times say: 25 a second, without doubles.
pub(crate) fn check_numbers(frames: &[Got]) {
    for two in frames.windows(2).filter(|two| two[0].epoch == two[1].epoch) {
        let ticks = two[1].entry.stamp.media_time.0 - two[0].entry.stamp.media_time.0;
        assert!(ticks > 0, "{two:?}");
        assert_eq!(two[1].number() - two[0].number(), (ticks + 1_800) / 3_600, "{two:?}");
    }
}

async fn pictures_over(transport: &str) {
    let camera = serve(Feed::scene(small_scene()).login(Login::digest("me", "p@ss"))).await;
    let url = camera.url("gate").replace("rtsp://", "rtsp://me:p%40ss@");
    let stream = format!("transport = \"{transport}\"");
    let site = site(&url, &stream, "every = \"200ms\", pick = \"exact\", max_delay = \"100ms\"");
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 12).await;
    running.until("gate", "the rate", |status| (15.0..35.0).contains(&status.fps)).await;
    running.stop().await.unwrap();
    let frames = site.frames("eye").await;
    assert!(frames.len() >= 12);
    check_numbers(&frames);
    let last = frames.last().unwrap();
    assert_eq!(last.entry.stamp.clock, CaptureClock::Rtcp);
    let now = CaptureTime::from_system(std::time::SystemTime::now());
    let age = last.entry.stamp.captured_at.millis_until(now);
    assert!((-1_000..20_000).contains(&age), "captured {age} ms ago");
    let account = site.account("gate");
    assert!(account.closed);
    assert_eq!(account.account.taken, frames.len() as u64);
}

#[tokio::test]
async fn pictures_come_over_tcp_with_a_login() {
    pictures_over("tcp").await;
}

#[tokio::test]
async fn pictures_come_over_udp_with_a_login() {
    pictures_over("udp").await;
}

#[tokio::test]
async fn a_refused_password_is_said_plainly_and_shown_nowhere() {
    let camera = serve(Feed::scene(small_scene()).login(Login::digest("me", "right"))).await;
    let url = camera.url("gate").replace("rtsp://", "rtsp://me:hunter2@");
    let site = site(&url, "", "every = \"1s\"");
    let running = site.start();
    let refused = |status: &receive_video::StreamStatus| {
        status.words.contains("camera gate: it refuses the user name or password")
    };
    let status = running.until("gate", "refused", refused).await;
    let told = format!("{status:?} {:?} {:?}", site.events("gate"), site.config);
    assert!(!told.contains("hunter2"), "{told}");
    running.stop().await.unwrap();
    assert_eq!(site.events("gate")[0].kind, "unauthorized");
}

#[tokio::test]
async fn a_login_that_is_missing_is_said_to_be_wanted() {
    let camera = serve(Feed::scene(small_scene()).login(Login::digest("me", "right"))).await;
    let site = site(&camera.url("gate"), "", "every = \"1s\"");
    let running = site.start();
    let told = running.until("gate", "word of it", |status| status.events > 0).await;
    assert!(told.words.contains("camera gate: it wants a user name and password"), "{told:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_transport_that_the_camera_lacks_is_named() {
    let transports = Transports { tcp: true, udp: false };
    let camera = serve(Feed { transports, ..Feed::scene(small_scene()) }).await;
    let site = site(&camera.url("gate"), "transport = \"udp\"", "every = \"1s\"");
    let running = site.start();
    let status = running.until("gate", "transport", |status| status.words.contains("461")).await;
    assert!(status.words.contains("does not offer this transport"), "{status:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn another_codec_is_named_within_five_seconds() {
    let sdp = fake_camera::SdpFault { codec: Some("H265".into()), ..Default::default() };
    let camera = serve(Feed::scene(small_scene()).fault(Fault::WrongSdp(sdp))).await;
    let site = site(&camera.url("gate"), "", "every = \"1s\"");
    let began = std::time::Instant::now();
    let running = site.start();
    let status = running.until("gate", "codec", |status| status.words.contains("H.265")).await;
    assert!(began.elapsed().as_secs() < 5, "{status:?}");
    running.stop().await.unwrap();
    assert_eq!(site.events("gate")[0].kind, "unsupported");
}

#[tokio::test]
async fn a_change_of_resolution_is_followed() {
    let camera = serve(Feed::scene(small_scene())).await;
    let site = site(&camera.url("gate"), "", "every = \"200ms\", pick = \"exact\"");
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 3).await;
    camera.set_fault("gate", &Fault::Resolution { width: 640, height: 360 }).unwrap();
    running.until("gate", "the new size", |status| status.size == Some((640, 360))).await;
    let taken = running.status("gate").taken;
    running.until("gate", "new frames", |status| status.taken > taken + 3).await;
    running.stop().await.unwrap();
    let frames = site.frames("eye").await;
    assert_eq!((frames[0].entry.width, frames.last().unwrap().entry.width), (320, 640));
}

pub(crate) async fn probe(url: &str) -> Result<receive_video::ProbeReport, String> {
    let stream = serde_json::json!({ "url": url });
    let report = receive_video::probe(&serde_json::from_value(stream).unwrap()).await;
    report.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_probe_tells_what_came_before_a_camera_froze() {
    let camera = serve(Feed::scene(small_scene())).await;
    let url = camera.url("gate");
    let freeze = async {
        let seen = || (camera.status()[0].units >= 50).then_some(());
        eventually("two seconds of video", seen).await;
        camera.set_fault("gate", &Fault::Freeze).unwrap();
    };
    let (report, ()) = tokio::join!(probe(&url), freeze);
    let report = report.unwrap();
    assert_eq!(report.size, (320, 180));
    assert!(report.units > 10 && report.silent_seconds.unwrap() > 2.0, "{report}");
    assert!(report.to_string().contains("it has sent nothing for "), "{report}");
}

#[tokio::test]
async fn a_probe_does_not_describe_what_is_no_video() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.h264");
    let url = format!("file:{}", path.display());
    std::fs::write(&path, "").unwrap();
    let error = probe(&url).await.unwrap_err();
    assert!(error.starts_with("read file ") && error.ends_with(": it is empty"), "{error}");
    std::fs::write(&path, NO_KEY_FRAME.repeat(50)).unwrap();
    let words = "it sent 50 access units in 2.0 s and no key frame with parameter sets";
    assert_eq!(probe(&url).await.unwrap_err(), words);
}

#[tokio::test]
async fn a_file_without_a_key_frame_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.h264");
    std::fs::write(&path, NO_KEY_FRAME.repeat(50)).unwrap();
    let site = site(&format!("file:{}", path.display()), "", "every = \"1s\"");
    let error = site.run().await.unwrap_err().to_string();
    let words = "it sent 50 access units in 2.0 s and no key frame with parameter sets";
    assert_eq!(error, format!("stream \"gate\": {words}"));
    assert_eq!(site.account("gate").account.received, 50);
}

#[tokio::test]
async fn a_probe_tells_what_a_camera_sends() {
    let camera = serve(Feed::scene(small_scene())).await;
    let report = probe(&camera.url("gate")).await.unwrap();
    assert_eq!((report.size, report.profile, report.b_frames), ((320, 180), "Baseline", false));
    // A camera whose machine stands still leaves time out: `files` has the exact figures.
    assert!((5.0..26.0).contains(&report.fps), "{report}");
    assert!((0.9..10.0).contains(&report.key_frame_seconds.unwrap()), "{report}");
    assert!(report.clock_ahead_seconds.unwrap().abs() < 2.0, "{report}");
}
