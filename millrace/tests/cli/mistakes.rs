//! What goes wrong before anything runs ends in one line that names it.

use std::fs;

use crate::site::Site;

const SCENE: &str = "[streams.gate]\nurl = \"scene:?seconds=2\"\n";
const SHAPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/shapes.onnx");

#[test]
fn init_writes_a_file_once() {
    let site = Site::empty();
    site.run(&["init"]).ok();
    let error = site.run(&["init"]).error();
    assert_eq!(error, "millrace: write configuration millrace.toml: it exists already\n");
    assert!(fs::read_to_string(site.path("millrace.toml")).unwrap().contains("[streams.gate]"));
}

#[test]
fn validate_names_the_mistake() {
    let site = Site::new(&format!("{SCENE}[models.m]\nalgorithm = \"circles\"\nsampel = {{}}\n"));
    let error = site.run(&["validate"]).error();
    assert!(
        error.contains(
            "millrace.toml:5:1: key \"models.m.sampel\": unknown key; did you mean \"sample\"?"
        ),
        "{error}"
    );
}

#[test]
fn validate_says_what_it_found() {
    let site = Site::new(&format!("{SCENE}[models.m]\nalgorithm = \"circles\"\n"));
    let said = site.run(&["validate"]).ok();
    assert_eq!(said, "millrace.toml: 1 stream and 1 model are well described; data in data\n");
}

#[test]
fn validate_says_how_a_model_is_understood() {
    let site = Site::new(&format!("{SCENE}[models.m]\npath = {SHAPES:?}\n"));
    let said = site.run(&["validate"]).ok();
    let (_, understood) = said.split_once("model \"m\" is understood as\n").expect(&said);
    for name in ["head", "input", "colour", "values", "fit", "labels", "thresholds"] {
        let is_said = |line: &str| line.trim_start().starts_with(name);
        assert!(understood.lines().any(is_said), "{name} in\n{said}");
    }
}

#[test]
fn validate_tells_all_mistakes_those_of_models_and_addresses_too() {
    let site = Site::new(
        "dta = \"d\"\n[streams.gate]\nurl = \"scene:?bogus=1\"\n[models.none]\npath = \"none.onnx\"\n\
         [models.m]\nalgorithm = \"circles\"\nsampel = {}\n",
    );
    let error = site.run(&["validate"]).error();
    let mut lines = error.lines();
    assert_eq!(lines.next(), Some("millrace: 4 mistakes"), "{error}");
    for words in [
        "millrace.toml:1:1: key \"dta\": unknown key; did you mean \"data\"?",
        "millrace.toml:8:1: key \"models.m.sampel\": unknown key; did you mean \"sample\"?",
        "model \"none\": read model \"none.onnx\": No such file",
        "stream \"gate\": scene url: \"bogus\" is not known",
    ] {
        assert!(error.lines().any(|line| line.contains(words)), "{words:?} in\n{error}");
    }
    assert_eq!(lines.count(), 4, "{error}");
}

#[test]
fn validate_tells_one_mistake_once() {
    let site = Site::new(&format!("{SCENE}[models.m]\nalgorithm = \"yolov8n\"\n"));
    let error = site.run(&["validate"]).error();
    let told =
        "key \"models.m.algorithm\": found \"yolov8n\", wanted \"circles\" or \"sleep:DURATION\"\n";
    assert_eq!(error, format!("millrace: millrace.toml:4:13: {told}"));
}

#[test]
fn text_that_is_not_utf8_is_told() {
    let site = Site::empty();
    fs::write(site.path("millrace.toml"), b"# \xe9\n").unwrap();
    let error = site.run(&["validate"]).error();
    assert_eq!(error, "millrace: millrace.toml: not TOML: its text is not UTF-8\n");
}

#[test]
fn a_query_that_fails_is_told_in_our_words_alone() {
    let site = Site::new(&format!("{SCENE}[models.m]\nalgorithm = \"circles\"\n"));
    site.run(&["up"]).ok();
    let ask = |sql| site.run(&["query", sql]).error();
    assert_eq!(
        ask("SELECT count(*) FROM detections WHERE captured_at > '2026-11-28 05:50'"),
        "millrace: run query: \"2026-11-28 05:50\" is no time, expected one such as \"2026-11-21 12:00:00\"\n"
    );
    assert_eq!(ask("SELECT 1/0"), "millrace: run query: divide by zero error\n");
}

