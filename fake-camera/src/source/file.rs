//! An MP4 file as a camera: its access units over and over, read as they are needed.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use media::AccessUnit;
use media::mp4::{Mp4Error, Mp4Video};

use super::looped::Rounds;
use super::{Preview, preview};
use crate::error::SourceError;

/// Access units looked at for how far pictures are reordered and how many there are in a second.
const PREVIEW_UNITS: usize = 250;

/// A file that can be played.
#[derive(Debug)]
pub(crate) struct FileFootage {
    path: PathBuf,
}

impl FileFootage {
    /// Reads the first units of a file.
    pub(crate) fn open(path: &Path) -> Result<(Self, Preview), SourceError> {
        let mut video = open(path)?;
        let units = video.units().take(PREVIEW_UNITS).collect::<Result<Vec<_>, _>>();
        let units = units.map_err(|error| unreadable(path, error))?;
        let preview = preview(&units).ok_or_else(|| SourceError::NoKeyFrame(path.to_owned()))?;
        Ok((Self { path: path.to_owned() }, preview))
    }

    /// Plays from the beginning.
    pub(crate) fn roll(&self) -> Result<Playing, SourceError> {
        let video = open(&self.path)?;
        if video.is_empty() {
            return Err(SourceError::NoKeyFrame(self.path.clone()));
        }
        Ok(Playing { path: self.path.clone(), video, next: 0, rounds: Rounds::default() })
    }
}

fn open(path: &Path) -> Result<Mp4Video<BufReader<File>>, SourceError> {
    Mp4Video::open(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: Mp4Error) -> SourceError {
    SourceError::File { path: path.to_owned(), source: error.into() }
}

/// A file that is playing; it has at least one access unit.
pub(crate) struct Playing {
    path: PathBuf,
    video: Mp4Video<BufReader<File>>,
    next: usize,
    rounds: Rounds,
}

impl Playing {
    fn read(&mut self) -> Result<AccessUnit, SourceError> {
        if self.next == self.video.len() {
            self.next = 0;
            self.rounds.end();
        }
        let read = self.video.read(self.next);
        let mut unit = read.map_err(|error| unreadable(&self.path, error))?;
        self.next += 1;
        self.rounds.place(&mut unit);
        Ok(unit)
    }
}

impl Iterator for Playing {
    type Item = Result<AccessUnit, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_from_round_to_round_without_a_break() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media/car-detection.mp4");
        if !path.exists() {
            println!("skipped: ../shared/media is missing");
            return;
        }
        let (footage, preview) = FileFootage::open(&path).unwrap();
        assert_eq!(preview.facts.frame_rate.as_deref(), Some("12.50"));
        assert_eq!(preview.reorder_ticks, 0);
        let units: Vec<_> = footage.roll().unwrap().take(800).collect::<Result<_, _>>().unwrap();
        assert!(units.windows(2).all(|pair| pair[1].pts - pair[0].pts == 7_200));
        assert_eq!(units[377].data, units[0].data, "377 pictures a round");
        assert_eq!(units[377].pts, units[0].pts + 377 * 7_200);
    }

    #[test]
    fn what_is_no_video_is_named() {
        let error = FileFootage::open(Path::new(env!("CARGO_MANIFEST_PATH"))).unwrap_err();
        assert!(error.to_string().contains("Cargo.toml"), "{error}");
    }
}
