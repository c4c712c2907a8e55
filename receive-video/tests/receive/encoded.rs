//! The scene as other encoders code it, by ffmpeg's libx264; left out by `SKIP_PLAYERS=1` where ffmpeg is missing.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use media::FrameRate;
use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};

/// Pictures of a clip.
pub(crate) const PICTURES: i64 = 200;

/// A clip of 8 seconds with a bar code in each picture, in an MP4 file.
pub(crate) fn x264(folder: &Path, options: &[&str]) -> Option<PathBuf> {
    let clip = folder.join("clip.mp4");
    encode(folder, 0..PICTURES, options, &clip)?;
    Some(clip)
}

/// The same clip, its halves encoded with other options each.
pub(crate) fn x264_in_halves(folder: &Path, options: [&[&str]; 2]) -> Option<PathBuf> {
    let (joined, clip) = (folder.join("joined.h264"), folder.join("clip.mp4"));
    let mut bytes = Vec::new();
    for (pictures, options) in [0..PICTURES / 2, PICTURES / 2..PICTURES].into_iter().zip(options) {
        let half = folder.join("half.h264");
        encode(folder, pictures, options, &half)?;
        bytes.extend(std::fs::read(half).unwrap());
    }
    std::fs::write(&joined, bytes).unwrap();
    ffmpeg(&joined, &["-c", "copy"], &clip)?;
    Some(clip)
}

/// Pictures of the scene by libx264, into a file.
fn encode(folder: &Path, pictures: Range<i64>, options: &[&str], to: &Path) -> Option<()> {
    let bare = folder.join("scene.h264");
    std::fs::write(&bare, scene(pictures)).unwrap();
    let codec = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"];
    ffmpeg(&bare, &[&codec, options].concat(), to)
}

/// Runs ffmpeg on a file of 25 pictures a second; `None`, with a word about it, where it is missing and left out.
fn ffmpeg(from: &Path, options: &[&str], to: &Path) -> Option<()> {
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-r", "25", "-i"])
        .arg(from)
        .args(options)
        .arg(to)
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
    Some(())
}

fn scene(pictures: Range<i64>) -> Vec<u8> {
    let (width, height, fps) = (320, 192, FrameRate::new(25, 1).unwrap());
    let scene = Scene::new(SceneConfig { seed: 7, width, height, fps, shapes: 4 }).unwrap();
    let config = EncoderConfig { width, height, fps, bitrate: 2_000_000, key_interval: 25 };
    let mut encoder = Encoder::new(config).unwrap();
    let mut encode = |n: i64| {
        let picture = scene.render(n.unsigned_abs()).picture;
        encoder.encode(&picture, false).unwrap().data.to_vec()
    };
    pictures.flat_map(&mut encode).collect()
}
