//! What a sound camera does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_camera::{AuthScheme, CameraConfig, FakeCamera, Feed, Login, SceneSource, Transports};
use retina::client::Transport;

use crate::client::{
    Client, eventually, rtp_time, serve, serve_scene, small_scene, tcp, udp, unix_now, within,
};

fn consecutive(numbers: &[u32]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

async fn plays_every_frame(transport: Transport) {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), transport).await.unwrap();
    let numbers = client.frame_numbers(60).await;
    assert!(consecutive(&numbers), "{numbers:?}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scene_plays_over_tcp_without_a_gap() {
    plays_every_frame(tcp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scene_plays_over_udp_without_a_gap() {
    plays_every_frame(udp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rtp_time_goes_on_in_frames_and_at_the_pace_of_the_clock() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let (_, mut last) = client.picture().await;
    let (first, started) = (last, tokio::time::Instant::now());
    for _ in 0..50 {
        let (_, timestamp) = client.picture().await;
        assert_eq!(timestamp.wrapping_sub(last), 3_600, "25 frames a second");
        last = timestamp;
    }
    let took = started.elapsed().as_secs_f64();
    let media = f64::from(last.wrapping_sub(first)) / 90_000.0;
    assert!(media - 0.5 < took && took < media + 5.0, "{media} s of media took {took} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_viewers_see_the_same_stream() {
    let camera = serve_scene().await;
    let url = camera.url("gate");
    let mut early = Client::play(&url, tcp()).await.unwrap();
    early.frame_numbers(5).await;
    let mut late = Client::play(&url, udp()).await.unwrap();
    assert_eq!(camera.status()[0].viewers, 2);
    let (number, time) = {
        let (picture, time) = late.picture().await;
        (media::scene::read_frame_number(&picture).unwrap(), time)
    };
    let same = within("the same frame", async {
        loop {
            let (picture, time) = early.picture().await;
            if media::scene::read_frame_number(&picture) == Some(number) {
                return time;
            }
        }
    });
    assert_eq!(same.await, time);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sender_report_comes_first_and_tells_the_wall_clock() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let frame = within("a frame", client.frame()).await.unwrap().unwrap();
    let (ntp, reported) = client.report.expect("a report before the first frame");
    let since = f64::from(rtp_time(&frame).wrapping_sub(reported).cast_signed()) / 90_000.0;
    let captured = ntp + since;
    assert!((captured - unix_now()).abs() < 2.0, "captured {} s ago", unix_now() - captured);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watching_makes_no_pictures_and_the_scene_goes_on_later() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    client.frame_numbers(3).await;
    drop(client);
    eventually("the viewer to be gone", async || camera.status()[0].viewers == 0).await;
    let made = camera.status()[0].units;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let next = u64::from(client.frame_numbers(1).await[0]);
    // A few frames made ahead of their time were never shown; and a viewer who is quick enough to find the
    // pictures still coming has to wait for the next key frame, which is 25 frames away at most.
    assert!((made..made + 35).contains(&next), "frame {next} after {made} frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeating_scene_starts_over_and_its_time_goes_on() {
    let source = SceneSource { key_interval: 10, ..small_scene() };
    let camera = serve(Feed::scene(source.repeating(Duration::from_millis(800)))).await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let mut last: Option<(u32, u32)> = None;
    let mut rounds = 0;
    while rounds < 2 {
        let (picture, time) = client.picture().await;
        let number = media::scene::read_frame_number(&picture).unwrap();
        if let Some((before, at)) = last {
            assert_eq!(number, (before + 1) % 20);
            assert_eq!(time.wrapping_sub(at), 3_600);
            rounds += u32::from(number == 0);
        }
        last = Some((number, time));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_login_scheme_takes_the_right_password_only() {
    for scheme in [AuthScheme::Basic, AuthScheme::DigestMd5, AuthScheme::DigestSha256] {
        let login = Login { user: "viewer".into(), password: "ses@me".into(), scheme };
        let camera = serve(Feed::scene(small_scene()).login(login)).await;
        let url = camera.url("gate");
        let right = Client::play_as(&url, tcp(), Some(("viewer", "ses@me"))).await;
        right.unwrap().frame_numbers(1).await;
        for wrong in [Some(("viewer", "sesame")), Some(("visitor", "ses@me")), None] {
            let refusal = Client::play_as(&url, tcp(), wrong).await.err().unwrap();
            assert_eq!(refusal.status_code(), Some(401), "{scheme:?} {wrong:?}: {refusal}");
        }
        assert!(camera.url_with_login("gate").contains("viewer:ses%40me@"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_for_tcp_only_answers_udp_with_461() {
    let mut feed = Feed::scene(small_scene());
    feed.transports = Transports { tcp: true, udp: false };
    let camera = serve(feed).await;
    let refusal = Client::play(&camera.url("gate"), udp()).await.err().unwrap();
    assert_eq!(refusal.status_code(), Some(461), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_mount_is_not_found() {
    let camera = serve_scene().await;
    let refusal = Client::play(&camera.url("garden"), tcp()).await.err().unwrap();
    assert_eq!(refusal.status_code(), Some(404), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_missing_file_are_named() {
    let camera = serve_scene().await;
    let mut config = CameraConfig::loopback().with("gate", Feed::scene(small_scene()));
    config.listen = camera.rtsp_addr();
    let taken = FakeCamera::start(config).await.unwrap_err().to_string();
    assert_eq!(taken, format!("bind rtsp to {}", camera.rtsp_addr()));
    let config = CameraConfig::loopback().with("clip", Feed::file("no/such.mp4"));
    let missing = FakeCamera::start(config).await.unwrap_err();
    assert!(missing.to_string().contains("\"clip\""), "{missing}");
    let source = std::error::Error::source(&missing).unwrap().to_string();
    assert!(source.contains("no/such.mp4"), "{source}");
}

/// A clip of the shared media folder, if it is there.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media").join(name);
    if !path.exists() {
        println!("skipped: ../shared/media is missing");
        return None;
    }
    Some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_b_frames_comes_in_decoding_order_with_presentation_times() {
    let Some(path) = clip("bottle-detection.mp4") else { return };
    let camera = serve(Feed::file(path)).await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let mut times = Vec::new();
    while times.len() < 60 {
        let frame = within("a frame", client.frame()).await.unwrap().unwrap();
        times.push(frame.timestamp().elapsed());
    }
    assert!(times.windows(2).any(|pair| pair[1] < pair[0]), "B-frames go back in time");
    times.sort_unstable();
    // 29.83 frames a second; the last few may still lack a B-frame between them.
    for pair in times[..55].windows(2) {
        assert!((2_900..3_200).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    let (ntp, _) = client.report.unwrap();
    assert!((ntp - unix_now()).abs() < 5.0);
}
