//! H.264 video out of MP4 files: plain and fragmented, with edit lists and composition offsets; audio is ignored.
//!
//! Only the tables are held in memory, never the file: an access unit is read when asked for. Lengths and counts
//! come from the file and are trusted nowhere.

mod boxes;
mod fragments;
mod samples;
mod shown;
mod track;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use thiserror::Error;

use self::boxes::Header;
use self::samples::Sample;
pub use self::shown::Unapplied;
use self::track::Track;
use crate::access_unit::AccessUnit;
use crate::h264::annexb::MAX_UNIT_BYTES;
use crate::h264::nal::{Nal, push_nal};
use crate::h264::sps::{Sps, SpsError};

/// The largest table of contents taken; one of 24 hours at 60 per second has about 100 MB.
const MAX_TABLE_BYTES: u64 = 256 << 20;

/// The part of a second by which a picture may come before an edit list begins, and be shown.
const ROUNDED: i64 = 100;

/// Why a file cannot be read as H.264 in MP4.
#[derive(Debug, Error)]
pub enum Mp4Error {
    /// The file cannot be read.
    #[error("read mp4: {0}")]
    Io(#[from] io::Error),
    /// It is no MP4 file, or it was cut off before its table of contents.
    #[error("read mp4: it has no table of contents (moov box): no MP4 file, or cut off")]
    NoContents,
    /// It has no video track.
    #[error("read mp4: it has no video track")]
    NoVideo,
    /// Its video is of another codec.
    #[error("read mp4: its video is {0}, not H.264")]
    OtherCodec(String),
    /// Its parameter set cannot be read.
    #[error("read mp4: {0}")]
    ParameterSet(#[from] SpsError),
    /// Its tables or samples contradict themselves.
    #[error("read mp4: it is damaged: {0}")]
    Damaged(String),
    /// It ends before a sample that its tables tell of.
    #[error("read mp4: it is cut off: access unit {index} lies beyond its end")]
    CutOff {
        /// The access unit, counted from 0.
        index: usize,
    },
}

/// The video track of an MP4 file.
pub struct Mp4Video<R> {
    reader: R,
    file_len: u64,
    track: Track,
    /// What is subtracted from times, so that the first picture shown is at 0.
    origin: i64,
}

impl Mp4Video<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read or has no H.264 video.
    pub fn open(path: &Path) -> Result<Self, Mp4Error> {
        Self::new(BufReader::new(File::open(path)?))
    }
}

impl<R: Read + Seek> Mp4Video<R> {
    /// Reads the table of contents of an MP4 file.
    ///
    /// # Errors
    /// It cannot be read or has no H.264 video.
    pub fn new(mut reader: R) -> Result<Self, Mp4Error> {
        let file_len = reader.seek(SeekFrom::End(0))?;
        let track = read_track(&mut reader, file_len)?;
        // Edit lists are rounded, to ticks of the movie.
        let rounded = i64::from(track.timescale) / ROUNDED;
        let starts_at = track.starts_at.map_or(i64::MIN, |starts_at| starts_at - rounded);
        let shown = track.samples.iter().map(|sample| sample.shown);
        let origin = shown.filter(|&time| time >= starts_at).min().unwrap_or(0);
        Ok(Self { reader, file_len, track, origin })
    }

    /// What the parameter set says: size, codec, colour.
    pub fn sps(&self) -> &Sps {
        &self.track.sps
    }

    /// What the file says of how its video is to be shown, and reading it does not apply.
    pub fn unapplied(&self) -> &[Unapplied] {
        &self.track.unapplied
    }

    /// Number of access units.
    pub fn len(&self) -> usize {
        self.track.samples.len()
    }

