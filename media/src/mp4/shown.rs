//! How a track is to be shown, by its header and its edit list (ISO/IEC 14496-12 §8.3.2, §8.6.6): where presentation
//! begins is applied; the rest is told.

use std::fmt;

use super::boxes::{find, rows, u32_at, version};
use super::samples::Sample;

/// What a file says of how its video is to be shown, and reading it does not apply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unapplied {
    /// Pictures are to be turned clockwise by so many degrees.
    Turned(u16),
    /// Pictures are to be mirrored, scaled or turned by another angle.
    Transformed,
    /// The edit list has so many parts: all is read from the beginning of the first one on.
    Parts(usize),
    /// The edit list plays at another speed.
    Speed,
    /// The edit list ends before the last picture, by so many seconds.
    Ends(f64),
}

impl fmt::Display for Unapplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turned(degrees) => {
                write!(f, "its pictures are to be shown turned clockwise by {degrees}°: models see them as they are coded")
            }
            Self::Transformed => f.write_str(
                "its pictures are to be shown mirrored or distorted: models see them as they are coded",
            ),
            Self::Parts(parts) => write!(
                f,
                "its edit list has {parts} parts: all pictures from the beginning of the first one on are read, in one piece"
            ),
            Self::Speed => f.write_str("its edit list plays at another speed: times are those of the track"),
            Self::Ends(seconds) => {
                write!(f, "its edit list ends {seconds:.1} s before its last picture: what follows is read, too")
            }
        }
    }
}

/// A part of the track that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    /// In ticks of the movie; 0 up to the end, in fragmented files.
    duration: u64,
    /// In ticks of the track; -1 for a part in which nothing is shown.
    time: i64,
    /// As 16.16 bits.
    rate: u32,
}

/// Speed as it was recorded.
const UNCHANGED: u32 = 0x1_0000;
/// Edit lists are rounded: seconds by which they may end early.
const ROUNDED: f64 = 0.1;

fn edits(trak: &[u8]) -> Vec<Edit> {
    let Some(elst) = find(trak, &[b"edts", b"elst"]) else { return Vec::new() };
    let wide = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let shown: Vec<Edit> = if version(elst) == 1 {
        let edit = |[d1, d0, t1, t0, rate]: [u32; 5]| Edit {
            duration: wide(d1, d0),
            time: wide(t1, t0).cast_signed(),
            rate,
        };
        rows::<5>(elst, 4).map(edit).collect()
    } else {
        let edit = |[duration, time, rate]: [u32; 3]| Edit {
            duration: duration.into(),
            time: time.cast_signed().into(),
            rate,
        };
        rows::<3>(elst, 4).map(edit).collect()
    };
    shown.into_iter().filter(|edit| edit.time >= 0).collect()
}

/// Where presentation begins, in the track's ticks.
pub(super) fn starts_at(trak: &[u8]) -> Option<i64> {
    edits(trak).first().map(|edit| edit.time)
}

/// What a track says and reading it does not apply.
pub(super) fn unapplied(
    moov: &[u8],
    trak: &[u8],
    timescale: u32,
    samples: &[Sample],
) -> Vec<Unapplied> {
    let edits = edits(trak);
    let speed = edits.iter().any(|edit| edit.rate != UNCHANGED).then_some(Unapplied::Speed);
    let cut = match edits[..] {
        [edit] => ends_early(moov, edit, timescale, samples),
        [] => None,
        _ => Some(Unapplied::Parts(edits.len())),
    };
    [transformed(trak), cut, speed].into_iter().flatten().collect()
}

/// By how much a single edit ends before the last picture is shown.
#[expect(clippy::cast_precision_loss, reason = "seconds, to a tenth")]
fn ends_early(moov: &[u8], edit: Edit, timescale: u32, samples: &[Sample]) -> Option<Unapplied> {
    let mvhd = find(moov, &[b"mvhd"])?;
    let movie =
        u32_at(mvhd, if version(mvhd) == 1 { 20 } else { 12 }).filter(|&ticks| ticks > 0)?;
    let last = samples.iter().map(|sample| sample.shown).max()?;
    let end = edit.duration as f64 / f64::from(movie);
    let early = last.saturating_sub(edit.time) as f64 / f64::from(timescale) - end;
    (edit.duration > 0 && early > ROUNDED).then_some(Unapplied::Ends(early))
}

