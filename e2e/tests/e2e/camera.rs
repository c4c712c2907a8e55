//! Fake cameras for the tests: the project's own server, and GStreamer's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Program, Site, is_left_out, program, shared_tool, skipped};

/// Starts `fake-camera` in `site` and gives it with the base of its URLs, `rtsp://127.0.0.1:PORT`.
pub(crate) fn fake_camera(site: &Site, args: &[&str]) -> (Program, String) {
    let mut command = Command::new(program("fake-camera"));
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    let camera = Program::start("fake-camera", site.path(), &mut command);
    // Looped scenes are encoded before it listens.
    let url = camera.wait_for_line("ready ", Duration::from_secs(120));
    let base = url.rsplit_once('/').map_or(url.clone(), |(base, _)| base.to_owned());
    (camera, base)
}

/// Starts GStreamer's RTSP server with `file` looped at `/clip`, and gives it with its URL; `None`, in words, when
/// the script is missing or players are left out.
pub(crate) fn gstreamer(site: &Site, file: &Path) -> Option<(Program, String)> {
    let Some(script) = shared_tool("gst_rtsp.py") else {
        skipped("../shared/tools/gst_rtsp.py is missing");
        return None;
    };
    if is_left_out("SKIP_PLAYERS") {
        return None;
    }
    let bindings = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let usable = Command::new("/usr/bin/python3").args(["-c", bindings]).status();
    assert!(
        usable.is_ok_and(|status| status.success()),
        "GStreamer's RTSP server is missing: `tools/setup.sh test` installs it; SKIP_PLAYERS=1 leaves it out"
    );
    let port = free_port();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg("--port").arg(port.to_string());
    command.arg(format!("clip={}", file.display()));
    let server = Program::start("gstreamer", site.path(), &mut command);
    server.wait_for_line("ready", Duration::from_secs(20));
    Some((server, format!("rtsp://127.0.0.1:{port}/clip")))
}

/// Puts a fault on a camera, through the control at `http://HOST:PORT/cameras`.
pub(crate) fn put_fault(control: &str, camera: &str, fault: &str) {
    let host = control.trim_start_matches("http://").trim_end_matches("/cameras");
    let mut stream = TcpStream::connect(host).expect("the control listens");
    let request = format!(
        "POST /cameras/{camera}/faults HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{fault}",
        fault.len()
    );
    stream.write_all(request.as_bytes()).expect("the control listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the control answers");
    assert!(answer.starts_with("HTTP/1.1 20"), "{fault} was refused: {answer}");
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
