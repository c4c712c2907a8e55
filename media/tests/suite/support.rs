//! What several tests use.

use std::path::PathBuf;

use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};
use media::{AccessUnit, Colour, FrameRate, Picture, Planes};

pub(crate) const WIDTH: u32 = 320;
pub(crate) const HEIGHT: u32 = 180;

pub(crate) fn fps() -> FrameRate {
    FrameRate::new(25, 1).unwrap()
}

/// The first frames of a scene, encoded with a key frame every 10.
pub(crate) fn encoded(width: u32, height: u32, frames: u64, bitrate: u32) -> Vec<AccessUnit> {
    let config = SceneConfig { seed: 5, width, height, fps: fps(), shapes: 6 };
    let scene = Scene::new(config).unwrap();
    let config = EncoderConfig { width, height, fps: fps(), bitrate, key_interval: 10 };
    let mut encoder = Encoder::new(config).unwrap();
    let render = |frame| scene.render(frame).picture;
    (0..frames).map(|frame| encoder.encode(&render(frame), false).unwrap()).collect()
}

/// A picture of one colour.
pub(crate) fn flat(width: u32, height: u32, rgb: [u8; 3], colour: Colour) -> Picture {
    let [y, u, v] = colour.of_rgb(rgb);
    let plane = |value, width: u32, height: u32| vec![value; (width * height) as usize].into();
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let planes = Planes {
        y: plane(y, width, height),
        u: plane(u, half_width, half_height),
        v: plane(v, half_width, half_height),
    };
    Picture::new(width, height, planes, colour, 0).unwrap()
}

/// Asserts that two colours are the same within a tolerance.
pub(crate) fn assert_close(found: [u8; 3], expected: [u8; 3], tolerance: u8) {
    let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(near, "{found:?} is not within {tolerance} of {expected:?}");
}

/// A real clip; `None`, with a word about it, where there is none.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/media").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: ../shared/media is missing");
    None
}
