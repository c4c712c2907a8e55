//! Clients that nobody here wrote: ffmpeg and GStreamer, unless `SKIP_PLAYERS=1` leaves them out; and the program itself.

use std::process::{Output, Stdio};

use fake_camera::{Feed, Login};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::client::{Client, serve, small_scene, tcp, within};
use crate::playing::clip;

/// Runs a program to its end; `None` when players are left out.
async fn run(program: &str, args: &[&str]) -> Option<Output> {
    if std::env::var("SKIP_PLAYERS").is_ok_and(|skip| skip == "1") {
        println!("skipped: SKIP_PLAYERS=1");
        return None;
    }
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(program, command.output()).await;
    Some(output.unwrap_or_else(|error| {
        panic!("run {program}: {error} (`tools/setup.sh test` installs it; SKIP_PLAYERS=1 leaves it out)")
    }))
}

/// Frames that ffmpeg decodes in two seconds of media; `None` when players are left out.
async fn ffmpeg_frames(url: &str, transport: &str) -> Option<u32> {
    let args = [
        "-hide_banner",
        "-rtsp_transport",
        transport,
        "-i",
        url,
        "-t",
        "2",
        "-f",
        "null",
        "-progress",
        "pipe:1",
        "-",
    ];
    let output = run("ffmpeg", &args).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("error while decoding"), "{errors}");
    let progress = String::from_utf8(output.stdout).unwrap();
    let frames = progress.lines().rev().find_map(|line| line.strip_prefix("frame="));
    Some(frames.unwrap().trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_the_scene_over_tcp_and_udp_with_a_login() {
    let login = Login::digest("viewer", "sesame");
    let camera = serve(Feed::scene(small_scene()).login(login)).await;
    for transport in ["tcp", "udp"] {
        let Some(frames) = ffmpeg_frames(&camera.url_with_login("gate"), transport).await else {
            return;
        };
        assert!((45..=55).contains(&frames), "{frames} frames in two seconds over {transport}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_a_file_with_b_frames() {
    let Some(path) = clip("bottle-detection.mp4") else { return };
    let camera = serve(Feed::file(path)).await;
    let Some(frames) = ffmpeg_frames(&camera.url("gate"), "tcp").await else { return };
    assert!((50..=65).contains(&frames), "{frames} frames in two seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_plays_the_scene() {
    let camera = serve(Feed::scene(small_scene())).await;
    for protocols in ["tcp", "udp"] {
        let source = [
            "-q",
            "rtspsrc",
            &format!("location={}", camera.url("gate")),
            &format!("protocols={protocols}"),
            "!",
            "rtph264depay",
            "!",
            "h264parse",
            "!",
            "identity",
            "eos-after=30",
            "!",
            "fakesink",
        ];
        let Some(output) = run("gst-launch-1.0", &source).await else { return };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{protocols}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_when_it_is_ready_and_plays() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-camera"))
        .args(["--listen", "127.0.0.1:0", "--mount", "gate=scene:size=320x180"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = within("a line", lines.next_line()).await.unwrap().unwrap();
    let url = line.strip_prefix("ready ").unwrap();
    let mut client = Client::play(url, tcp()).await.unwrap();
    assert_eq!(client.frame_numbers(2).await, [0, 1]);
    program.kill().await.unwrap();
}
