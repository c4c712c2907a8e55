//! Where each sample of a track lies and when it is shown, out of the sample tables (ISO/IEC 14496-12 §8.6, §8.7).

use std::iter::{repeat, repeat_n};

use super::Mp4Error;
use super::boxes::{find, rows, u32_at};

/// One sample, which is one access unit.
///
/// # Units
/// Times are in ticks of the track's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) decoded: i64,
    pub(super) shown: i64,
}

impl Sample {
    /// Tells whether the sample lies within a file of this length.
    pub(super) fn is_within(&self, file_len: u64) -> bool {
        self.offset.checked_add(u64::from(self.size)).is_some_and(|end| end <= file_len)
    }
}

/// More samples than this are taken for damage: 155 hours at 30 per second.
const MOST: usize = 1 << 24;

/// Most samples that a file of this length may have: each takes a byte of it at least.
pub(super) fn most(file_len: u64) -> usize {
    usize::try_from(file_len).map_or(MOST, |bytes| bytes.min(MOST))
}

pub(super) fn too_many() -> Mp4Error {
    Mp4Error::Damaged("it has too many samples".into())
}

/// Lists the samples that a track's sample tables (the body of `stbl`) tell of.
///
/// The list ends with the first sample that lies beyond the file's end.
pub(super) fn of_tables(stbl: &[u8], file_len: u64) -> Result<Vec<Sample>, Mp4Error> {
    let table = |kind: &'static [u8; 4]| find(stbl, &[kind]).unwrap_or_default();
    let mut deltas = runs(table(b"stts"));
    let mut shifts = runs(table(b"ctts")).map(u32::cast_signed).chain(repeat(0));
    let mut sizes = sizes(table(b"stsz"));
    let mut samples = Vec::new();
    let mut decoded = 0_i64;
    for (chunk, count) in chunks(stbl).zip(samples_per_chunk(table(b"stsc"))) {
        let mut offset = chunk;
        for _ in 0..count {
            let Some(size) = sizes.next() else {
                return Ok(samples);
            };
            let shift = shifts.next().map_or(0, i64::from);
            let sample = Sample { offset, size, decoded, shown: decoded.saturating_add(shift) };
            samples.push(sample);
            if !sample.is_within(file_len) {
                return Ok(samples);
            }
            if samples.len() > most(file_len) {
                return Err(too_many());
            }
            let delta = deltas.next().ok_or_else(|| damaged("times"))?;
            decoded = decoded.saturating_add(i64::from(delta));
            offset += u64::from(size);
        }
    }
    if sizes.next().is_some() { Err(damaged("places")) } else { Ok(samples) }
}

fn damaged(what: &str) -> Mp4Error {
    Mp4Error::Damaged(format!("its tables tell of fewer {what} than samples"))
}

/// The values of a table of runs: how many, which.
fn runs(table: &[u8]) -> impl Iterator<Item = u32> + '_ {
    rows::<2>(table, 4).flat_map(|[count, value]| repeat_n(value, index(count)))
}

/// The sizes of all samples.
fn sizes(stsz: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let count = u32_at(stsz, 8).unwrap_or(0);
    let same = u32_at(stsz, 4).filter(|&size| size > 0);
    let equal = same.into_iter().flat_map(move |size| repeat_n(size, index(count)));
    let listed = if same.is_none() { stsz } else { &[] };
    equal.chain(rows::<1>(listed, 8).map(|[size]| size))
}

/// The offsets of all chunks.
fn chunks(stbl: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let short = find(stbl, &[b"stco"]).unwrap_or_default();
    let long = find(stbl, &[b"co64"]).unwrap_or_default();
    let wide = |[high, low]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
    rows::<1>(short, 4).map(|[offset]| u64::from(offset)).chain(rows::<2>(long, 4).map(wide))
}

/// How many samples each chunk has; the last run of chunks goes on for ever.
fn samples_per_chunk(stsc: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let starts = rows::<3>(stsc, 4);
    let ends = rows::<3>(stsc, 4).skip(1).map(|[first, ..]| Some(first)).chain([None]);
    starts.zip(ends).flat_map(|([first, count, _], end)| {
        let chunks = end.map_or(usize::MAX, |end| index(end.saturating_sub(first)));
        repeat_n(count, chunks)
    })
}

fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_box(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let size = u32::try_from(12 + words.len() * 4).unwrap();
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.extend([0; 4]);
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        bytes
    }

    /// Five samples of 10 to 14 bytes in chunks of 2, 2 and 1, the second shown after the third.
    fn tables(sizes: &[u32]) -> Vec<u8> {
        let count = u32::try_from(sizes.len()).unwrap();
        [
            full_box(b"stts", &[2, 2, 100, 3, 50]),
            full_box(b"ctts", &[3, 1, 0, 1, 150, 3, 0]),
            full_box(b"stsc", &[2, 1, 2, 1, 3, 1, 1]),
            full_box(b"stsz", &[&[0, count], sizes].concat()),
            full_box(b"stco", &[3, 1_000, 2_000, 3_000]),
        ]
        .concat()
    }

    #[test]
    fn places_and_times_follow_from_the_tables() {
        let samples = of_tables(&tables(&[10, 11, 12, 13, 14]), 10_000).unwrap();
        let offsets: Vec<u64> = samples.iter().map(|s| s.offset).collect();
        let decoded: Vec<i64> = samples.iter().map(|s| s.decoded).collect();
        let shown: Vec<i64> = samples.iter().map(|s| s.shown).collect();
        assert_eq!(offsets, [1_000, 1_010, 2_000, 2_012, 3_000]);
        assert_eq!(decoded, [0, 100, 200, 250, 300]);
        assert_eq!(shown, [0, 250, 200, 250, 300]);
    }

    #[test]
    fn the_list_ends_with_the_first_sample_beyond_the_file() {
        let samples = of_tables(&tables(&[10, 11, 12, 13, 14]), 2_020).unwrap();
        assert_eq!(samples.len(), 4);
    }

    #[test]
    fn more_samples_than_the_file_has_bytes_are_refused() {
        let tables = [
            full_box(b"stts", &[1, u32::MAX, 100]),
            full_box(b"stsc", &[1, 1, 60, 1]),
            full_box(b"stsz", &[1, u32::MAX]),
            full_box(b"stco", &[2, 10, 10]),
        ];
        let error = of_tables(&tables.concat(), 100).unwrap_err();
        assert_eq!(error.to_string(), "read mp4: it is damaged: it has too many samples");
    }

    #[test]
    fn tables_that_contradict_each_other_are_refused() {
        let error = of_tables(&tables(&[10, 11, 12, 13, 14, 15]), 10_000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "read mp4: it is damaged: its tables tell of fewer places than samples"
        );
    }
}