/// The matrix of the track's header, where it is not the one that changes nothing.
fn transformed(trak: &[u8]) -> Option<Unapplied> {
    let tkhd = find(trak, &[b"tkhd"])?;
    let at = if version(tkhd) == 1 { 52 } else { 40 };
    let entry = |n: usize| u32_at(tkhd, at + 4 * n).map(u32::cast_signed);
    const ONE: i32 = 0x1_0000;
    match (entry(0)?, entry(1)?, entry(3)?, entry(4)?) {
        (ONE, 0, 0, ONE) => None,
        (0, ONE, b, 0) if b == -ONE => Some(Unapplied::Turned(90)),
        (a, 0, 0, d) if (a, d) == (-ONE, -ONE) => Some(Unapplied::Turned(180)),
        (0, a, ONE, 0) if a == -ONE => Some(Unapplied::Turned(270)),
        _ => Some(Unapplied::Transformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).unwrap();
        [&size.to_be_bytes()[..], kind, body].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn of_matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<Unapplied> {
        let matrix =
            [a, b, 0, c, d, 0, 0, 0, 0x4000].map(|entry: i32| (entry << 16).cast_unsigned());
        let told = |head: &[u32]| {
            let tkhd = boxed(b"tkhd", &words(&[head, &matrix].concat()));
            unapplied(&[], &tkhd, 1_000, &[])
        };
        let short = told(&[0; 10]);
        assert_eq!(told(&[0x0100_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), short);
        short
    }

    #[test]
    fn how_pictures_are_turned_is_told() {
        assert_eq!(of_matrix(1, 0, 0, 1), []);
        assert_eq!(of_matrix(0, 1, -1, 0), [Unapplied::Turned(90)]);
        assert_eq!(of_matrix(-1, 0, 0, -1), [Unapplied::Turned(180)]);
        assert_eq!(of_matrix(0, -1, 1, 0), [Unapplied::Turned(270)]);
        assert_eq!(of_matrix(-1, 0, 0, 1), [Unapplied::Transformed]);
        assert_eq!(unapplied(&[], &boxed(b"tkhd", &[0; 20]), 1_000, &[]), []);
    }

    /// Of a movie of 600 ticks a second and a track of 1,000, whose last picture is shown at 4 s.
    fn of_edits(edits: &[u32]) -> (Option<i64>, Vec<Unapplied>) {
        let count = u32::try_from(edits.len() / 3).unwrap();
        let elst = boxed(b"elst", &words(&[&[0, count][..], edits].concat()));
        let trak = boxed(b"edts", &elst);
        let moov = boxed(b"mvhd", &words(&[0, 0, 0, 600, 0]));
        let sample = |shown| Sample { offset: 0, size: 1, decoded: 0, shown };
        let told = unapplied(&moov, &trak, 1_000, &[sample(0), sample(4_000), sample(3_960)]);
        (starts_at(&trak), told)
    }

    #[test]
    fn what_an_edit_list_says_beyond_where_it_begins_is_told() {
        const EMPTY: u32 = u32::MAX;
        assert_eq!(of_edits(&[2_400, 0, UNCHANGED]), (Some(0), vec![]));
        assert_eq!(of_edits(&[60, EMPTY, UNCHANGED, 2_370, 80, UNCHANGED]), (Some(80), vec![]));
        assert_eq!(of_edits(&[0, 80, UNCHANGED]), (Some(80), vec![]));
        assert_eq!(of_edits(&[600, 1_000, UNCHANGED]), (Some(1_000), vec![Unapplied::Ends(2.0)]));
        assert_eq!(of_edits(&[600, 0, UNCHANGED, 600, 2_000, UNCHANGED]).1, [Unapplied::Parts(2)]);
        assert_eq!(of_edits(&[4_800, 0, UNCHANGED / 2]).1, [Unapplied::Speed]);
        assert_eq!(of_edits(&[]), (None, vec![]));
    }

    #[test]
    fn each_is_said_in_words() {
        let words = "its pictures are to be shown turned clockwise by 90°: models see them as they are coded";
        assert_eq!(Unapplied::Turned(90).to_string(), words);
        let words = "its edit list ends 2.0 s before its last picture: what follows is read, too";
        assert_eq!(Unapplied::Ends(2.0).to_string(), words);
    }
}
