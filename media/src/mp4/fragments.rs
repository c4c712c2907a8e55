//! The samples of a fragment (`moof`, ISO/IEC 14496-12 §8.8).

use super::Mp4Error;
use super::boxes::{children, flags, u32_at, u64_at, version};
use super::samples::{self, Sample};
use super::track::{Defaults, Track};

/// `tfhd`: an absolute place to count offsets from is given.
const BASE_OFFSET: u32 = 0x1;
const DESCRIPTION: u32 = 0x2;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_SIZE: u32 = 0x10;
/// `trun`: where the run's data begin is given.
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const SHIFT: u32 = 0x800;

/// Appends the samples that a fragment, which begins at `start` of the file, adds to a track.
pub(super) fn append(
    track: &mut Track,
    moof: &[u8],
    start: u64,
    file_len: u64,
) -> Result<(), Mp4Error> {
    for traf in children(moof).filter(|child| child.kind == *b"traf") {
        let own = |kind: [u8; 4]| {
            children(traf.body).filter(move |child| child.kind == kind).map(|child| child.body)
        };
        let Some(head) = own(*b"tfhd").next().and_then(|tfhd| Head::read(tfhd, track.defaults))
        else {
            return Err(Mp4Error::Damaged("a fragment has no header".into()));
        };
        if head.track != track.id {
            continue;
        }
        let base = head.base.unwrap_or(start);
        let mut run = Run {
            offset: base,
            decoded: own(*b"tfdt").next().and_then(decode_time).unwrap_or(end(track)),
        };
        for trun in own(*b"trun") {
            run.append(trun, base, head.defaults, file_len, &mut track.samples)?;
        }
    }
    Ok(())
}

/// What a track fragment's header says.
struct Head {
    track: u32,
    base: Option<u64>,
    defaults: Defaults,
}

impl Head {
    fn read(tfhd: &[u8], mut defaults: Defaults) -> Option<Self> {
        let flags = flags(tfhd);
        let mut at = 8;
        let mut skip = |flag: u32, length: usize| {
            let place = at;
            let present = flags & flag != 0;
            at += if present { length } else { 0 };
            present.then_some(place)
        };
        let (base, _) = (skip(BASE_OFFSET, 8), skip(DESCRIPTION, 4));
        let (duration, size) = (skip(DEFAULT_DURATION, 4), skip(DEFAULT_SIZE, 4));
        if let Some(place) = duration {
            defaults.duration = u32_at(tfhd, place)?;
        }
        if let Some(place) = size {
            defaults.size = u32_at(tfhd, place)?;
        }
        let base = base.and_then(|place| u64_at(tfhd, place));
        Some(Self { track: u32_at(tfhd, 4)?, base, defaults })
    }
}

fn decode_time(tfdt: &[u8]) -> Option<i64> {
    let time = if version(tfdt) == 1 { u64_at(tfdt, 4)? } else { u64::from(u32_at(tfdt, 4)?) };
    i64::try_from(time).ok()
}

/// The decoding time after the last sample so far, where a fragment does not tell its own.
fn end(track: &Track) -> i64 {
    let duration = i64::from(track.defaults.duration);
    track.samples.last().map_or(0, |last| last.decoded.saturating_add(duration))
}

/// Place and time of a fragment's next sample.
struct Run {
    offset: u64,
    decoded: i64,
}

impl Run {
    fn append(
        &mut self,
        trun: &[u8],
        base: u64,
        defaults: Defaults,
        file_len: u64,
        list: &mut Vec<Sample>,
    ) -> Result<(), Mp4Error> {
        let flags = flags(trun);
        let mut at = 8;
        if flags & DATA_OFFSET != 0 {
            let shift = u32_at(trun, at).ok_or_else(cut_off)?.cast_signed();
            self.offset = base.saturating_add_signed(i64::from(shift));
            at += 4;
        }
        at += if flags & FIRST_FLAGS != 0 { 4 } else { 0 };
        let count = u32_at(trun, 4).ok_or_else(cut_off)?;
        if count > 0 && flags & SIZE == 0 && defaults.size == 0 {
            return Err(Mp4Error::Damaged("a fragment does not tell its samples' sizes".into()));
        }
        for _ in 0..count {
            let mut column = |flag: u32, default: u32| {
                if flags & flag == 0 {
                    return Ok(default);
                }
                at += 4;
                u32_at(trun, at - 4).ok_or_else(cut_off)
            };
            let duration = column(DURATION, defaults.duration)?;
            let size = column(SIZE, defaults.size)?;
            column(FLAGS, 0)?;
            let shift = i64::from(column(SHIFT, 0)?.cast_signed());
            let shown = self.decoded.saturating_add(shift);
            let sample = Sample { offset: self.offset, size, decoded: self.decoded, shown };
            list.push(sample);
            if !sample.is_within(file_len) {
                return Ok(());
            }
            if list.len() > samples::most(file_len) {
                return Err(samples::too_many());
            }
            self.offset += u64::from(size);
            self.decoded = self.decoded.saturating_add(i64::from(duration));
        }
        Ok(())
    }
}

fn cut_off() -> Mp4Error {
    Mp4Error::Damaged("a fragment's table is cut off".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_LEN: u64 = 100;

    /// Reads runs of so many samples, all of the fragment's default size, from the file's start.
    fn append(counts: &[u32], size: u32) -> (Vec<Sample>, Result<(), Mp4Error>) {
        let (defaults, mut list) = (Defaults { duration: 40, size }, Vec::new());
        let read = counts.iter().try_for_each(|&count| {
            let trun = [[0; 4], count.to_be_bytes()].concat();
            Run { offset: 0, decoded: 0 }.append(&trun, 0, defaults, FILE_LEN, &mut list)
        });
        (list, read)
    }

    #[test]
    fn samples_without_a_size_are_refused_before_any_is_listed() {
        let (list, read) = append(&[u32::MAX], 0);
        assert_eq!(
            read.unwrap_err().to_string(),
            "read mp4: it is damaged: a fragment does not tell its samples' sizes"
        );
        assert!(list.is_empty());
    }

    #[test]
    fn more_samples_than_the_file_has_bytes_are_refused() {
        assert!(append(&[60], 1).1.is_ok());
        let (list, read) = append(&[60, 60], 1);
        assert_eq!(
            read.unwrap_err().to_string(),
            "read mp4: it is damaged: it has too many samples"
        );
        assert_eq!(list.len(), 101);
    }
}
