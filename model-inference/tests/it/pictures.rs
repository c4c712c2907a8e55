//! Real models on real pictures: FastestDet against a reference, the demo model and the circle detector against
//! the synthetic scene's truth.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use media::h264::{Decoder, OpenH264Decoder};
use media::mp4::Mp4Video;
use media::scene::{Scene, SceneConfig, Truth};
use media::{Picture, RgbImage, jpeg};
use model_inference::model::{Algorithm, Detection, Region, load, onnx};
use serde::Deserialize;
use services::ModelName;
use services::config::ModelConfig;

use super::support::{model_name, shared_media};

const MAX_PIXELS: u64 = 1 << 26;

#[derive(Debug, Deserialize)]
struct Expected {
    picture: usize,
    detections: Vec<ExpectedBox>,
}

#[derive(Debug, Deserialize)]
struct ExpectedBox {
    label: String,
    score: f32,
    x: f32,
    y: f32,
    w: f32,
    h: f32,
}

fn iou(a: Region, b: Region) -> f32 {
    let overlap = |a: f32, aw: f32, b: f32, bw: f32| ((a + aw).min(b + bw) - a.max(b)).max(0.0);
    let shared = overlap(a.x, a.w, b.x, b.w) * overlap(a.y, a.h, b.y, b.h);
    shared / (a.w * a.h + b.w * b.h - shared)
}

fn is_found(found: &[Detection], label: &str, region: Region, least: f32) -> bool {
    found.iter().any(|detection| {
        detection.label == label
            && detection.region.is_some_and(|other| iou(other, region) >= least)
    })
}

/// What the worker sees of a picture: through a JPEG, at a size that covers what the model needs.
fn as_received(picture: &Picture, model: &model_inference::model::Model) -> RgbImage {
    let bytes = jpeg::encode(picture, 85).unwrap();
    jpeg::decode(&bytes, model.needs((picture.width(), picture.height())), MAX_PIXELS).unwrap()
}

fn decoded(path: &Path) -> Vec<Picture> {
    let mut video = Mp4Video::open(path).unwrap();
    let mut decoder = OpenH264Decoder::new(MAX_PIXELS).unwrap();
    let mut pictures = Vec::new();
    for unit in video.units() {
        pictures.extend(decoder.decode(&unit.unwrap()).unwrap());
    }
    pictures.extend(decoder.flush().unwrap());
    pictures
}

#[test]
fn fastestdet_finds_what_the_reference_implementation_finds() {
    let Some(clip) = shared_media("bottle-detection.mp4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("fastestdet.toml");
    let labels = clip.with_file_name("coco.names");
    let text = format!(
        "head = \"fastestdet\"\ncolour = \"bgr\"\nresize = \"stretch\"\nlabels = {:?}\n\
         thresholds = {{ score = 0.65, iou = 0.45 }}\n",
        labels.canonicalize().unwrap()
    );
    fs::write(&manifest, text).unwrap();
    let name = ModelName::new("fastestdet").unwrap();
    let model =
        onnx::load(&name, &clip.with_file_name("FastestDet.onnx"), Some(&manifest), u64::MAX)
            .unwrap();
    let mut instance = model.instance().unwrap();

    let reference =
        fs::read_to_string(clip.with_file_name("bottle-detection.reference.json")).unwrap();
    let reference: Vec<Expected> = serde_json::from_str(&reference).unwrap();
    let pictures = decoded(&clip);
    assert_eq!(pictures.len(), 1_189);
    let (mut matched, mut sure, mut given) = (0, 0, 0);
    let mut took = Duration::ZERO;
    for expected in &reference {
        let received = as_received(&pictures[expected.picture], &model);
        let begin = Instant::now();
        let found = instance.run(&[received]).unwrap();
        took += begin.elapsed();
        given += found.len();
        for wanted in expected.detections.iter().filter(|wanted| wanted.score >= 0.70) {
            let region = Region { x: wanted.x, y: wanted.y, w: wanted.w, h: wanted.h };
            sure += 1;
            matched += u32::from(is_found(&found, &wanted.label, region, 0.7));
        }
    }
    let millis = took.as_secs_f64() * 1e3 / reference.len() as f64;
    println!("matched {matched} of {sure}; {given} given; {millis:.1} ms a run");
    assert!(sure >= 50, "the reference has {sure}");
    assert!(f64::from(matched) >= 0.95 * f64::from(sure), "{matched} of {sure}");
    let all: usize = reference.iter().map(|expected| expected.detections.len()).sum();
    assert!(given.abs_diff(all) <= all / 10, "{given} detections, the reference has {all}");
}

/// How many of the well visible shapes on pictures never trained on are found, and how many answers are false.
fn scene_recall(
    model: &model_inference::model::Model,
    instance: &mut dyn Algorithm,
    is_wanted: impl Fn(&Truth) -> bool,
) -> (f64, f64) {
    let (mut wanted, mut found_of_them, mut answers, mut right) = (0, 0, 0, 0);
    for seed in 900_001..900_009 {
        let scene = Scene::new(SceneConfig { seed, ..SceneConfig::default() }).unwrap();
        for frame in [40, 400, 4_000] {
            let rendered = scene.render(frame);
            let found = instance.run(&[as_received(&rendered.picture, model)]).unwrap();
            answers += found.len();
            for truth in &rendered.truth {
                let region = Region { x: truth.x, y: truth.y, w: truth.w, h: truth.h };
                let is_found = is_found(&found, truth.label, region, 0.5);
                right += usize::from(is_found);
                if is_wanted(truth) {
                    wanted += 1;
                    found_of_them += usize::from(is_found);
                }
            }
        }
    }
    assert!(wanted >= 10, "{wanted} shapes are too few to judge by");
    (found_of_them as f64 / wanted as f64, right as f64 / answers.max(1) as f64)
}

#[test]
fn the_demo_model_finds_the_shapes_of_scenes_it_was_not_trained_on() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/shapes.onnx");
    let model = onnx::load(&ModelName::new("shapes").unwrap(), &path, None, u64::MAX).unwrap();
    let mut instance = model.instance().unwrap();
    let (recall, precision) = scene_recall(&model, instance.as_mut(), |truth| truth.visible >= 0.5);
    println!("recall {recall:.3}, precision {precision:.3}");
    assert!(recall >= 0.9, "recall {recall:.3}");
    assert!(precision >= 0.8, "precision {precision:.3}");
}

#[test]
fn the_circle_detector_finds_the_scene_s_circles() {
    let config: ModelConfig = toml::from_str("algorithm = \"circles\"").unwrap();
    let model = load(&model_name(), &config).unwrap();
    let mut instance = model.instance().unwrap();
    let is_wanted = |truth: &Truth| truth.label == "circle" && truth.visible >= 0.9;
    let (recall, precision) = scene_recall(&model, instance.as_mut(), is_wanted);
    println!("recall {recall:.3}, precision {precision:.3}");
    assert!(recall >= 0.9, "recall {recall:.3}");
    assert!(precision >= 0.9, "precision {precision:.3}");
}
