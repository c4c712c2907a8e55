//! Video that no decoder here takes: said of cameras and files alike, before a picture of it is asked for.

use fake_camera::{FakeCamera, Fault, Feed, SceneSource, SdpFault};
use media::scene::SceneConfig;
use receive_video::{StreamState, StreamStatus};
use telemetry::Verdict;

use crate::cameras::{probe, serve, site, small_scene};
use crate::encoded::x264;
use crate::site::{Site, eventually};

/// How other encoders are asked for it, and the reason.
const KINDS: [(&[&str], &str); 4] = [
    (&["-pix_fmt", "yuv420p10le"], "10 bit video is not supported: expected 8 bit"),
    (&["-pix_fmt", "yuv422p"], "4:2:2 video is not supported"),
    (&["-pix_fmt", "yuv444p"], "4:4:4 video is not supported"),
    (&["-flags", "+ilme+ildct"], "interlaced video is not supported: expected progressive"),
];

/// It ended as a success of which nothing was taken, and the probe had no word about it.
#[tokio::test]
async fn a_file_that_cannot_be_decoded_fails_and_a_probe_warns_of_it() {
    for (options, reason) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let Some(clip) = x264(folder.path(), options) else { return };
        let url = format!("file:{}", clip.display());
        let error = site(&url, "", "every = \"1s\"").run().await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        let report = probe(&url).await.unwrap().to_string();
        let warning = format!("warning          it cannot be decoded: {reason}");
        assert!(report.contains(&warning), "{report}");
    }
}

/// It was "playing", with nothing taken.
#[tokio::test]
async fn a_camera_of_10_bit_waits_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (options, reason) = KINDS[0];
    let Some(clip) = x264(folder.path(), options) else { return };
    let camera = serve(Feed::file(clip)).await;
    waits_with(&site(&camera.url("gate"), "", "every = \"1s\""), reason).await;
}

#[tokio::test]
async fn a_camera_of_too_large_pictures_waits_with_the_reason() {
    let camera = serve(Feed::scene(small_scene())).await;
    let site = Site::new(&format!(
        "[receive]\nmax_pixels = 20000\n[streams.gate]\nurl = \"{}\"\n\
         [models.eye]\nalgorithm = \"circles\"",
        camera.url("gate"),
    ));
    waits_with(&site, "pixels are more than the 20000 allowed").await;
}

async fn waits_with(site: &Site, reason: &str) {
    let running = site.start();
    let waits = |status: &StreamStatus| status.state == StreamState::Waiting;
    let status = running.until("gate", "the reason", waits).await;
    assert!(status.words.contains(reason), "{status:?}");
    running.stop().await.unwrap();
    assert_eq!(site.events("gate")[0].kind, "unsupported");
}

#[tokio::test]
async fn too_large_pictures_of_a_scene_are_no_success() {
    let site = Site::new(
        "[receive]\nmax_pixels = 20000\n\
         [streams.gate]\nurl = \"scene:?width=320&height=192&seconds=2\"\n\
         [models.eye]\nalgorithm = \"circles\"",
    );
    let error = site.run().await.unwrap_err().to_string();
    assert!(error.contains("pixels are more than the 20000 allowed"), "{error}");
}

/// A camera that plays and of which nothing comes yet, and a site that takes pictures of so many pixels.
async fn mute(max_pixels: u32, silence: &str) -> (FakeCamera, Site) {
    let camera = serve(Feed::scene(small_scene()).fault(Fault::Lose { rate: 1.0 })).await;
    let site = Site::new(&format!(
        "[receive]\nmax_pixels = {max_pixels}\nconnect_timeout = \"1s\"\nbackoff_min = \"100ms\"\n\
         backoff_max = \"200ms\"\nbackoff_unauthorized = \"200ms\"\nkey_frame_timeout = \"10min\"\n\
         [streams.gate]\nurl = \"{}\"\nsilence = \"{silence}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ every = \"200ms\", pick = \"exact\" }}",
        camera.url("gate"),
    ));
    (camera, site)
}

