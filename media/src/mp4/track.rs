//! The video track of a file, by what its `moov` box says.

use super::Mp4Error;
use super::boxes::{children, find, u16_at, u32_at, version};
use super::samples::{self, Sample};
use super::shown::{self, Unapplied};
use crate::h264::ParameterSets;
use crate::h264::nal::Nal;
use crate::h264::sps::Sps;

/// What is known of the video track before its samples are read.
pub(super) struct Track {
    pub(super) id: u32,
    /// Ticks per second of the track's times.
    pub(super) timescale: u32,
    pub(super) sps: Sps,
    pub(super) parameters: ParameterSets,
    /// Bytes of each NAL unit's length in a sample.
    pub(super) length_size: usize,
    /// By the edit list: where presentation begins, in the track's ticks.
    pub(super) starts_at: Option<i64>,
    pub(super) samples: Vec<Sample>,
    /// What it says of how it is to be shown, and reading it does not apply.
    pub(super) unapplied: Vec<Unapplied>,
    /// Where a fragment does not say: duration and size of its samples.
    pub(super) defaults: Defaults,
}

/// What holds for a sample of a fragment of which nothing else is said (`trex`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
}

/// Reads the first video track of a `moov` box.
pub(super) fn of_movie(moov: &[u8], file_len: u64) -> Result<Track, Mp4Error> {
    let video = |trak: &&[u8]| handler(trak) == Some(*b"vide");
    let traks = || children(moov).filter(|child| child.kind == *b"trak").map(|child| child.body);
    let trak = traks().find(video).ok_or(Mp4Error::NoVideo)?;
    let stbl = find(trak, &[b"mdia", b"minf", b"stbl"]).ok_or_else(|| missing("stbl"))?;
    let config = avc_config(stbl)?;
    let id = track_id(trak).ok_or_else(|| missing("tkhd"))?;
    let (parameters, sps) = parameter_sets(config)?;
    let timescale = timescale(trak).filter(|&ticks| ticks > 0).ok_or_else(|| missing("mdhd"))?;
    let samples = samples::of_tables(stbl, file_len)?;
    Ok(Track {
        id,
        timescale,
        sps,
        parameters,
        length_size: usize::from(config.get(4).ok_or_else(|| missing("avcC"))? & 3) + 1,
        starts_at: shown::starts_at(trak),
        unapplied: shown::unapplied(moov, trak, timescale, &samples),
        samples,
        defaults: defaults(moov, id),
    })
}

fn missing(kind: &str) -> Mp4Error {
    Mp4Error::Damaged(format!("its box {kind} is missing or cut off"))
}

fn handler(trak: &[u8]) -> Option<[u8; 4]> {
    find(trak, &[b"mdia", b"hdlr"])?.get(8..12)?.try_into().ok()
}

fn track_id(trak: &[u8]) -> Option<u32> {
    let tkhd = find(trak, &[b"tkhd"])?;
    u32_at(tkhd, if version(tkhd) == 1 { 20 } else { 12 })
}

fn timescale(trak: &[u8]) -> Option<u32> {
    let mdhd = find(trak, &[b"mdia", b"mdhd"])?;
    u32_at(mdhd, if version(mdhd) == 1 { 20 } else { 12 })
}

fn defaults(moov: &[u8], track: u32) -> Defaults {
    let trexs = find(moov, &[b"mvex"]).into_iter().flat_map(children);
    let trex = trexs.filter(|child| child.kind == *b"trex").map(|child| child.body);
    let own = trex.into_iter().find(|trex| u32_at(trex, 4) == Some(track)).unwrap_or_default();
    Defaults { duration: u32_at(own, 12).unwrap_or(0), size: u32_at(own, 16).unwrap_or(0) }
}

/// The body of `avcC` (ISO/IEC 14496-15 §5.3.3.1), when the track is H.264.
fn avc_config(stbl: &[u8]) -> Result<&[u8], Mp4Error> {
    let entries = find(stbl, &[b"stsd"]).and_then(|stsd| stsd.get(8..)).unwrap_or_default();
    let entry = children(entries).next().ok_or_else(|| missing("stsd"))?;
    if !matches!(&entry.kind, b"avc1" | b"avc3") {
        return Err(Mp4Error::OtherCodec(codec_name(entry.kind)));
    }
    // A video sample entry has 78 bytes of its own before the boxes it holds.
    let inner = entry.body.get(78..).unwrap_or_default();
    find(inner, &[b"avcC"]).ok_or_else(|| missing("avcC"))
}

fn codec_name(kind: [u8; 4]) -> String {
    let code = kind.escape_ascii();
    match &kind {
        b"hvc1" | b"hev1" => format!("{code} (H.265)"),
        b"vvc1" | b"vvi1" => format!("{code} (H.266)"),
        b"av01" => format!("{code} (AV1)"),
        b"vp08" => format!("{code} (VP8)"),
        b"vp09" => format!("{code} (VP9)"),
        b"mp4v" => format!("{code} (MPEG-4 part 2)"),
        b"jpeg" | b"mjpg" => format!("{code} (Motion JPEG)"),
        b"encv" => format!("{code} (encrypted)"),
        _ => code.to_string(),
    }
}

/// The parameter sets of `avcC`: first those for sequences, then those for pictures.
fn parameter_sets(config: &[u8]) -> Result<(ParameterSets, Sps), Mp4Error> {
    let mut sets = ParameterSets::default();
    let mut at = 5;
    let mut first = None;
    for mask in [0x1f, 0xff] {
        let count = config.get(at).ok_or_else(|| missing("avcC"))? & mask;
        at += 1;
        for _ in 0..count {
            let length = usize::from(u16_at(config, at).ok_or_else(|| missing("avcC"))?);
            let bytes = config.get(at + 2..at + 2 + length).ok_or_else(|| missing("avcC"))?;
            let nal = Nal::new(bytes).ok_or_else(|| missing("avcC"))?;
            sets.observe(nal);
            first = first.or(Some(nal));
            at += 2 + length;
        }
    }
    let sps = first.ok_or_else(|| Mp4Error::Damaged("it has no parameter set".into()))?;
    Ok((sets, Sps::from_nal(sps.bytes())?))
}
