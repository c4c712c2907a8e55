//! Streams that our own encoder does not make, made and decoded by ffmpeg where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use media::h264::AnnexBReader;
use media::{AccessUnit, FrameRate, Picture};

/// A test picture that moves, of this size, 25 a second.
pub(crate) fn source(width: u32, height: u32, frames: u32) -> String {
    format!("testsrc2=size={width}x{height}:rate=25,trim=end_frame={frames}")
}

/// What ffmpeg writes to standard output; `None`, with a word about it, where it is missing and left out.
pub(crate) fn ffmpeg(args: &[&str]) -> Option<Vec<u8>> {
    let quiet = ["-hide_banner", "-loglevel", "error", "-nostdin", "-y"];
    output("ffmpeg", &[&quiet, args].concat())
}

/// The same of ffprobe, which comes with it.
pub(crate) fn ffprobe(args: &[&str]) -> Option<Vec<u8>> {
    output("ffprobe", &[&["-v", "error"], args].concat())
}

fn output(program: &str, args: &[&str]) -> Option<Vec<u8>> {
    let made = match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(made) => made,
        Err(_) if std::env::var_os("SKIP_PLAYERS").is_some_and(|skip| skip == "1") => {
            println!("skipped: {program} is missing, and SKIP_PLAYERS=1");
            return None;
        }
        Err(error) => panic!(
            "run {program}: {error} (`tools/setup.sh test` installs it; SKIP_PLAYERS=1 leaves it out)"
        ),
    };
    assert!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
    Some(made.stdout)
}

/// A byte stream by libx264 of a moving test picture.
pub(crate) fn x264(size: (u32, u32), frames: u32, options: &[&str]) -> Option<Vec<u8>> {
    x264_into("-", size, frames, &[options, &["-f", "h264"]].concat())
}

/// The same, into a file.
pub(crate) fn x264_into(
    file: &str,
    size: (u32, u32),
    frames: u32,
    options: &[&str],
) -> Option<Vec<u8>> {
    let source = source(size.0, size.1, frames);
    let input = ["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "veryfast"];
    let plain = ["-pix_fmt", "yuv420p", "-threads", "1"];
    ffmpeg(&[&input[..], &plain, options, &[file]].concat())
}

/// The access units of a byte stream.
pub(crate) fn units(stream: &[u8]) -> Vec<AccessUnit> {
    let mut reader = AnnexBReader::new(FrameRate::new(25, 1));
    let mut units = reader.push(stream).unwrap();
    units.extend(reader.finish());
    units
}

/// The luma of all pictures as ffmpeg decodes them from a file.
pub(crate) fn luma(file: &Path, (width, height): (u32, u32)) -> Option<Vec<Vec<u8>>> {
    let file = file.to_str().unwrap();
    let options = ["-vsync", "passthrough", "-vf", "extractplanes=y", "-f", "rawvideo", "-"];
    let raw = ffmpeg(&[&["-i", file][..], &options].concat())?;
    Some(raw.chunks((width * height) as usize).map(<[u8]>::to_vec).collect())
}

/// Asserts that a picture is what ffmpeg decoded; a few pixels may differ by a little where there are B-frames.
pub(crate) fn assert_same(picture: &Picture, luma: &[u8]) {
    let own = &picture.planes().y;
    assert_eq!(own.len(), luma.len());
    let far = own.iter().zip(luma).filter(|(a, b)| a.abs_diff(**b) > 3).count();
    assert!(far * 200 < luma.len(), "{far} pixels of the picture at {} differ", picture.pts);
}
