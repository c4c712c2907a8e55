//! Cameras that attack: each is refused at a bound that is named, and a good one beside it loses nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_camera::Feed;

use crate::cameras::{check_numbers, serve, small_scene};
use crate::secure::in_tls;
use crate::site::Site;

const DESCRIPTION: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n";

/// What a camera sends without end.
#[derive(Clone, Debug)]
enum Attack {
    /// One header of an answer.
    Header,
    /// RTP packets of one access unit, each with this payload.
    Packets(Vec<u8>),
    /// The same, each of a timestamp of its own and marked as the end of its access unit.
    Marked(Vec<u8>),
}

/// Serves attacks until the process ends; gives the URL.
fn attacker(attack: Attack) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtsp://{}/gate", listener.local_addr().unwrap());
    let attack = Arc::new(attack);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let attack = Arc::clone(&attack);
            // Whoever is attacked closes the connection: that is how an attack ends.
            std::thread::spawn(move || converse(&stream, &attack).ok());
        }
    });
    url
}

fn converse(stream: &TcpStream, attack: &Attack) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream).lines();
    loop {
        let mut request = Vec::new();
        for line in requests.by_ref() {
            match line? {
                line if line.is_empty() => break,
                line => request.push(line),
            }
        }
        let Some(method) = request.first().and_then(|line| line.split(' ').next()) else {
            return Ok(());
        };
        if matches!(attack, Attack::Header) {
            return send_without_end(stream, b"RTSP/1.0 200 OK\r\nX-Name: ", &[b'a'; 1 << 16]);
        }
        let number = request.iter().find(|line| line.starts_with("CSeq")).unwrap();
        let (headers, body) = match method {
            "DESCRIBE" => ("Content-Type: application/sdp\r\n", DESCRIPTION),
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
            _ => ("Session: 1\r\n", ""),
        };
        let len = body.len();
        write!(
            &*stream,
            "RTSP/1.0 200 OK\r\n{number}\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
        )?;
        match attack {
            Attack::Packets(payload) if method == "PLAY" => {
                return send_packets(stream, payload, false);
            }
            Attack::Marked(payload) if method == "PLAY" => {
                return send_packets(stream, payload, true);
            }
            _ => {}
        }
    }
}

fn send_without_end(mut stream: &TcpStream, first: &[u8], more: &[u8]) -> std::io::Result<()> {
    stream.write_all(first)?;
    loop {
        stream.write_all(more)?;
    }
}

fn send_packets(mut stream: &TcpStream, payload: &[u8], marked: bool) -> std::io::Result<()> {
    for seq in (0..=u16::MAX).cycle() {
        let [high, low] = seq.to_be_bytes();
        let (kind, time) = if marked { (0x80 | 96, [0, 0, high, low]) } else { (96, [0; 4]) };
        let header = [&[0x80, kind, high, low][..], &time, &[0, 0, 0, 9]].concat();
        let packet = [&header[..], payload].concat();
        let [high, low] = u16::try_from(packet.len()).unwrap().to_be_bytes();
        stream.write_all(&[&[b'$', 0, high, low][..], &packet].concat())?;
    }
    Ok(())
}

/// A good camera beside an attacker, until the attacker was refused three times.
async fn a_good_camera_beside(attack: Attack, kind: &str) {
    a_good_camera_beside_one_at(&attacker(attack), "", kind).await;
}

/// The same, with keys of the attacker's stream.
async fn a_good_camera_beside_one_at(bad: &str, keys: &str, kind: &str) {
    let good = serve(Feed::scene(small_scene())).await;
    let site = Site::new(&format!(
        "[receive]\nbackoff_min = \"100ms\"\nbackoff_max = \"500ms\"\nconnect_timeout = \"20s\"\n\
         [streams.good]\nurl = \"{}\"\n[streams.bad]\nurl = \"{bad}\"\n{keys}\n\
         [models.eye]\nalgorithm = \"circles\"\n\
         sample = {{ every = \"80ms\", pick = \"exact\", max_delay = \"100ms\" }}",
        good.url("gate"),
    ));
    let running = site.start();
    running.until("bad", "three refusals", |status| status.events >= 3).await;
    running.until("good", "frames", |status| status.taken >= 50).await;
    let stopped = Instant::now();
    running.stop().await.unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(25), "{:?}", stopped.elapsed());
    let events = site.events("bad");
    assert!(events.iter().all(|event| event.kind == kind), "{events:?}");
    let account = site.account("good").account;
    assert_eq!((account.undecodable, account.skipped.get("overload")), (0, None), "{account:?}");
    check_numbers(&site.frames("eye").await);
}

#[tokio::test]
async fn a_header_line_without_end_is_refused_at_its_bound() {
    a_good_camera_beside(Attack::Header, "message-too-long").await;
}

#[tokio::test]
async fn a_header_line_without_end_is_refused_at_its_bound_in_tls_too() {
    let bad = in_tls(&attacker(Attack::Header), "camera.pem").await;
    let authority = format!("{}/tests/receive/tls/authority.pem", env!("CARGO_MANIFEST_DIR"));
    let keys = format!("ca = {authority:?}");
    a_good_camera_beside_one_at(&bad, &keys, "message-too-long").await;
}

#[tokio::test]
async fn tiny_nal_units_without_end_are_refused_at_their_bound() {
    // An aggregation packet (RFC 6184 §5.7.1) of units of one byte.
    let payload = [&[0x78][..], &[0, 1, 6].repeat(450)].concat();
    a_good_camera_beside(Attack::Packets(payload), "too-large").await;
}

#[tokio::test]
async fn an_access_unit_without_end_is_refused_at_its_bound() {
    // Slices of an IDR picture, in packets of their own (RFC 6184 §5.6).
    let payload = [&[0x65][..], &[7; 1_400]].concat();
    a_good_camera_beside(Attack::Packets(payload), "too-large").await;
}

#[tokio::test]
async fn units_without_a_picture_are_refused_at_their_bound_also_where_each_is_marked_as_an_end() {
    // Supplemental enhancement information, which ends no access unit (ITU-T H.264 §7.4.1.2.3).
    let payload = [&[0x06][..], &[7; 60_000]].concat();
    a_good_camera_beside(Attack::Marked(payload), "too-large").await;
}
