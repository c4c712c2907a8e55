//! Every head from an ONNX file to detections, with the small models of `testdata/`.

use std::fs;
use std::path::{Path, PathBuf};

use media::RgbImage;
use model_inference::model::{Detection, onnx};
use services::ModelName;

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file)
}

/// Copies a model of `testdata/` into a folder, with a manifest beside it.
fn with_manifest(model: &str, manifest: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.onnx");
    fs::copy(testdata(model), &path).unwrap();
    fs::write(folder.path().join("copy.toml"), manifest).unwrap();
    (folder, path)
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage { width, height, data: vec![77; (width * height * 3) as usize] }
}

fn run(path: &Path, picture: RgbImage) -> Result<Vec<Detection>, String> {
    let name = ModelName::new("m").unwrap();
    let model = onnx::load(&name, path, None, u64::MAX).map_err(|error| error.to_string())?;
    let mut instance = model.instance().map_err(|error| error.to_string())?;
    instance.run(&[picture]).map_err(|error| error.to_string())
}

/// `label score x y w h` of each detection.
fn told(found: &[Detection]) -> Vec<String> {
    let told = |detection: &Detection| match detection.region {
        Some(r) => format!(
            "{} {:.2} {:.3} {:.3} {:.3} {:.3}",
            detection.label, detection.score, r.x, r.y, r.w, r.h
        ),
        None => format!("{} {:.2}", detection.label, detection.score),
    };
    found.iter().map(told).collect()
}

fn load_error(path: &Path) -> String {
    let error = run(path, picture(64, 32)).unwrap_err();
    let text = error.split_once("copy.onnx\": ").expect("the file is named").1;
    text.to_owned()
}

#[test]
fn raw_and_end_to_end_boxes_come_back_to_the_picture() {
    let expected = ["dog's 0.90 0.375 0.375 0.250 0.250", "cat 0.70 0.375 0.375 0.250 0.250"];
    for model in ["yolov8.onnx", "yolov5.onnx", "end2end.onnx"] {
        assert_eq!(told(&run(&testdata(model), picture(640, 320)).unwrap()), expected, "{model}");
    }
}

#[test]
fn a_letterboxed_picture_of_another_shape_is_undone() {
    // 64 × 64 becomes 32 × 32 in the middle of 64 × 32.
    let found = run(&testdata("yolov8.onnx"), picture(64, 64)).unwrap();
    assert_eq!(told(&found)[0], "dog's 0.90 0.250 0.375 0.500 0.250");
}

#[test]
fn class_blind_suppression_and_thresholds_come_from_the_manifest() {
    let manifest = "class_aware = false\nthresholds = { score = 0.05 }";
    let (_folder, path) = with_manifest("yolov8.onnx", manifest);
    let found = run(&path, picture(64, 32)).unwrap();
    let labels: Vec<&str> = found.iter().map(|detection| detection.label.as_str()).collect();
    assert_eq!(labels, ["dog's", "cat"], "one thing in the middle, one weak thing in the corner");
}

#[test]
fn an_ssd_s_boxes_are_read_with_the_background_left_out() {
    let (_folder, path) = with_manifest("ssd.onnx", "labels = [\"cat\", \"dog\"]");
    assert_eq!(told(&run(&path, picture(99, 50)).unwrap()), ["dog 0.90 0.250 0.250 0.500 0.250"]);
}

#[test]
fn a_classification_gives_its_best_classes() {
    let (_folder, path) = with_manifest("classify.onnx", "scores = \"probabilities\"");
    assert_eq!(told(&run(&path, picture(64, 32)).unwrap()), ["dog's 0.75", "cat 0.25"]);
}

#[test]
fn fastestdet_s_grid_is_read() {
    let (_folder, path) = with_manifest("fastestdet.onnx", "labels = [\"cat\", \"dog\"]");
    assert_eq!(told(&run(&path, picture(50, 50)).unwrap()), ["dog 1.00 0.250 0.250 0.500 0.500"]);
}

