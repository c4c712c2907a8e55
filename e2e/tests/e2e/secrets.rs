//! Promise 8: a camera's password is nowhere but in the configuration.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use e2e::{Backend, Site, eventually, on_every_backend};

use crate::camera::fake_camera;

const PASSWORD: &str = "s3cr3t-Pa55w0rd";

fn config(base: &str, password: &str) -> String {
    let base = base.replace("rtsp://", &format!("rtsp://keeper:{password}@"));
    format!(
        r#"
        data = "data"

        [streams.gate]
        url = "{base}/gate"

        [streams.missing]
        url = "{base}/nowhere"

        [streams.apart]
        url = "{}/gate"
        username = "keeper"
        password = "${{CAMERA_PASSWORD}}"

        [models.sleeper]
        algorithm = "sleep:0ms"
        sample = {{ every = "200ms", pick = "exact", max_frames = 1 }}
        "#,
        base.replace(&format!("keeper:{password}@"), "")
    )
}

/// A site whose programs know the password and log everything.
fn site(backend: Backend) -> Site {
    let variables = [("CAMERA_PASSWORD", PASSWORD), ("MILLRACE_LOG", "trace")];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Site::with(backend, environment.into(), "")
}

fn assert_nowhere(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the site can be read") {
        let path = entry.expect("the site can be read").path();
        if path.is_dir() {
            assert_nowhere(&path);
        } else if path.file_name().is_none_or(|name| name != "millrace.toml") {
            let bytes = fs::read(&path).unwrap_or_default();
            let found = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
            assert!(!found, "the password is in {}", path.display());
        }
    }
}

on_every_backend!(
    a_password_is_in_no_log_row_message_or_error,
    a_refused_password_is_said_plainly_and_not_repeated,
    a_password_that_the_camera_repeats_is_not_repeated,
);

fn a_password_is_in_no_log_row_message_or_error(backend: Backend) {
    let site = site(backend);
    let user = format!("keeper:{PASSWORD}");
    let outside = Site::new("");
    let (_camera, base) = fake_camera(
        &outside,
        &["--mount", "gate=scene:seed=1,size=320x192,fps=25", "--user", &user],
    );
    site.configure(&config(&base, PASSWORD));
    let mut up = site.start("millrace", &["up"]);
    for stream in ["gate", "apart"] {
        let sql = format!("SELECT count(*) FROM frames WHERE stream = '{stream}'");
        eventually("frames are answered", Duration::from_secs(60), || match site.number(&sql)? {
            0 => Err(up.stderr()),
            frames => Ok(frames),
        });
    }
    let arguments = fs::read(format!("/proc/{}/cmdline", up.pid())).expect("it runs");
    assert!(!String::from_utf8_lossy(&arguments).contains(PASSWORD));
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());

    let rows = site.query("SELECT * FROM detections").expect("the table can be read");
    assert!(rows.iter().all(|row| !row.to_string().contains(PASSWORD)), "{rows:?}");
    let validated = site.millrace(&["validate"]);
    let probed = site
        .millrace(&["probe", &format!("{}/nowhere", base.replace("//", &format!("//{user}@")))]);
    for output in [validated, probed] {
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert_nowhere(site.path());
}

fn a_refused_password_is_said_plainly_and_not_repeated(backend: Backend) {
    let outside = Site::new("");
    let (_camera, base) = fake_camera(
        &outside,
        &["--mount", "gate=scene:seed=1,size=320x192,fps=25", "--user", "keeper:another"],
    );
    let site = site(backend);
    site.configure(&config(&base, PASSWORD));
    let mut up = site.start("millrace", &["up"]);
    up.wait_for_log("refuses the user name or password", Duration::from_secs(30));
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
    assert_nowhere(site.path());
}

/// A camera that answers everything with its URL, without a scheme, and with a description whose type it does not say,
/// or that has a wrong one. Gives the base of its URLs.
fn repeating_camera() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let base = format!("rtsp://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // It ends by the other side.
            let _ = repeat(&connection);
        }
    });
    base
}

fn repeat(mut connection: &TcpStream) -> io::Result<()> {
    let sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n\
               m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let (mut url, mut cseq) = (String::new(), String::new());
    for line in BufReader::new(connection).lines() {
        let line = line?;
        if let Some((_, address)) = line.split_once(" rtsp://") {
            url = address.trim_end_matches(" RTSP/1.0").to_owned();
        } else if line.starts_with("CSeq") {
            cseq = line;
        } else if line.is_empty() {
            let kind = if url.contains("typed") { "Content-Type: text/html\r\n" } else { "" };
            let length = sdp.len();
            write!(
                connection,
                "RTSP/1.0 200 OK\r\n{cseq}\r\nContent-Base: {url}\r\n{kind}\
                 Content-Length: {length}\r\n\r\n{sdp}"
            )?;
        }
    }
    Ok(())
}

fn a_password_that_the_camera_repeats_is_not_repeated(backend: Backend) {
    let site = site(backend);
    let base = repeating_camera();
    site.configure(&format!(
        r#"
        data = "data"

        [streams.query]
        url = "{base}/live?user=keeper&password={PASSWORD}"

        [streams.typed]
        url = "{base}/typed?{PASSWORD}"

        [streams.path]
        url = "{base}/typed/user=keeper_password={PASSWORD}_channel=1.sdp"

        [models.sleeper]
        algorithm = "sleep:0ms"
        sample = {{ every = "1s" }}
        "#
    ));
    let mut up = site.start("millrace", &["up"]);
    for stream in ["query", "typed", "path"] {
        up.wait_for_log(&format!("camera {stream}: "), Duration::from_secs(30));
    }
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
    let url = format!("{base}/live?password={PASSWORD}");
    for log in ["info", "retina::client::parse=trace"] {
        let probed = site.millrace(&["--log", log, "probe", &url]);
        let text = String::from_utf8_lossy(&[probed.stdout, probed.stderr].concat()).into_owned();
        assert!(text.contains("live?***") && !text.contains(PASSWORD), "{text}");
    }
    assert_nowhere(site.path());
}
