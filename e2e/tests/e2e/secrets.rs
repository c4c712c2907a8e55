//! Promise 8: a camera's password is nowhere but in the configuration.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Program, Site, eventually, program};

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

fn start(site: &Site) -> Program {
    let mut command = Command::new(program("millrace"));
    command.args(["up", "-c"]).arg(site.config()).current_dir(site.path());
    command.env("CAMERA_PASSWORD", PASSWORD).env("RUST_LOG", "trace");
    Program::start("millrace", site.path(), &mut command)
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

#[test]
fn a_password_is_in_no_log_row_message_or_error() {
    let site = Site::new("");
    let user = format!("keeper:{PASSWORD}");
    let outside = Site::new("");
    let (_camera, base) = fake_camera(
        &outside,
        &["--mount", "gate=scene:seed=1,size=320x192,fps=25", "--user", &user],
    );
    site.configure(&config(&base, PASSWORD));
    let mut up = start(&site);
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

    let validated = site.millrace(&["validate"]);
    let probed = site
        .millrace(&["probe", &format!("{}/nowhere", base.replace("//", &format!("//{user}@")))]);
    for output in [validated, probed] {
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert_nowhere(site.path());
}

#[test]
fn a_refused_password_is_said_plainly_and_not_repeated() {
    let outside = Site::new("");
    let (_camera, base) = fake_camera(
        &outside,
        &["--mount", "gate=scene:seed=1,size=320x192,fps=25", "--user", "keeper:another"],
    );
    let site = Site::new(&config(&base, PASSWORD));
    let mut up = start(&site);
    up.wait_for_log("refuses the user name or password", Duration::from_secs(30));
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
    assert_nowhere(site.path());
}