#[test]
fn a_window_of_pictures_goes_into_the_channels() {
    let name = ModelName::new("m").unwrap();
    let model = onnx::load(&name, &testdata("two_pictures.onnx"), None, u64::MAX).unwrap();
    assert_eq!(model.window, 2);
    let mut instance = model.instance().unwrap();
    assert_eq!(instance.run(&[picture(64, 32), picture(64, 32)]).unwrap().len(), 2);
    let error = instance.run(&[picture(64, 32)]).unwrap_err();
    assert_eq!(error.to_string(), "run model: 1 pictures came, expected 2");
}

#[test]
fn a_model_that_gives_no_numbers_is_an_error_not_an_empty_answer() {
    let error = run(&testdata("nan.onnx"), picture(64, 32)).unwrap_err();
    assert_eq!(error, "run model: output 0 has no finite value");
}

#[test]
fn a_classification_that_ends_in_a_sum_is_of_logits_whatever_its_values() {
    // 0.25 and 0.75, which are within 0 to 1 by chance.
    let found = run(&testdata("classify.onnx"), picture(64, 32)).unwrap();
    assert_eq!(told(&found), ["dog's 0.62", "cat 0.38"]);
}

#[test]
fn a_model_that_cannot_have_its_memory_is_refused_in_words() {
    let name = ModelName::new("m").unwrap();
    let load = |most| onnx::load(&name, &testdata("yolov8.onnx"), None, most);
    let error = load(20_000).unwrap_err().to_string();
    assert!(error.contains("bytes, at most 20000 are allowed"), "{error}");
    assert!(error.ends_with("(key `max_bytes` of the model)"), "{error}");
    load(100_000).unwrap();
}

#[test]
fn a_classification_with_a_value_that_is_no_number_is_an_error_not_an_empty_answer() {
    let error = run(&testdata("classify_nan.onnx"), picture(64, 32)).unwrap_err();
    assert_eq!(error, "run model: output has values that are not finite");
}

#[test]
fn the_version_is_the_file_s_content() {
    let name = ModelName::new("m").unwrap();
    let version = |file| onnx::load(&name, &testdata(file), None, u64::MAX).unwrap().version;
    assert_eq!(version("yolov8.onnx").len(), 16);
    assert_ne!(version("yolov8.onnx"), version("yolov5.onnx"));
    let (_folder, path) = with_manifest("yolov8.onnx", "version = \"7\"");
    assert_eq!(onnx::load(&name, &path, None, u64::MAX).unwrap().version, "7");
}

#[test]
fn what_does_not_fit_is_named_with_what_came_and_what_was_expected() {
    let cases = [
        (
            "yolov8.onnx",
            "labels = [\"one\"]",
            "copy.toml has 1 label, output \"output0\" [1, 6, 16] has 2 classes",
        ),
        (
            "yolov8.onnx",
            "head = \"ssd\"",
            "output \"output0\" [1, 6, 16] came, expected [1, n, 4] and [1, n, classes] for head \"ssd\"",
        ),
        (
            "yolov8.onnx",
            "input_size = [64, 64]",
            "input \"images\" is [1, 3, 32, 64], the manifest has input_size = (64, 64) (width, height)",
        ),
        ("yolov5.onnx", "input_size = [0, 9]", "expected sides of 1 to 8192"),
        ("bytes.onnx", "", "input \"images\" holds u8, expected 32- or 16-bit floats"),
        (
            "nhwc.onnx",
            "",
            "input \"images\" is [1, 300, 300, 3] (NHWC), expected [1, 3, height, width]",
        ),
    ];
    for (model, manifest, expected) in cases {
        let (_folder, path) = with_manifest(model, manifest);
        let error = load_error(&path);
        assert!(error.contains(expected), "{manifest}: {error}");
    }
}

#[test]
fn a_file_that_is_no_onnx_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.onnx");
    for bytes in [
        &b"this is a text, and not a short one"[..],
        b"",
        &fs::read(testdata("yolov8.onnx")).unwrap()[..200],
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(!load_error(&path).is_empty());
    }
}
