//! A server that nobody here wrote: GStreamer, with B-frames; left out by `SKIP_PLAYERS=1`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::cameras::site;
use crate::site::clip;

/// The server, and the port that it listens at.
struct Server(Child, u16);

impl Server {
    /// Starts it; `None` when players are left out.
    fn start(mount: &str) -> Option<Self> {
        let script = clip("tools/gst_rtsp.py")?;
        if std::env::var("SKIP_PLAYERS").is_ok_and(|skip| skip == "1") {
            println!("skipped: SKIP_PLAYERS=1");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args(["--port", &port.to_string(), mount])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let missing =
            "no python3-gi or gir1.2-gst-rtsp-server-1.0: `tools/setup.sh test` installs them";
        assert_eq!(ready.trim(), "ready", "{missing}; SKIP_PLAYERS=1 leaves them out");
        Some(Self(child, port))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn pictures_with_b_frames_come_in_presentation_order() {
    let Some(clip) = clip("media/bottle-detection.mp4") else { return };
    let Some(server) = Server::start(&format!("clip={}", clip.display())) else { return };
    let url = format!("rtsp://127.0.0.1:{}/clip", server.1);
    let site = site(&url, "", "every = \"30ms\", pick = \"exact\", max_width = 320");
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 60).await;
    running.stop().await.unwrap();
    let frames = site.frames("eye").await;
    let account = site.account("gate").account;
    // The last ones were cut off from the pictures before them when the receiver stopped.
    for two in frames[..60].windows(2) {
        let ticks = two[1].entry.stamp.media_time.0 - two[0].entry.stamp.media_time.0;
        assert!((2_900..3_200).contains(&ticks), "{ticks} ticks, {account:?}");
    }
    assert!(
        !account.skipped.contains_key("out-of-order") && account.undecodable == 0,
        "{account:?}"
    );
}
