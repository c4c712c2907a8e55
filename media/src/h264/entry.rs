//! Lets openh264 begin at a recovery point, where others begin as well; by itself it begins at IDR pictures only.
//!
//! The picture of a recovery point refers to no other, nor do those that are shown after it to any before it
//! (ITU-T H.264 §D.2.8). So its slices are handed over as those of an IDR picture, and from there up to the next real
//! one frames are counted from it. References are told as differences of frame numbers, so that they stay what they
//! were.

use h264_reader::rbsp::decode_nal;

use super::bits::{Written, escaped, set_bits};
use super::nal::Nal;
use super::slice::{SlicePlaces, SliceReader};

/// NAL unit type of a slice of an IDR picture.
const IDR: u8 = 5;

/// The picture at which decoding began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its frame number, which counts as 0.
    frame_num: u16,
    /// The frame number of the last picture that others may refer to.
    last: u16,
}

impl Entry {
    /// Begins with a picture whose slice this is; `None` when its header cannot be read.
    pub(super) fn at(slices: &SliceReader, slice: Nal<'_>) -> Option<Self> {
        let payload = decode_nal(slice.bytes()).ok()?;
        let frame_num = slices.places(slice, &payload)?.frame_num;
        Some(Self { frame_num, last: frame_num })
    }

    /// A slice of the picture at which decoding begins, as one of an IDR picture; `None` when its header cannot be
    /// read.
    pub(super) fn as_idr(self, slices: &SliceReader, slice: Nal<'_>) -> Option<Vec<u8>> {
        let payload = decode_nal(slice.bytes()).ok()?;
        let SlicePlaces { places, sps, pps, .. } = slices.places(slice, &payload)?;
        let (number, width) = (places.of("frame_num")?, usize::from(sps.log2_max_frame_num()));
        let marking = places.of("adaptive_ref_pic_marking_mode_flag")?;
        let after_marking = places.of("slice_qp_delta")?;
        let mut idr = Written::default();
        idr.copy(&payload, 0, number);
        (0..width).for_each(|_| idr.bit(false));
        // `idr_pic_id` of 0.
        idr.bit(true);
        idr.copy(&payload, number + width, marking);
        // Neither `no_output_of_prior_pics_flag` nor `long_term_reference_flag`.
        (0..2).for_each(|_| idr.bit(false));
        idr.copy(&payload, after_marking, places.end);
        if pps.entropy_coding_mode_flag {
            idr.align();
            idr.bytes_of(payload.get(places.end.div_ceil(8)..)?);
        } else {
            idr.copy(&payload, places.end, payload.len() * 8);
        }
        let header = slice.bytes()[0] & 0xe0 | IDR;
        Some(escaped(header, without_trailing_zeros(&idr.into_bytes())))
    }

    /// A slice of a later picture, its frame number counted from this one's; `None` when its header cannot be read.
    pub(super) fn rebased(self, slices: &SliceReader, slice: Nal<'_>) -> Option<Vec<u8>> {
        let mut payload = decode_nal(slice.bytes()).ok()?.into_owned();
        let SlicePlaces { places, frame_num, sps, .. } = slices.places(slice, &payload)?;
        let (place, width) = (places.of("frame_num")?, usize::from(sps.log2_max_frame_num()));
        let since = frame_num.wrapping_sub(self.frame_num);
        set_bits(&mut payload, place, width, since.into());
        Some(escaped(slice.bytes()[0], &payload))
    }

    /// Takes note of a picture after the entry, by its first slice; tells whether one that others may refer to is
    /// missing before it.
    pub(super) fn is_gap_before(&mut self, slices: &SliceReader, slice: Nal<'_>) -> Option<bool> {
        let payload = decode_nal(slice.bytes()).ok()?;
        let SlicePlaces { frame_num, sps, .. } = slices.places(slice, &payload)?;
        let mask = u16::try_from((1_u32 << sps.log2_max_frame_num()) - 1).unwrap_or(u16::MAX);
        let next = self.last.wrapping_add(1) & mask;
        let is_gap = frame_num != self.last && frame_num != next;
        if slice.ref_idc() != 0 {
            self.last = frame_num;
        }
        Some(is_gap)
    }
}

/// A NAL unit does not end with a zero: the stop bit is in its last byte.
fn without_trailing_zeros(payload: &[u8]) -> &[u8] {
    let end = payload.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &payload[..end]
}
