//! Video that no decoder here takes: said of cameras and files alike, before a picture of it is asked for.

use fake_camera::Feed;
use receive_video::{StreamState, StreamStatus};

use crate::cameras::{probe, serve, site, small_scene};
use crate::encoded::x264;
use crate::site::Site;

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