    /// Whether there is no access unit at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads an access unit, counted from 0 in decoding order.
    ///
    /// The first picture shown has `pts` 0; one with a negative `pts` is needed for decoding others only.
    ///
    /// # Errors
    /// The file cannot be read, is cut off before the access unit, or the access unit is damaged.
    pub fn read(&mut self, index: usize) -> Result<AccessUnit, Mp4Error> {
        let Some(sample) = self.track.samples.get(index).copied() else {
            return Err(Mp4Error::CutOff { index });
        };
        if !sample.is_within(self.file_len) {
            return Err(Mp4Error::CutOff { index });
        }
        let bytes = self.read_sample(&sample)?;
        let data = self.annex_b(&bytes).ok_or_else(|| {
            Mp4Error::Damaged(format!("the lengths in access unit {index} do not fit it"))
        })?;
        let (pts, dts) = (self.ticks(sample.shown), self.ticks(sample.decoded));
        Ok(AccessUnit::complete(data, &self.track.parameters, pts, dts))
    }

    /// Iterates over all access units from the first, in decoding order; ends after the first error.
    pub fn units(&mut self) -> Units<'_, R> {
        Units { video: self, next: 0 }
    }

    fn read_sample(&mut self, sample: &Sample) -> Result<Vec<u8>, Mp4Error> {
        let size = crate::number::size(sample.size);
        if size > MAX_UNIT_BYTES {
            return Err(Mp4Error::Damaged(format!("an access unit has {size} bytes")));
        }
        self.reader.seek(SeekFrom::Start(sample.offset))?;
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Turns a sample's length-prefixed NAL units into Annex B.
    fn annex_b(&self, sample: &[u8]) -> Option<Vec<u8>> {
        let mut data = Vec::with_capacity(sample.len() + 64);
        let mut rest = sample;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(self.track.length_size)?;
            let length = length.iter().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte));
            let (bytes, after) = after.split_at_checked(length)?;
            rest = after;
            if let Some(nal) = Nal::new(bytes) {
                push_nal(&mut data, nal.bytes());
            }
        }
        Some(data)
    }

    fn ticks(&self, time: i64) -> i64 {
        let ticks = (i128::from(time) - i128::from(self.origin)) * 90_000;
        let rounded = ticks.div_euclid(i128::from(self.track.timescale));
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Iterator over a video's access units.
pub struct Units<'a, R> {
    video: &'a mut Mp4Video<R>,
    next: usize,
}

impl<R: Read + Seek> Iterator for Units<'_, R> {
    type Item = Result<AccessUnit, Mp4Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.video.len() {
            return None;
        }
        let unit = self.video.read(self.next);
        self.next = if unit.is_ok() { self.next + 1 } else { usize::MAX };
        Some(unit)
    }
}

/// Walks over the boxes of a file and gathers the video track with its samples.
fn read_track<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Track, Mp4Error> {
    let mut track: Option<Track> = None;
    let mut at = 0;
    while let Some((header, end)) = next_box(reader, at, file_len)? {
        match &header.kind {
            b"moov" if track.is_none() => {
                let moov = read_body(reader, at + header.header, end)?;
                track = Some(track::of_movie(&moov, file_len)?);
            }
            b"moof" => {
                let moof = read_body(reader, at + header.header, end)?;
                let track = track.as_mut().ok_or(Mp4Error::NoContents)?;
                fragments::append(track, &moof, at, file_len)?;
            }
            _ => {}
        }
        at = end;
    }
    track.ok_or(Mp4Error::NoContents)
}

/// Reads the header of the box at a place; `None` at the end of the file and of what is whole in it.
fn next_box<R: Read + Seek>(
    reader: &mut R,
    at: u64,
    file_len: u64,
) -> Result<Option<(Header, u64)>, Mp4Error> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(16);
    reader.by_ref().take(16).read_to_end(&mut bytes)?;
    let Some(header) = Header::read(&bytes) else {
        return Ok(None);
    };
    let end = header.total.map_or(Some(file_len), |total| at.checked_add(total));
    Ok(end.filter(|&end| end <= file_len).map(|end| (header, end)))
}

fn read_body<R: Read + Seek>(reader: &mut R, from: u64, to: u64) -> Result<Vec<u8>, Mp4Error> {
    let length = to.saturating_sub(from);
    if length > MAX_TABLE_BYTES {
        return Err(Mp4Error::Damaged(format!("its table of contents has {length} bytes")));
    }
    reader.seek(SeekFrom::Start(from))?;
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    Ok(body)
}
