//! Files and the scene as iterators of access units in decode order, their time counted from the start.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use media::h264::{AnnexBReader, Encoder, EncoderConfig};
use media::mp4::{Mp4Error, Mp4Video, Unapplied};
use media::scene::{Scene, SceneConfig};
use media::{AccessUnit, FrameRate};

use super::Incident;
use super::error::SourceError;
use super::foreign::{Foreign, HEAD_BYTES, Kind, Remedy};

/// Access units in decode order.
pub(crate) type Units = Box<dyn Iterator<Item = Result<AccessUnit, SourceError>> + Send>;

/// Bytes read at once from a bare H.264 stream.
const CHUNK: usize = 64 * 1_024;
/// Seconds from one key frame of the scene to the next.
const SCENE_KEY_SECONDS: f64 = 2.0;
/// Bits per pixel of the encoded scene.
const SCENE_BITS_PER_PIXEL: f64 = 0.12;

/// Opens a regular file, MP4 or bare H.264: by its first bytes, and where they do not tell by its ending (`.h264`,
/// `.264` and `.avc` are bare H.264). Gives what it says and is not applied, too.
///
/// # Errors
/// It cannot be read, or is no H.264 video; what else it is, and how MP4 is made of it, is said where it is known.
pub(crate) fn of_file(
    path: &Path,
    fps: Option<FrameRate>,
) -> Result<(Units, Vec<Incident>), SourceError> {
    // To open a pipe would wait for somebody to write to it.
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_file() {
        return Err(refused(path, "it is no regular file"));
    }
    let head = head(path).map_err(|error| unreadable(path, &error))?;
    if head.is_empty() {
        return Err(refused(path, "it is empty"));
    }
    match Kind::of(&head) {
        Kind::Foreign(foreign) => Err(refused(path, &foreign.advice(path))),
        Kind::H264 => Ok((of_annex_b(path, fps)?, Vec::new())),
        Kind::Unknown if is_named_bare(path) => Ok((of_annex_b(path, fps)?, Vec::new())),
        Kind::Mp4 | Kind::Unknown => of_mp4(path, &head),
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

fn is_named_bare(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    matches!(ending.as_deref(), Some("h264" | "264" | "avc"))
}

fn of_mp4(path: &Path, head: &[u8]) -> Result<(Units, Vec<Incident>), SourceError> {
    let mut video = Mp4Video::open(path).map_err(|error| advised(path, head, &error))?;
    let incidents = video.unapplied().iter().map(incident).collect();
    let path = path.to_owned();
    let units = 0..video.len();
    let read = move |index| video.read(index).map_err(|error| unreadable(&path, &error));
    Ok((Box::new(units.map(read)), incidents))
}

fn incident(unapplied: &Unapplied) -> Incident {
    let kind = match unapplied {
        Unapplied::Turned(_) | Unapplied::Transformed => "rotation",
        Unapplied::Parts(_) | Unapplied::Speed | Unapplied::Ends(_) => "edit-list",
    };
    Incident { kind, words: unapplied.to_string() }
}

fn of_annex_b(path: &Path, fps: Option<FrameRate>) -> Result<Units, SourceError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let chunks = AnnexBChunks { file, reader: Some(AnnexBReader::new(fps)) };
    let path = path.to_owned();
    Ok(Box::new(chunks.flat_map(move |chunk| match chunk {
        Ok(units) => units.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(unreadable(&path, &*error))],
    })))
}

/// The access units that each chunk of a file completes.
struct AnnexBChunks {
    file: File,
    reader: Option<AnnexBReader>,
}

impl Iterator for AnnexBChunks {
    type Item = Result<Vec<AccessUnit>, Box<dyn std::error::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let mut chunk = vec![0; CHUNK];
        let read = match self.file.read(&mut chunk) {
            Ok(0) => return Some(Ok(reader.finish())),
            Ok(read) => read,
            Err(error) => return Some(Err(error.into())),
        };
        let units = reader.push(&chunk[..read]).map_err(Into::into);
        if units.is_ok() {
            self.reader = Some(reader);
        }
        Some(units)
    }
}