#[test]
fn validate_reads_addresses_as_the_receiver_does() {
    for (url, cause) in [
        ("rtsp://gate:s3cret@camera:99999/x", "its url cannot be read: invalid port number"),
        ("scene:?bogus=1", "scene url: \"bogus\" is not known"),
    ] {
        let site = Site::new(&format!("[streams.gate]\nurl = \"{url}\"\n"));
        let error = site.run(&["validate"]).error();
        assert!(
            error.starts_with("millrace: stream \"gate\": ") && error.contains(cause),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn validate_takes_the_environment_alone() {
    let site = Site::empty();
    let error = site.run(&["validate"]).error();
    assert!(error.contains("no millrace.toml here; \"millrace init\""), "{error}");
    let mut validate = site.command(&["validate"]);
    validate.env("MILLRACE_STREAMS__GATE__URL", "scene:");
    validate.env("MILLRACE_MODELS__M__ALGORITHM", "circles");
    let said = String::from_utf8(validate.output().unwrap().stdout).unwrap();
    assert!(said.starts_with("the environment: 1 stream and 1 model are well described"), "{said}");
}

#[test]
fn validate_finds_files_that_are_missing() {
    let site = Site::new(&format!("{SCENE}[models.m]\npath = \"none.onnx\"\n"));
    let error = site.run(&["validate"]).error();
    assert!(error.contains("model \"m\": read model \"none.onnx\": No such file"), "{error}");
}

#[test]
fn validate_finds_a_model_that_takes_another_number_of_frames() {
    let model = "[models.m]\nalgorithm = \"circles\"\nsample = { frames = 2 }\n";
    let error = Site::new(&format!("{SCENE}{model}")).run(&["validate"]).error();
    assert!(error.contains("m takes 1 frame per run"), "{error}");
}

#[test]
fn the_schema_is_json() {
    let schema = Site::empty().run(&["validate", "--schema"]).ok();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["streams"].is_object());
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let error = Site::empty().run(&["up", "-c", "other.toml"]).error();
    assert!(error.starts_with("millrace: other.toml: read configuration: No such file"), "{error}");
    let error = Site::empty().run(&["up"]).error();
    assert!(error.contains("millrace init"), "{error}");
}

#[test]
fn a_data_folder_that_is_not_there_is_named() {
    let site = Site::empty();
    for command in [&["query", "SELECT 1"][..], &["audit"], &["dead-letters", "list"]] {
        let error = site.run(command).error();
        assert!(error.contains("open data folder \"data\": No such file"), "{error}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let site = Site::new(&format!("data = \"file\"\n{SCENE}[models.m]\nalgorithm = \"circles\"\n"));
    fs::write(site.path("file"), "").unwrap();
    let error = site.run(&["up"]).error();
    assert!(error.contains("file/objects"), "{error}");
}

#[test]
fn a_missing_model_is_named() {
    let site = Site::new(&format!("{SCENE}[models.m]\npath = \"none.onnx\"\n"));
    let error = site.run(&["up"]).error();
    assert!(error.contains("none.onnx"), "{error}");
}

/// The first bytes of a Matroska file with H.264, as ffmpeg writes it.
const MATROSKA: &[u8] = b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska\x86\x8fV_MPEG4/ISO/AVC";

#[test]
fn probe_takes_a_file_and_says_what_else_it_takes() {
    let site = Site::empty();
    for (source, words) in [
        ("none.mp4", "\"none.mp4\" is neither a file nor a stream of the configuration"),
        ("clips/none.mp4", "SOURCE \"clips/none.mp4\" is no file; wanted rtsp://HOST"),
        ("http://gate:s3cret@h/x", "SOURCE begins with \"http:\"; wanted rtsp://HOST"),
        ("gate:s3cret@10.0.0.5/x", "SOURCE (not shown) is no file; wanted rtsp://HOST"),
        ("rtsp://", "SOURCE: names no host, wanted rtsp://HOST"),
    ] {
        let error = site.run(&["probe", source]).error();
        assert!(error.contains(words), "{source}: {error}");
        assert!(!error.contains("streams.probed") && !error.contains("s3cret"), "{error}");
    }
    fs::write(site.path("gate clip.mkv"), MATROSKA).unwrap();
    let error = site.run(&["probe", "gate clip.mkv"]).error();
    let told = "it is Matroska: `ffmpeg -i 'gate clip.mkv' -c copy 'gate clip.mp4'`";
    assert_eq!(error, format!("millrace: read file \"gate clip.mkv\": {told}\n"));
}

#[test]
fn probe_takes_a_stream_of_the_configuration_before_a_file_of_its_name() {
    let site = Site::new(SCENE);
    fs::write(site.path("gate"), MATROSKA).unwrap();
    assert!(site.run(&["probe", "gate"]).ok().contains("H.264"));
    let error = site.run(&["probe", "yard"]).error();
    assert!(error.contains("(millrace.toml defines gate)"), "{error}");
}

#[test]
fn validate_opens_files_of_video() {
    let site =
        Site::new("[streams.gate]\nurl = \"file:gate.mkv\"\n[models.m]\nalgorithm = \"circles\"\n");
    fs::write(site.path("gate.mkv"), MATROSKA).unwrap();
    let error = site.run(&["validate"]).error();
    assert!(error.contains("it is Matroska: `ffmpeg -i "), "{error}");
}

#[test]
fn run_says_which_command_asks_about_a_camera() {
    let error = Site::empty().run(&["run", "rtsp://me:s3cret@h/x", "--model", "circles"]).error();
    assert!(error.contains("VIDEO begins with \"rtsp:\"; wanted a file"), "{error}");
    assert!(error.contains("\"millrace up\"") && !error.contains("s3cret"), "{error}");
}

#[test]
fn run_says_what_a_model_is_and_where_it_comes_from() {
    let site = Site::empty();
    fs::write(site.path("clip.mp4"), "").unwrap();
    let ask = |model| site.run(&["run", "clip.mp4", "--model", model]).error();
    for model in ["yolov8n", "yolov8n.pt"] {
        let error = ask(model);
        assert!(
            error.contains("there is no such file; wanted an ONNX file, or the algorithm"),
            "{error}"
        );
        assert!(error.contains("\"yolo export model=yolov8n.pt format=onnx\""), "{error}");
        assert!(error.contains("models/shapes.onnx"), "{error}");
    }
    fs::write(site.path("yolov8n.onnx"), "").unwrap();
    let error = ask("yolov8n");
    assert!(error.ends_with("There is \"yolov8n.onnx\"\n"), "{error}");
    let error = ask(".");
    assert!(error.contains("--model \".\": it is a folder"), "{error}");
}

#[test]
fn a_run_that_fails_before_it_begins_leaves_no_folder() {
    let site = Site::empty();
    fs::write(site.path("clip.mp4"), "").unwrap();
    for sql in ["nonsense", "SELECT nothing FROM frames"] {
        site.run(&["run", "clip.mp4", "--model", "circles", "--sql", sql]).error();
        assert!(!site.path("data").exists());
    }
}

#[test]
fn what_ends_a_run_is_said_once() {
    let site = Site::empty();
    fs::write(site.path("clip.mkv"), MATROSKA).unwrap();
    fs::write(site.path("page.onnx"), "<!DOCTYPE html><title>Not found</title>").unwrap();
    for (model, words) in
        [("circles", "it is Matroska"), ("page.onnx", "it is a web page, no ONNX file")]
    {
        let said = site.run(&["run", "clip.mkv", "--model", model]);
        assert_eq!(said.err.matches(words).count(), 1, "{said:?}");
    }
}

#[test]
fn a_wrong_flag_is_named_and_no_key_that_nobody_wrote() {
    let site = Site::empty();
    fs::write(site.path("clip.mp4"), "").unwrap();
    let error = site.run(&["run", "clip.mp4", "--model", "circles", "--every", "soon"]).error();
    assert!(error.starts_with("millrace: --every: found "), "{error}");
}

#[test]
fn a_wrong_log_filter_is_named() {
    let error = Site::empty().run(&["--log", "loud=very", "validate"]).error();
    assert!(error.contains("read log filter \"loud=very\""), "{error}");
}

/// The binary in the folder, told by the shell how many files it may have open: softly, and at most.
fn with_descriptors(site: &Site, soft: u32, hard: u32) -> std::process::Output {
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" up");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limits, env!("CARGO_BIN_EXE_millrace")]).current_dir(site.path("."));
    shell.output().unwrap()
}

#[test]
fn descriptors_are_raised_to_what_is_allowed_and_refused_in_words_beyond() {
    let streams = |n: u32| -> String {
        (0..n)
            .map(|n| format!("[streams.s{n}]\nurl = \"scene:?width=160&height=90&seconds=0.2\"\n"))
            .collect()
    };
    let model = "[models.m]\nalgorithm = \"circles\"\n";
    let few = Site::new(&format!("{}{model}", streams(3)));
    let ended = with_descriptors(&few, 32, 256);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let many = Site::new(&format!("{}{model}", streams(60)));
    let error = String::from_utf8(with_descriptors(&many, 64, 128).stderr).unwrap();
    assert!(error.contains("open files (streams: 60, models: 1) and may have 128"), "{error}");
}
