//! Mistakes in the set-up end in an error that names the place, what came and what was expected.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use e2e::{Site, program, shared_media, skipped};

const STREAM: &str = "[streams.gate]\nurl = \"scene:?seed=1\"\n";
const MODEL: &str = "[models.sleeper]\nalgorithm = \"sleep:0ms\"\n";

/// Runs `millrace` and gives its error text, which must be short and have no backtrace.
fn refused(site: &Site, args: &[&str]) -> String {
    let output = site.millrace(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} was taken: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let site = Site::new(&format!("{STREAM}tranport = \"tcp\"\n\n{MODEL}"));
    assert_says(&refused(&site, &["validate"]), &["millrace.toml", "3", "tranport", "transport"]);
}

#[test]
fn two_cameras_with_one_id_are_named() {
    let site = Site::new(&format!("{STREAM}\n{STREAM}\n{MODEL}"));
    assert_says(&refused(&site, &["validate"]), &["millrace.toml", "gate", "4"]);
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_what_was_expected() {
    let site = Site::new(&format!("{STREAM}silence = \"soon\"\n\n{MODEL}"));
    assert_says(&refused(&site, &["validate"]), &["millrace.toml", "silence", "soon", "500ms"]);
}

#[test]
fn a_missing_environment_variable_is_named() {
    let site = Site::new(&format!("{STREAM}password = \"${{NOT_SET_ANYWHERE}}\"\n\n{MODEL}"));
    assert_says(&refused(&site, &["validate"]), &["password", "NOT_SET_ANYWHERE"]);
}

#[test]
fn a_missing_model_file_is_named() {
    let site = Site::new(&format!("{STREAM}\n[models.people]\npath = \"nowhere.onnx\"\n"));
    assert_says(&refused(&site, &["validate"]), &["people", "nowhere.onnx"]);
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let site = Site::new(&format!("{STREAM}\n[models.people]\npath = \"people.onnx\"\n"));
    fs::write(site.path().join("people.onnx"), "<html>404</html>").expect("the site is writable");
    assert_says(&refused(&site, &["validate"]), &["people", "people.onnx"]);
}

#[test]
fn a_wrong_label_count_is_named() {
    let Some(model) = shared_media("FastestDet.onnx") else {
        return skipped("../shared/media is missing");
    };
    let site = Site::new(&format!(
        "{STREAM}\n[models.few]\npath = {:?}\nmanifest = \"few.toml\"\n",
        model.display().to_string()
    ));
    let manifest = "head = \"fastestdet\"\nlabels = [\"person\", \"bicycle\"]\n";
    fs::write(site.path().join("few.toml"), manifest).expect("the site is writable");
    assert_says(&refused(&site, &["validate"]), &["few", "2 labels", "80"]);
}

#[test]
fn an_unwritable_data_folder_is_named() {
    let site = Site::new(&format!("data = \"/proc/millrace\"\n\n{STREAM}\n{MODEL}"));
    assert_says(&refused(&site, &["up"]), &["/proc/millrace"]);
}

#[test]
fn a_corrupt_queue_file_is_named() {
    let site = Site::new(&format!("{STREAM}\n{MODEL}"));
    let queue = site.data().join("queue/sleeper.sqlite");
    fs::create_dir_all(queue.parent().expect("it has one")).expect("the site is writable");
    fs::write(&queue, "this was a database once".repeat(1_000)).expect("the site is writable");
    assert_says(&refused(&site, &["up"]), &["sleeper.sqlite", "not a database"]);
}

#[test]
fn sql_mistakes_are_shown_with_their_position() {
    let site = Site::new(&format!("{STREAM}\n{MODEL}"));
    fs::create_dir(site.data()).expect("the site is writable");
    let text = refused(&site, &["query", "SELECT stream,\n       lable FROM detections"]);
    assert_says(&text, &["lable", "label", "line 2"]);
    let text = refused(&site, &["query", "DROP TABLE detections"]);
    assert_says(&text, &["DROP"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut command = Command::new(program("fake-camera"));
    command.args(["--listen", &address, "--mount", "gate=scene:seed=1,size=320x192,fps=10"]);
    let output = command.output().expect("fake-camera starts");
    assert!(!output.status.success());
    assert_says(&String::from_utf8_lossy(&output.stderr), &[&address, "in use"]);
}
