//! Supplemental enhancement information (ITU-T H.264 annex D): where decoding can start besides IDR pictures, and how
//! pictures are to be shown.

use h264_reader::rbsp::{BitRead as _, BitReader, decode_nal};

use super::nal::Nal;

/// `payloadType` of a recovery point (ITU-T H.264 §D.1.1).
const RECOVERY_POINT: usize = 6;
/// `payloadType` of a display orientation.
const DISPLAY_ORIENTATION: usize = 47;

/// After how many frames pictures are right again when decoding starts at the access unit of this message
/// (`recovery_frame_cnt`, ITU-T H.264 §D.2.8): 0 for an I picture, more where pictures are refreshed little by
/// little. `None` when it tells of no recovery point.
pub(crate) fn recovery_frames(sei: Nal<'_>) -> Option<u32> {
    let payload = decode_nal(sei.bytes()).ok()?;
    BitReader::new(message(&payload, RECOVERY_POINT)?).read_ue("recovery_frame_cnt").ok()
}

/// How a picture is to be shown, where it is not as it is coded (`display orientation`, ITU-T H.264 §D.2.26).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orientation {
    /// Mirrored, from left to right or from top to bottom.
    pub mirrored: bool,
    /// Turned clockwise by so many degrees.
    pub degrees: f64,
}

/// What a message tells of how its picture is to be shown; `None` when it tells nothing, or nothing special.
pub(crate) fn orientation(sei: Nal<'_>) -> Option<Orientation> {
    let payload = decode_nal(sei.bytes()).ok()?;
    let mut bits = BitReader::new(message(&payload, DISPLAY_ORIENTATION)?);
    if bits.read_bool("display_orientation_cancel_flag").ok()? {
        return None;
    }
    let across = bits.read_bool("hor_flip").ok()?;
    let mirrored = bits.read_bool("ver_flip").ok()? || across;
    let anticlockwise: u16 = bits.read(16, "anticlockwise_rotation").ok()?;
    let degrees = f64::from(anticlockwise.wrapping_neg()) * 360.0 / 65_536.0;
    (mirrored || anticlockwise > 0).then_some(Orientation { mirrored, degrees })
}

/// The first message of a kind.
fn message(payload: &[u8], wanted: usize) -> Option<&[u8]> {
    let mut rest = payload;
    loop {
        let (kind, after) = number(rest)?;
        let (length, after) = number(after)?;
        let (message, after) = after.split_at_checked(length)?;
        if kind == wanted {
            return Some(message);
        }
        rest = after;
    }
}

/// A type or length: bytes of 255, and one that is less (ITU-T H.264 §7.3.2.3.1).
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = bytes.get(full)?;
    Some((255 * full + usize::from(*last), &bytes[full + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(sei: &[u8]) -> Option<u32> {
        recovery_frames(Nal::new(sei).unwrap())
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        assert_eq!(frames(&[0x06, 0x06, 0x01, 0xc4, 0x80]), Some(0));
        let behind = [&[0x06, 0x05, 0xff, 0x02][..], &[7; 257], &[0x06, 0x01, 0x34, 0x80]].concat();
        assert_eq!(frames(&behind), Some(5));
    }

    #[test]
    fn an_orientation_is_found_where_it_is_not_the_usual_one() {
        // Not cancelled, not flipped, a quarter of a turn anticlockwise: 0 0 0 0100000000000000, then 1 and 0.
        let turned = |bytes: [u8; 3]| {
            let sei = [&[0x06, 47, 3][..], &bytes, &[0x80]].concat();
            orientation(Nal::new(&sei).unwrap())
        };
        let quarter = turned([0b0000_1000, 0, 0b0001_0000]);
        assert_eq!(quarter, Some(Orientation { mirrored: false, degrees: 270.0 }));
        let mirrored = turned([0b0100_0000, 0, 0b0001_0000]);
        assert_eq!(mirrored, Some(Orientation { mirrored: true, degrees: 0.0 }));
        assert_eq!(turned([0, 0, 0b0001_0000]), None);
        assert_eq!(turned([0b1000_0000, 0, 0]), None);
        assert_eq!(orientation(Nal::new(&[0x06, 0x06, 0x01, 0xc4, 0x80]).unwrap()), None);
    }

    #[test]
    fn other_and_damaged_messages_tell_of_none() {
        for sei in
            [&[0x06][..], &[0x06, 0x05, 0x01, 0x00, 0x80], &[0x06, 0x06, 0x09, 0x80], &[0x06, 0xff]]
        {
            assert_eq!(frames(sei), None, "{sei:?}");
        }
    }
}
