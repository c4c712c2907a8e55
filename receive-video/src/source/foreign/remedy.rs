//! The command that makes MP4 with H.264 of a file, written so that a shell reads it as it is meant.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// How MP4 with H.264 is made of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Remedy {
    /// Its video is H.264, and all that it holds may lie in MP4.
    Copy,
    /// Its video is H.264; what else it holds may be of a kind that MP4 does not take.
    CopyVideo,
    /// Its video is of another codec.
    Encode,
    /// The same, and its width or height may be odd, which the usual H.264 cannot be.
    EncodeEven,
    /// The file that its tracks are described in has to stand before it.
    Join,
}

impl Remedy {
    /// The command line, in backticks, that writes an MP4 file beside `path`.
    pub(in crate::source) fn command(self, path: &Path) -> String {
        let (from, to) = (word(path), word(&beside(path)));
        const ENCODE: &str = "-c:v libx264 -pix_fmt yuv420p";
        match self {
            Self::Copy => format!("`ffmpeg -i {from} -c copy {to}`"),
            Self::CopyVideo => format!("`ffmpeg -i {from} -map 0:v:0 -c copy {to}`"),
            Self::Encode => format!("`ffmpeg -i {from} {ENCODE} {to}`"),
            Self::EncodeEven => {
                format!("`ffmpeg -i {from} -vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' {ENCODE} {to}`")
            }
            Self::Join => {
                format!("`cat INIT {from} > {to}`, where INIT is the file that begins it")
            }
        }
    }
}

/// Where the MP4 file goes, which is never the file itself.
fn beside(path: &Path) -> PathBuf {
    let plain = path.with_extension("mp4");
    if plain != path {
        return plain;
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-h264.mp4");
    path.with_file_name(name)
}

/// A path as one word of a shell's line that a program takes for a file: neither an option nor a URL.
fn word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let is_mistaken = path.is_relative() && (bytes.contains(&b':') || bytes.starts_with(b"-"));
    let path = if is_mistaken { Path::new(".").join(path) } else { path.to_owned() };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-+=@%,:".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => format!("$'{}'", path.as_os_str().as_bytes().escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        for (path, expected) in [
            ("clips/gate-7.mkv", "clips/gate-7.mkv"),
            ("my clip.mkv", "'my clip.mkv'"),
            ("it's $HOME.mkv", r"'it'\''s $HOME.mkv'"),
            ("-i.mkv", "./-i.mkv"),
            ("12:30.mkv", "./12:30.mkv"),
            ("/a:b/c.mkv", "/a:b/c.mkv"),
            ("Büro.mkv", "'Büro.mkv'"),
            ("a\nb'.mkv", r"$'a\nb\'.mkv'"),
        ] {
            assert_eq!(word(Path::new(path)), expected);
        }
        let not_utf8 = Path::new(OsStr::from_bytes(b"a\xff.mkv"));
        assert_eq!(word(not_utf8), r"$'a\xff.mkv'");
    }

    #[test]
    fn a_shell_reads_the_word_as_the_path() {
        for path in [&b"my clip's \"$x\" `y`\\.mkv"[..], b"a\n\x1b[1m'.mkv", b"a\xff\\.mkv"] {
            let line = format!("printf %s {}", word(Path::new(OsStr::from_bytes(path))));
            let read = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
            assert_eq!(read.stdout, path, "{line}");
        }
    }

    #[test]
    fn the_new_file_is_never_the_old_one() {
        assert_eq!(beside(Path::new("a b/x.mkv")), Path::new("a b/x.mp4"));
        assert_eq!(beside(Path::new("a/x.mp4")), Path::new("a/x-h264.mp4"));
        assert_eq!(beside(Path::new("x")), Path::new("x.mp4"));
    }
}
