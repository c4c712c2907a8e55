//! Sources that give no picture: each command says why.

use std::process::ExitStatus;

use fake_camera::{CameraConfig, FakeCamera, Fault, Feed, SceneSource, SdpFault};
use media::scene::SceneConfig;

use crate::running::{Running, eventually, get};
use crate::site::Site;

const JPEG_ONLY: &str = "it offers JPEG (RFC 2435) only: set it to H.264";

async fn camera(fault: Fault) -> FakeCamera {
    let scene = SceneConfig { width: 320, height: 180, ..SceneConfig::default() };
    let source = SceneSource { key_interval: 25, ..SceneSource::new(scene) };
    let feed = Feed::scene(source).fault(fault);
    FakeCamera::start(CameraConfig::loopback().with("gate", feed)).await.unwrap()
}

fn jpeg() -> Fault {
    Fault::WrongSdp(SdpFault { codec: Some("JPEG".to_owned()), ..SdpFault::default() })
}

/// `millrace up` on one camera, until its page of health has these words; gives its page of metrics and its end.
fn up_until(camera: &FakeCamera, words: &str) -> (String, ExitStatus) {
    let site = Site::new(&format!(
        "[telemetry]\nlisten = \"127.0.0.1:0\"\n[streams.gate]\nurl = \"{}\"\n[models.round]\nalgorithm = \"circles\"",
        camera.url("gate")
    ));
    let running = Running::start(site.command(&["up", "--log-format", "json"]));
    let address = running.address();
    eventually(|| {
        let (_, page) = get(&address, "/readyz");
        if page.contains(words) { Ok(()) } else { Err(page) }
    });
    let (_, metrics) = get(&address, "/metrics");
    (metrics, running.terminate().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_of_jpeg_is_named_by_probe_and_by_up() {
    let camera = camera(jpeg()).await;
    let error = Site::empty().run(&["probe", &camera.url("gate")]).error();
    assert!(error.contains(JPEG_ONLY), "{error}");
    let (metrics, ended) = up_until(&camera, JPEG_ONLY);
    let sample = "millrace_stream_trouble{stream=\"gate\",reason=\"unsupported\"} 1";
    assert!(metrics.contains(sample), "{metrics}");
    assert!(ended.success(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_without_a_key_frame_is_told_of_by_up() {
    let camera = camera(Fault::NoKeyFrames).await;
    let (metrics, _) = up_until(&camera, "no key frame yet for ");
    let sample = "millrace_stream_trouble{stream=\"gate\",reason=\"no-key-frame\"} 1";
    assert!(metrics.contains(sample), "{metrics}");
}

/// A picture of 320 × 192 whose parameter sets say 10 bit (ITU-T H.264 §7.3.2.1).
fn ten_bit() -> Vec<u8> {
    let profile = "01101110 00000000 00010100";
    // Number 0, 4:2:0, 10 bit for luma and chroma.
    let samples = "1 010 011 011 0 0";
    // Frame numbers of 4 bits, order of type 2, one reference, no gaps; 20 × 12 macroblocks of frames; no more.
    let pictures = "1 011 010 0 000010100 0001100 1 1 0 0 1";
    let sps: String = [profile, samples, pictures].concat().split(' ').collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
    let mut bits = sps.into_bytes();
    bits.resize(bits.len().next_multiple_of(8), b'0');
    let sps: Vec<u8> = bits.chunks(8).map(byte).collect();
    [
        &[0, 0, 0, 1, 0x67][..],
        &sps,
        &[0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84],
    ]
    .concat()
}

#[test]
fn a_file_of_10_bit_fails_a_run_with_that_reason_and_a_probe_warns_of_it() {
    let site = Site::empty();
    std::fs::write(site.path("clip.h264"), ten_bit().repeat(25)).unwrap();
    let error = site.run(&["run", "clip.h264", "--model", "circles"]).error();
    assert_eq!(
        error.matches("10 bit video is not supported: expected 8 bit").count(),
        1,
        "{error}"
    );
    let report = site.run(&["probe", "clip.h264"]).ok();
    assert!(report.contains("warning          it cannot be decoded: 10 bit video"), "{report}");
}
