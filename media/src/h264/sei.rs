//! Supplemental enhancement information (ITU-T H.264 annex D): where decoding can start besides IDR pictures.

use h264_reader::rbsp::{BitRead as _, BitReader, decode_nal};

use super::nal::Nal;

/// `payloadType` of a recovery point (ITU-T H.264 §D.1.1).
const RECOVERY_POINT: usize = 6;

/// After how many frames pictures are right again when decoding starts at the access unit of this message
/// (`recovery_frame_cnt`, ITU-T H.264 §D.2.8): 0 for an I picture, more where pictures are refreshed little by
/// little. `None` when it tells of no recovery point.
pub(crate) fn recovery_frames(sei: Nal<'_>) -> Option<u32> {
    let payload = decode_nal(sei.bytes()).ok()?;
    let mut rest = &payload[..];
    loop {
        let (kind, after) = number(rest)?;
        let (length, after) = number(after)?;
        let (message, after) = after.split_at_checked(length)?;
        if kind == RECOVERY_POINT {
            return BitReader::new(message).read_ue("recovery_frame_cnt").ok();
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
    fn other_and_damaged_messages_tell_of_none() {
        for sei in
            [&[0x06][..], &[0x06, 0x05, 0x01, 0x00, 0x80], &[0x06, 0x06, 0x09, 0x80], &[0x06, 0xff]]
        {
            assert_eq!(frames(sei), None, "{sei:?}");
        }
    }
}
