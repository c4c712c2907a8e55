//! Each fault, as a viewer sees it.

use std::time::Duration;

use fake_camera::{FakeCamera, Fault, Feed, JumpingClock, SceneSource, SdpFault};
use media::scene::read_frame_number;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::client::{Client, eventually, serve, serve_scene, small_scene, tcp, udp, within};

#[tokio::test(flavor = "multi_thread")]
async fn refuse_resets_new_connections_and_keeps_the_old() {
    let camera = serve_scene().await;
    let mut old = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    camera.set_fault("gate", &Fault::Refuse).unwrap();
    let refusal = Client::play(&camera.url("gate"), tcp()).await.err().unwrap();
    assert_eq!(refusal.status_code(), None, "{refusal}");
    old.frame_numbers(3).await;
    camera.clear_faults("gate").unwrap();
    Client::play(&camera.url("gate"), tcp()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_door_refuses_connections_until_it_is_open_again() {
    let camera = serve_scene().await;
    let addr = camera.rtsp_addr();
    camera.refuse_connections(true);
    eventually("a refusal", async || TcpStream::connect(addr).await.is_err()).await;
    camera.refuse_connections(false);
    eventually("a welcome", async || TcpStream::connect(addr).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_ends_the_connections_of_now_and_a_new_one_plays() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    client.frame_numbers(2).await;
    camera.set_fault("gate", &Fault::Close { every_seconds: None }).unwrap();
    client.end().await;
    let mut again = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    again.frame_numbers(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_every_ends_each_connection_after_its_time() {
    let close = Fault::Close { every_seconds: Some(0.5) };
    let camera = serve(Feed::scene(small_scene()).fault(close)).await;
    for _ in 0..2 {
        let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
        let playing = Instant::now();
        client.end().await;
        assert!(playing.elapsed() > Duration::from_millis(400), "{:?}", playing.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_sends_nothing_and_keeps_the_connection() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let before = client.frame_numbers(3).await;
    camera.set_fault("gate", &Fault::Freeze).unwrap();
    // What was on its way may still arrive; then there is silence.
    within("silence", async {
        while timeout(Duration::from_millis(500), client.frame()).await.is_ok() {}
    })
    .await;
    let url = camera.url("gate");
    let newcomer = timeout(Duration::from_millis(500), Client::play(&url, tcp())).await;
    assert!(newcomer.is_err(), "a frozen camera does not answer");
    camera.clear_faults("gate").unwrap();
    let after = client.frame_numbers(3).await;
    assert!(after[0] > before[2], "{before:?}, then {after:?}");
    assert_eq!(after[2], after[0] + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_missed_and_counted() {
    let feed = Feed::scene(small_scene()).fault(Fault::Lose { rate: 0.2 });
    let camera = serve(feed).await;
    let mut client = Client::play(&camera.url("gate"), udp()).await.unwrap();
    within("a loss", async { while client.frame().await.unwrap().unwrap().loss() == 0 {} }).await;
    assert!(camera.status()[0].lost > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_packets_break_a_stream_that_cannot_be_out_of_order() {
    let feed = Feed::scene(small_scene()).fault(Fault::Reorder { rate: 0.5 });
    let camera = serve(feed).await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let noticed = within("a packet out of order", async {
        loop {
            match client.frame().await {
                Some(Ok(frame)) if frame.loss() == 0 => {}
                other => return other.is_some(),
            }
        }
    });
    assert!(noticed.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_payload_shows_in_the_pictures_or_in_errors() {
    let feed = || Feed::scene(small_scene());
    let first = async |feed| {
        let camera = serve(feed).await;
        let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
        within("a frame", client.frame()).await.unwrap().map(|frame| frame.data().to_vec())
    };
    let intact = first(feed()).await.unwrap();
    assert_eq!(first(feed()).await.unwrap(), intact, "the same scene gives the same bytes");
    let damaged = first(feed().fault(Fault::Corrupt { rate: 1.0 })).await;
    assert!(damaged.is_err() || damaged.unwrap() != intact);
}

#[tokio::test(flavor = "multi_thread")]
async fn resolution_changes_in_the_middle_of_the_stream() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let (picture, before) = client.picture().await;
    assert_eq!((picture.width(), picture.height()), (320, 180));
    let first = read_frame_number(&picture).unwrap();
    camera.set_fault("gate", &Fault::Resolution { width: 480, height: 270 }).unwrap();
    let (picture, after) = within("another size", async {
        loop {
            let (picture, time) = client.picture().await;
            if picture.width() == 480 {
                return (picture, time);
            }
        }
    })
    .await;
    assert!(read_frame_number(&picture).unwrap() > first);
    assert!(after.wrapping_sub(before) < 20 * 90_000, "the clock goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_rtp_clock_shows_between_two_frames() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let (_, mut last) = client.picture().await;
    let jump = Fault::Jump { seconds: 100.0, clock: JumpingClock::Rtp };
    camera.set_fault("gate", &jump).unwrap();
    within("the jump", async {
        loop {
            let (_, time) = client.picture().await;
            if time.wrapping_sub(last) >= 100 * 90_000 {
                return;
            }
            last = time;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_wall_clock_shows_in_the_next_report() {
    let camera = serve_scene().await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    client.picture().await;
    let (before, _) = client.report.unwrap();
    let jump = Fault::Jump { seconds: -3_600.0, clock: JumpingClock::Ntp };
    camera.set_fault("gate", &jump).unwrap();
    within("a report from an hour ago", async {
        while client.report.unwrap().0 > before - 3_000.0 {
            client.picture().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_key_frames_the_others_still_come() {
    let feed = Feed::scene(small_scene()).fault(Fault::NoKeyFrames);
    let camera = serve(feed).await;
    let mut client = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    for _ in 0..60 {
        let frame = within("a frame", client.frame()).await.unwrap().unwrap();
        assert!(!frame.is_random_access_point());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_descriptions_reach_the_client() {
    let camera = serve_scene().await;
    let url = camera.url("gate");
    let h265 = SdpFault { codec: Some("H265".into()), ..SdpFault::default() };
    camera.set_fault("gate", &Fault::WrongSdp(h265)).unwrap();
    let described = describe(&url).await.unwrap();
    assert_eq!(described.streams()[0].encoding_name(), "h265");
    let empty = SdpFault { no_media: true, ..SdpFault::default() };
    camera.set_fault("gate", &Fault::WrongSdp(empty)).unwrap();
    assert!(describe(&url).await.map_or(true, |session| session.streams().is_empty()));
    let html = SdpFault { not_sdp: true, ..SdpFault::default() };
    camera.set_fault("gate", &Fault::WrongSdp(html)).unwrap();
    assert!(describe(&url).await.is_err());
    let garbage = SdpFault { garbage_parameters: true, ..SdpFault::default() };
    camera.set_fault("gate", &Fault::WrongSdp(garbage)).unwrap();
    assert!(describe(&url).await.map_or(true, |s| s.streams()[0].parameters().is_none()));
}

async fn describe(
    url: &str,
) -> Result<retina::client::Session<retina::client::Described>, retina::Error> {
    let options = retina::client::SessionOptions::default();
    retina::client::Session::describe(url::Url::parse(url).unwrap(), options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_and_refused_logins_are_answered() {
    let camera = serve_scene().await;
    let url = camera.url("gate");
    camera.set_fault("gate", &Fault::Status { code: 503 }).unwrap();
    assert_eq!(describe(&url).await.err().unwrap().status_code(), Some(503));
    camera.clear_faults("gate").unwrap();
    camera.set_fault("gate", &Fault::Unauthorized).unwrap();
    let login = Some(("viewer", "sesame"));
    let refusal = Client::play_as(&url, tcp(), login).await.err().unwrap();
    assert_eq!(refusal.status_code(), Some(401), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_read_is_disconnected_and_harms_no_other() {
    // Key frames only: some megabytes in as many seconds, more than the sockets' buffers hold.
    let source = SceneSource { key_interval: 1, bitrate: 20_000_000, ..small_scene() };
    let camera = serve(Feed::scene(source)).await;
    let mut sound = Client::play(&camera.url("gate"), tcp()).await.unwrap();
    let _stuck = play_without_reading(&camera).await;
    assert_eq!(camera.status()[0].viewers, 2);
    let mut last = sound.frame_numbers(1).await[0];
    within("the stuck viewer to be gone", async {
        while camera.status()[0].viewers == 2 {
            let number = sound.frame_numbers(1).await[0];
            assert_eq!(number, last + 1);
            last = number;
        }
    })
    .await;
}

/// Asks for packets in the RTSP connection and leaves them there.
async fn play_without_reading(camera: &FakeCamera) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(camera.rtsp_addr()).await.unwrap();
    let url = camera.url("gate");
    let setup = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let answer = request(&mut stream, &format!("SETUP {url}/track1"), setup).await;
    let session = answer.split("Session: ").nth(1).unwrap().split(';').next().unwrap();
    request(&mut stream, &format!("PLAY {url}"), &format!("Session: {session}")).await;
    stream
}

async fn request(stream: &mut TcpStream, line: &str, header: &str) -> String {
    let text = format!("{line} RTSP/1.0\r\nCSeq: 1\r\n{header}\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_024];
    let len = within("an answer", stream.read(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}