/// Renders and encodes the scene, `frames` of it or without end.
///
/// # Errors
/// No such scene can be made or encoded.
pub(crate) fn of_scene(config: SceneConfig, frames: Option<u64>) -> Result<Units, SourceError> {
    let hopeless = |error: &dyn std::error::Error| SourceError::hopeless(error.to_string());
    let fps = config.fps.as_f64();
    let pixels = f64::from(config.width) * f64::from(config.height);
    let encoder = EncoderConfig {
        width: config.width,
        height: config.height,
        fps: config.fps,
        bitrate: whole(pixels * fps * SCENE_BITS_PER_PIXEL),
        key_interval: whole(fps * SCENE_KEY_SECONDS).max(1),
    };
    let mut encoder = Encoder::new(encoder).map_err(|error| hopeless(&error))?;
    let scene = Scene::new(config).map_err(|error| hopeless(&error))?;
    let encode = move |n| {
        let picture = scene.render(n).picture;
        encoder.encode(&picture, n == 0).map_err(|error| SourceError::hopeless(error.to_string()))
    };
    Ok(Box::new((0..frames.unwrap_or(u64::MAX)).map(encode)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn whole(number: f64) -> u32 {
    number as u32
}

fn unreadable(path: &Path, error: &(impl std::error::Error + ?Sized)) -> SourceError {
    refused(path, &error.to_string())
}

fn refused(path: &Path, words: &str) -> SourceError {
    SourceError::hopeless(format!("read file {path:?}: {words}"))
}

/// Why a file is not read as MP4, with what can be made of it where that is known.
fn advised(path: &Path, head: &[u8], error: &Mp4Error) -> SourceError {
    match error {
        Mp4Error::NoContents if Kind::of(head) == Kind::Unknown => {
            refused(path, "it is neither MP4 nor bare H.264, nor anything else that is known here")
        }
        Mp4Error::NoContents => match Foreign::without_contents(head) {
            Some(foreign) => refused(path, &foreign.advice(path)),
            None => unreadable(path, error),
        },
        Mp4Error::OtherCodec(codec) if !codec.starts_with("encv") => {
            refused(path, &format!("{error}: {}", Remedy::Encode.command(path)))
        }
        _ => unreadable(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        for name in ["none.mp4", "none.h264"] {
            let error = of_file(Path::new(name), None).err().unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn an_empty_file_and_one_of_words_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for (content, words) in
            [("", "it is empty"), ("# Notes\n", "it is neither MP4 nor bare H.264")]
        {
            let path = folder.path().join("clip.mp4");
            std::fs::write(&path, content).unwrap();
            let error = of_file(&path, None).err().unwrap().to_string();
            assert!(error.contains(&format!("clip.mp4\": {words}")), "{error}");
        }
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.h264");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&*pipe, folder.path()] {
            let error = of_file(path, None).err().unwrap().to_string();
            assert!(error.ends_with("it is no regular file"), "{error}");
        }
    }

    #[test]
    fn the_scene_and_its_byte_stream_have_the_same_units() {
        let config = SceneConfig { width: 320, height: 180, ..SceneConfig::default() };
        let units: Vec<AccessUnit> =
            of_scene(config, Some(60)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(units.iter().filter(|unit| unit.key).count(), 2);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scene.h264");
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.data.to_vec()).collect();
        std::fs::write(&path, bytes).unwrap();
        let read: Vec<AccessUnit> =
            of_file(&path, FrameRate::new(25, 1)).unwrap().0.collect::<Result<_, _>>().unwrap();
        let facts = |units: &[AccessUnit]| -> Vec<(i64, bool)> {
            units.iter().map(|unit| (unit.pts, unit.key)).collect()
        };
        assert_eq!(facts(&read), facts(&units));
    }
}
