//! Files as ffmpeg writes them, told by what is in them, and their remedies, carried out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::source::units::of_file;

/// Runs a shell's line in a folder.
fn sh(folder: &Path, line: &str) {
    let ended = Command::new("bash").args(["-c", line]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{line}\n{said}");
}

/// A folder with six pictures of H.264 in MP4.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = "ffmpeg -v error -f lavfi -i testsrc=size=64x48:rate=25:duration=0.24";
    sh(folder.path(), &format!("{source} -pix_fmt yuv420p -c:v libx264 base.mp4"));
    folder
}

/// Why a file is refused.
fn refusal(path: &Path) -> String {
    of_file(path, None).err().unwrap_or_else(|| panic!("{path:?} is read")).to_string()
}

/// What stands between the backticks.
fn command(words: &str) -> &str {
    words.split('`').nth(1).unwrap_or_else(|| panic!("no command in {words}"))
}

/// Makes a file, and does with it what the refusal says.
fn remedied(folder: &Path, make: &str, file: &str, expected: &str) -> PathBuf {
    let made = Path::new("made").with_extension(Path::new(file).extension().unwrap());
    sh(folder, &format!("ffmpeg -v error -y -i base.mp4 {make} {}", made.display()));
    fs::rename(folder.join(made), folder.join(file)).unwrap();
    let words = refusal(&folder.join(file));
    assert!(words.contains(&format!("it is {expected}: `ffmpeg -i ")), "{file}: {words}");
    let copies = make.contains("copy");
    assert_eq!(words.contains("libx264"), !copies, "{words}");
    sh(folder, &command(&words).replacen("ffmpeg", "ffmpeg -v error -y", 1));
    folder.join(file).with_extension("mp4")
}

#[test]
fn what_is_no_mp4_becomes_one_by_the_command_that_is_named() {
    let folder = folder();
    for (make, file, expected) in [
        ("-c copy", "a.mkv", "Matroska"),
        ("-c copy", "my clip's.mkv", "Matroska"),
        ("-c copy", "b.flv", "FLV"),
        ("-c copy", "c.ts", "MPEG-TS"),
        ("-c copy -mpegts_m2ts_mode 1", "d.m2ts", "MPEG-TS"),
        ("-c:v libvpx", "e.webm", "WebM"),
        ("-c:v libx265 -x265-params log-level=none", "f.mkv", "Matroska"),
        ("-c:v mpeg4", "g.avi", "AVI"),
        ("-c:v libx265 -x265-params log-level=none", "h.ts", "MPEG-TS"),
        ("-c:v mpeg2video", "i.mpg", "MPEG-PS"),
        ("-c:v flv1", "j.flv", "FLV"),
        ("-c:v libtheora", "k.ogv", "Ogg"),
        ("-vf crop=63:47", "l.gif", "a GIF"),
        ("-frames:v 1", "m.jpg", "JPEG"),
        ("-frames:v 1", "n.png", "a PNG picture"),
        ("-c:v libx265 -x265-params log-level=none", "o.h265", "bare H.265"),
        ("-c:v mpeg2video", "p.m2v", "bare MPEG-2 video"),
        ("-c:v wmv2", "q.wmv", "ASF (WMV)"),
    ] {
        let made = remedied(folder.path(), make, file, expected);
        let (units, _) = of_file(&made, None).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(units.map(Result::unwrap).count() > 0, "{file}");
    }
}

#[test]
fn matroska_without_other_tracks_is_copied_whole() {
    let folder = folder();
    sh(folder.path(), "ffmpeg -v error -i base.mp4 -c copy x.mkv");
    let path = folder.path().join("x.mkv");
    let head = fs::read(&path).unwrap();
    let Kind::Foreign(foreign) = Kind::of(&head) else { panic!("Matroska") };
    let advice = foreign.advice(Path::new("x.mkv"));
    assert_eq!(advice, "it is Matroska: `ffmpeg -i x.mkv -c copy x.mp4`");
    sh(
        folder.path(),
        "ffmpeg -v error -i base.mp4 -f lavfi -i sine=duration=0.2 -c:v copy -c:a pcm_s16le y.mkv",
    );
    let words = refusal(&folder.path().join("y.mkv"));
    assert!(words.contains("-map 0:v:0 -c copy"), "{words}");
    sh(folder.path(), command(&words));
}

#[test]
fn another_codec_in_mp4_or_quicktime_is_encoded_anew() {
    let folder = folder();
    for (make, file, name) in [
        ("-c:v libx265 -x265-params log-level=none -tag:v hvc1", "a.mp4", "hvc1 (H.265)"),
        ("-c:v mjpeg", "b.mov", "jpeg (Motion JPEG)"),
        ("-c:v prores", "c.mov", "apcn"),
    ] {
        sh(folder.path(), &format!("ffmpeg -v error -i base.mp4 {make} {file}"));
        let words = refusal(&folder.path().join(file));
        assert!(words.contains(&format!("its video is {name}, not H.264: `ffmpeg")), "{words}");
        sh(folder.path(), command(&words));
    }
    assert!(of_file(&folder.path().join("a-h264.mp4"), None).is_ok());
}

#[test]
fn a_part_of_a_fragmented_file_is_joined_to_its_beginning() {
    let folder = folder();
    sh(
        folder.path(),
        "ffmpeg -v error -i base.mp4 -c copy -f dash -init_seg_name init.mp4 -media_seg_name part.m4s x.mpd",
    );
    let words = refusal(&folder.path().join("part.m4s"));
    assert!(words.contains("it is a part of a fragmented MP4: `cat INIT "), "{words}");
    sh(folder.path(), &command(&words).replace("INIT", "init.mp4"));
    assert!(of_file(&folder.path().join("part.mp4"), None).is_ok());
}

#[test]
fn h264_is_read_whatever_its_file_is_called() {
    let folder = folder();
    sh(
        folder.path(),
        "ffmpeg -v error -i base.mp4 -c copy -f h264 bare.mp4 && cp base.mp4 boxes.h264",
    );
    for file in ["bare.mp4", "boxes.h264"] {
        let (units, _) = of_file(&folder.path().join(file), None).unwrap();
        assert_eq!(units.map(Result::unwrap).count(), 6, "{file}");
    }
}

#[test]
fn sounds_and_pictures_are_told_as_such() {
    for (head, words) in [
        (&b"RIFF\x24\0\0\0WAVEfmt "[..], "it is a WAV sound, and holds no video"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "it is a WebP picture, and holds no video"),
        (b"ID3\x04\0\0\0", "it is an MP3 sound, and holds no video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is a HEIF picture, and holds no video"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "it is an AVIF picture, and holds no video"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, head).unwrap();
        assert!(refusal(&path).ends_with(words), "{}", refusal(&path));
    }
}

#[test]
fn no_beginning_is_too_short_or_too_odd() {
    for head in
        [&b""[..], b"\0", b"\0\0\x01", b"\0\0\0\x01", b"FLV\x01\x05", b"\x1a\x45\xdf\xa3", b"\x47"]
    {
        Kind::of(head);
    }
    assert_eq!(Kind::of(b"\0\0\x01\x09\xf0"), Kind::H264);
    assert_eq!(Kind::of(b"hello, world"), Kind::Unknown);
}
