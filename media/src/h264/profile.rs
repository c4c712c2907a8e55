//! Keeps openh264 from reordering pictures.
//!
//! Unless a stream says that it is Baseline or Scalable Baseline, openh264 holds pictures back to put them in order,
//! for one access unit at least even where nothing is reordered. Its flush brings them out, but never gives their
//! buffers back (`ReleaseBufferedReadyPictureReorder` without a context counts no reference down), so that a
//! decoder is out of memory after a dozen. Order is our own affair (see `order`), for which it has everything
//! it needs: so each sequence parameter set is handed over as one of Scalable Baseline (83), whose syntax is that of
//! High. The decoder asks the profile for nothing else that matters: tools are told by the other fields.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::decode_nal;

use super::bits::{Places, Tracked, escaped, set_bits};

const SCALABLE_BASELINE: u8 = 83;

/// The sequence parameter set as one of Scalable Baseline; `None` when it is damaged.
pub(super) fn disguised(sps: &[u8]) -> Option<Vec<u8>> {
    let mut sps = sps.to_vec();
    match *sps.get(1)? {
        66 | SCALABLE_BASELINE => {}
        86 | 100 | 110 | 122 => sps[1] = SCALABLE_BASELINE,
        _ => sps = with_chroma_fields(&sps)?,
    }
    Some(sps)
}

/// The sequence parameter set as one of a stream in which frame numbers may be missing; `None` when it is damaged.
pub(super) fn with_gaps(sps: &[u8]) -> Option<Vec<u8>> {
    let mut payload = decode_nal(sps).ok()?.into_owned();
    let mut places = Places::default();
    SeqParameterSet::from_bits(Tracked::new(&payload, &mut places)).ok()?;
    let place = places.of("gaps_in_frame_num_value_allowed_flag")?;
    set_bits(&mut payload, place, 1, 1);
    Some(escaped(sps[0], &payload))
}

/// Adds the fields that High has and Main has not: 4:2:0, 8 bits, no transform bypass, no scaling matrix
/// (ITU-T H.264 §7.3.2.1.1).
fn with_chroma_fields(sps: &[u8]) -> Option<Vec<u8>> {
    /// `chroma_format_idc` ue(1), two bit depths ue(0), two flags.
    const FIELDS: [bool; 7] = [false, true, false, true, true, false, false];
    let rbsp = decode_nal(sps).ok()?;
    let (fixed, rest) = rbsp.split_at_checked(3)?;
    let bit = |index: usize| rest.get(index / 8).map(|byte| byte >> (7 - index % 8) & 1 == 1);
    // `seq_parameter_set_id` is ue(v): as many zeros as bits follow the first one.
    let zeros = (0..).find(|&index| bit(index) != Some(false)).filter(|&zeros| zeros <= 5)?;
    let id = 2 * zeros + 1;
    let mut bits: Vec<bool> = (0..rest.len() * 8).filter_map(bit).collect();
    let stop = bits.iter().rposition(|&bit| bit)?;
    bits.truncate(stop + 1);
    bits.splice(id..id, FIELDS);
    bits.resize(bits.len().next_multiple_of(8), false);
    let bytes =
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit)));
    let payload: Vec<u8> =
        [SCALABLE_BASELINE, fixed[1], fixed[2]].into_iter().chain(bytes).collect();
    Some(escaped(sps[0], &payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::sps::{self, Sps};

    /// Main profile, 768 × 432, made by x264.
    const MAIN: [u8; 24] = [
        0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x30, 0x0d, 0xd8, 0x08, 0x80, 0, 0, 0x03, 0, 0x80, 0,
        0, 0x19, 0x07, 0x8b, 0x16, 0xcb, 0,
    ];

    #[test]
    fn only_the_profile_changes() {
        let before = Sps::from_nal(&MAIN[..23]).unwrap();
        let after = Sps::from_nal(&disguised(&MAIN[..23]).unwrap()).unwrap();
        assert_eq!((before.profile, after.profile), (77, SCALABLE_BASELINE));
        assert_eq!((after.width, after.height), (before.width, before.height));
        assert_eq!((after.frame_rate, after.reorder), (before.frame_rate, before.reorder));
    }

    #[test]
    fn a_cut_off_parameter_set_is_refused() {
        assert_eq!(disguised(&[0x67]), None);
        assert_eq!(disguised(&[0x67, 77, 0]), None);
        assert_eq!(disguised(&[0x67, 77, 0, 30, 0, 0]), None);
    }

    #[test]
    fn only_the_flag_of_gaps_changes() {
        let with = with_gaps(&MAIN[..23]).unwrap();
        assert_eq!(Sps::from_nal(&with).unwrap(), Sps::from_nal(&MAIN[..23]).unwrap());
        let gaps = |sps: &[u8]| sps::parse(sps).unwrap().gaps_in_frame_num_value_allowed_flag;
        assert_eq!((gaps(&MAIN[..23]), gaps(&with)), (false, true));
    }
}
