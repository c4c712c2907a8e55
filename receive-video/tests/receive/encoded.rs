//! The scene as other encoders code it, by ffmpeg's libx264; left out by `SKIP_PLAYERS=1` where ffmpeg is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use media::FrameRate;
use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};

/// Pictures of a clip.
pub(crate) const PICTURES: i64 = 200;

/// A clip of 8 seconds with a bar code in each picture, in an MP4 file.
pub(crate) fn x264(folder: &Path, options: &[&str]) -> Option<PathBuf> {
    let (bare, clip) = (folder.join("scene.h264"), folder.join("clip.mp4"));
    std::fs::write(&bare, scene()).unwrap();
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-r", "25", "-i"])
        .arg(&bare)
        .args(["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"])
        .args(options)
        .arg(&clip)
        .stdin(Stdio::null())
        .output();
    let made = match made {
        Ok(made) => made,
        Err(_) if std::env::var("SKIP_PLAYERS").is_ok_and(|skip| skip == "1") => {
            println!("skipped: ffmpeg is missing, and SKIP_PLAYERS=1");
            return None;
        }
        Err(error) => panic!(
            "run ffmpeg: {error} (`tools/setup.sh test` installs it; SKIP_PLAYERS=1 leaves it out)"
        ),
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(clip)
}

fn scene() -> Vec<u8> {
    let (width, height, fps) = (320, 192, FrameRate::new(25, 1).unwrap());
    let scene = Scene::new(SceneConfig { seed: 7, width, height, fps, shapes: 4 }).unwrap();
    let config = EncoderConfig { width, height, fps, bitrate: 2_000_000, key_interval: 25 };
    let mut encoder = Encoder::new(config).unwrap();
    let mut encode = |n: i64| {
        let picture = scene.render(n.unsigned_abs()).picture;
        encoder.encode(&picture, false).unwrap().data.to_vec()
    };
    (0..PICTURES).flat_map(&mut encode).collect()
}
