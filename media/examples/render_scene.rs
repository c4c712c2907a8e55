//! Renders frames of the synthetic scene as JPEG files, with what is in them, to train and test detectors on.
//!
//! `OUT/000042.jpg` is frame 42; `OUT/truth.json` lists every file with its frame number, size and shapes: class,
//! label, box (x, y, w, h as fractions, from the upper left corner) and the visible fraction.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use media::scene::{LABELS, Scene, SceneConfig, Truth};
use media::{FrameRate, jpeg};
use serde_json::{Value, json};

/// Renders frames of the synthetic scene as JPEG files with a truth.json beside them.
#[derive(Parser)]
struct Arguments {
    /// Seed of the scene
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of frames to write
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// First frame
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Frames from one written frame to the next
    #[arg(long, default_value_t = 1)]
    step: u64,
    /// Width in pixels
    #[arg(long, default_value_t = 640)]
    width: u32,
    /// Height in pixels
    #[arg(long, default_value_t = 360)]
    height: u32,
    /// Frames per second
    #[arg(long, default_value_t = 25.0)]
    fps: f64,
    /// Number of shapes
    #[arg(long, default_value_t = 6)]
    shapes: u8,
    /// JPEG quality, 1 to 100
    #[arg(long, default_value_t = 85)]
    quality: u8,
    /// Folder to write to; made when it does not exist
    #[arg(long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let fps = FrameRate::from_decimal(arguments.fps).context("fps must be 0.001 to 1000")?;
    let Arguments { seed, width, height, shapes, .. } = arguments;
    let scene = Scene::new(SceneConfig { seed, width, height, fps, shapes })?;
    std::fs::create_dir_all(&arguments.out)?;
    let frames = (0..arguments.count)
        .map(|index| write_frame(&scene, arguments.first + index * arguments.step, &arguments))
        .collect::<anyhow::Result<Vec<Value>>>()?;
    let truth = json!({ "seed": seed, "labels": LABELS, "frames": frames });
    write(&arguments.out.join("truth.json"), serde_json::to_string(&truth)?.as_bytes())
}

fn write_frame(scene: &Scene, frame: u64, arguments: &Arguments) -> anyhow::Result<Value> {
    let rendered = scene.render(frame);
    let file = format!("{frame:06}.jpg");
    write(&arguments.out.join(&file), &jpeg::encode(&rendered.picture, arguments.quality)?)?;
    let objects: Vec<Value> = rendered.truth.iter().map(object).collect();
    let (width, height) = (arguments.width, arguments.height);
    Ok(
        json!({ "file": file, "frame": frame, "width": width, "height": height, "objects": objects }),
    )
}

fn object(truth: &Truth) -> Value {
    json!({
        "class_id": truth.class_id,
        "label": truth.label,
        "x": truth.x,
        "y": truth.y,
        "w": truth.w,
        "h": truth.h,
        "visible": truth.visible,
    })
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