#[tokio::test]
async fn what_a_description_announces_is_told_before_any_picture() {
    let (camera, site) = mute(20_000, "60s").await;
    let running = site.start();
    let told = |status: &StreamStatus| status.words.contains("its description announces this: ");
    let status = running.until("gate", "the reason", told).await;
    assert!(status.words.contains("320 × 180 = 57600 pixels are more than"), "{status:?}");
    assert_eq!((status.trouble, status.received), (Some("unsupported"), 0));
    camera.clear_faults("gate").unwrap();
    let waits = |status: &StreamStatus| status.state == StreamState::Waiting;
    running.until("gate", "the pictures to be refused", waits).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_camera_that_is_set_right_comes_back_by_itself() {
    let (camera, site) = mute(20_000, "60s").await;
    camera.clear_faults("gate").unwrap();
    let running = site.start();
    let waits = |status: &StreamStatus| status.state == StreamState::Waiting;
    let status = running.until("gate", "the reason", waits).await;
    assert_eq!((status.trouble, status.taken), (Some("unsupported"), 0));
    camera.set_fault("gate", &Fault::Resolution { width: 160, height: 90 }).unwrap();
    let status = running.until("gate", "frames", |status| status.taken > 3).await;
    assert_eq!((status.state, status.trouble), (StreamState::Playing, None));
    running.stop().await.unwrap();
}

/// Nothing was said up to `key_frame_timeout`, half a minute.
#[tokio::test]
async fn a_camera_without_a_key_frame_is_told_of_until_one_comes() {
    let (camera, site) = mute(1 << 20, "60s").await;
    camera.clear_faults("gate").unwrap();
    camera.set_fault("gate", &Fault::NoKeyFrames).unwrap();
    let running = site.start();
    let told = |status: &StreamStatus| status.words.contains("; no key frame yet for ");
    let status = running.until("gate", "word of it", told).await;
    let advice =
        "nothing can be decoded before one comes; set the camera's I-frame interval to 1 to 2 s";
    assert!(status.words.ends_with(advice), "{status:?}");
    assert_eq!((status.state, status.trouble), (StreamState::Playing, Some("no-key-frame")));
    camera.clear_faults("gate").unwrap();
    let status = running.until("gate", "frames", |status| status.taken > 0).await;
    assert_eq!((status.trouble, status.words.contains("key frame")), (None, false));
    running.stop().await.unwrap();
    let events = site.events("gate");
    assert_eq!(events.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["no-key-frame"]);
}

#[tokio::test]
async fn a_probe_tells_that_the_first_key_frame_was_late() {
    let camera = serve(Feed::scene(small_scene()).fault(Fault::NoKeyFrames)).await;
    let url = camera.url("gate");
    let late = async {
        let seen = || (camera.status()[0].units >= 150).then_some(());
        eventually("six seconds of video", seen).await;
        camera.clear_faults("gate").unwrap();
    };
    let (report, ()) = tokio::join!(probe(&url), late);
    let report = report.unwrap();
    assert_eq!(report.size, (320, 180));
    assert!(report.to_string().contains("warning          no key frame yet for "), "{report}");
}

#[tokio::test]
async fn what_a_camera_offers_instead_of_h264_is_named_at_once() {
    for (media, codec, words) in [
        (None, "JPEG", "it offers JPEG (RFC 2435) only: set it to H.264"),
        (None, "H265", "it offers H.265 (RFC 7798) only: set it to H.264"),
        (None, "MP4V-ES", "it offers MPEG-4 (RFC 6416) only: set it to H.264"),
        (Some("audio"), "MPEG4-GENERIC", "it offers AAC and no video: switch its video on"),
        (Some("application"), "VND.ONVIF.METADATA", "it offers ONVIF metadata and no video"),
    ] {
        let media = media.map(str::to_owned);
        let sdp = SdpFault { codec: Some(codec.to_owned()), media, ..SdpFault::default() };
        let camera = serve(Feed::scene(small_scene()).fault(Fault::WrongSdp(sdp))).await;
        let url = camera.url("gate");
        let error = probe(&url).await.unwrap_err();
        assert!(error.starts_with(words), "{error}");
        waits_with(&site(&url, "", "every = \"1s\""), words).await;
    }
}

#[tokio::test]
async fn a_camera_may_send_its_first_picture_later_than_connecting_may_take() {
    let (camera, site) = mute(1 << 20, "60s").await;
    let running = site.start();
    let waits = |status: &StreamStatus| status.words.starts_with("waiting for the first picture");
    running.until("gate", "connected", waits).await;
    let before = camera.status()[0].units;
    let seen = || (camera.status()[0].units >= before + 50).then_some(());
    eventually("two seconds to pass", seen).await;
    camera.clear_faults("gate").unwrap();
    running.until("gate", "frames", |status| status.taken > 0).await;
    running.stop().await.unwrap();
    assert_eq!(site.events("gate"), []);
}

#[tokio::test]
async fn the_key_that_allows_for_rare_pictures_is_named() {
    let (_camera, site) = mute(1 << 20, "1s").await;
    let running = site.start();
    running.until("gate", "silence", |status| status.events > 0).await;
    running.stop().await.unwrap();
    let event = &site.events("gate")[0];
    assert_eq!(event.kind, "silence");
    assert!(event.words.contains("raise the stream's key \"silence\""), "{event:?}");
}

/// Each of them was lost, and the stream's status said that it plays.
#[tokio::test]
async fn windows_that_are_too_large_are_told_of() {
    let scene = SceneConfig { seed: 7, width: 1_280, height: 720, ..SceneConfig::default() };
    let camera =
        serve(Feed::scene(SceneSource { key_interval: 25, ..SceneSource::new(scene) })).await;
    let site = Site::new(&format!(
        "[receive]\nwindow_bytes = \"1 MiB\"\n[streams.gate]\nurl = \"{}\"\n\
         [models.eye]\nalgorithm = \"circles\"\n\
         sample = {{ every = \"1s\", pick = \"exact\", frames = 50 }}",
        camera.url("gate"),
    ));
    let running = site.start();
    let told = |status: &StreamStatus| status.trouble == Some("window-too-large");
    running.until("gate", "word of it", told).await;
    let state = running.state("gate");
    assert!(state.words.contains("; gather windows of model \"eye\": "), "{state:?}");
    assert_eq!(state.verdict, Verdict::Troubled);
    let lost = |status: &StreamStatus| {
        let account = &status.accounts.values().next();
        account.and_then(|account| account.skipped.get("context-lost")) >= Some(&3)
    };
    let status = running.until("gate", "windows", lost).await;
    assert_eq!((status.taken, status.trouble), (0, Some("window-too-large")));
    running.stop().await.unwrap();
    let kinds: Vec<String> = site.events("gate").into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["window-too-large"]);
}
