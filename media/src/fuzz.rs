//! What fuzzing asks of this crate: each function takes any bytes and panics where a promise of the parser is broken.
//!
//! `fuzz/` runs them on made-up bytes; the tests below run them on what `fuzz/corpus/` keeps.

use std::io::Cursor;

use crate::AccessUnit;
use crate::h264::AnnexBReader;
use crate::h264::nal::{NalType, nal_units};
use crate::h264::sps::Sps;
use crate::jpeg;
use crate::mp4::Mp4Video;

/// Pixels that a picture may have here, so that memory tells of mistakes and not of large pictures.
const MAX_PIXELS: u64 = 1 << 20;
/// Access units of a file that are read: a file of 1 kB may claim millions.
const MOST_UNITS: usize = 256;

/// NAL units and sequence parameter sets: a size that is told is a size. Slices are read by [`annex_b`].
pub fn h264(bytes: &[u8]) {
    for nal in nal_units(bytes) {
        assert!(!nal.bytes().is_empty(), "a NAL unit has its header");
        if nal.unit_type() == NalType::Sps
            && let Ok(sps) = Sps::from_nal(nal.bytes())
        {
            assert!(sps.width > 0 && sps.height > 0, "{sps:?}");
        }
    }
    let unit = AccessUnit::from_annex_b(bytes.to_vec(), 0, 0);
    assert_eq!(unit.sps(), Sps::find(bytes));
}

/// A byte stream: it gives the same access units however it is cut, and decoding times never decrease.
pub fn annex_b(bytes: &[u8]) {
    let whole = units_of([bytes]);
    assert_eq!(whole, units_of(bytes.chunks(7)), "the pieces that it came in are seen");
    assert!(whole.is_sorted_by_key(|unit| unit.dts), "{whole:?}");
}

fn units_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<AccessUnit> {
    let mut reader = AnnexBReader::new(None);
    let mut units = Vec::new();
    for piece in pieces {
        match reader.push(piece) {
            Ok(completed) => units.extend(completed),
            Err(_) => return units,
        }
    }
    units.extend(reader.finish());
    units
}

/// An MP4 file with its length-prefixed NAL units.
pub fn mp4(bytes: &[u8]) {
    let Ok(mut video) = Mp4Video::new(Cursor::new(bytes)) else { return };
    assert!(video.sps().width > 0 && video.sps().height > 0, "{:?}", video.sps());
    let len = video.len();
    let read = video.units().take(MOST_UNITS).filter(Result::is_ok).count();
    assert!(read <= len);
}

/// A JPEG: no picture is larger than its bound, at whatever scale.
pub fn jpeg(bytes: &[u8]) {
    for at_least in [None, Some((16, 16))] {
        if let Ok(image) = jpeg::decode(bytes, at_least, MAX_PIXELS) {
            let pixels = u64::from(image.width) * u64::from(image.height);
            assert!(pixels <= MAX_PIXELS, "{image:?}");
            assert_eq!(u64::try_from(image.data.len()), Ok(3 * pixels), "{image:?}");
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn h264() {
        replay("h264", super::h264);
    }

    #[test]
    fn annex_b() {
        replay("annex_b", super::annex_b);
    }

    #[test]
    fn mp4() {
        replay("mp4", super::mp4);
    }

    #[test]
    fn jpeg() {
        replay("jpeg", super::jpeg);
    }
}
