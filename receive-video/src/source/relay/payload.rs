//! H.264 in RTP (RFC 6184): how many NAL units a payload begins, and whether it is one.

use memchr::memmem;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// The bit of a fragment's second byte that says that it begins its unit.
const FU_START: u8 = 0x80;
/// The bit of a NAL unit's first byte that must not be set.
const FORBIDDEN: u8 = 0x80;
/// What some cameras put between units within a payload, and readers split it at.
const START_CODE: [u8; 3] = [0, 0, 1];

/// The NAL units that a payload begins; nothing for what is no payload that the RTSP library takes.
pub(super) fn units_begun(payload: &[u8]) -> Option<usize> {
    let &[header, ref rest @ ..] = payload else { return None };
    if header & FORBIDDEN != 0 {
        return None;
    }
    let units = match header & 0x1f {
        1..=23 => 1,
        STAP_A => aggregated(rest)?,
        FU_A => usize::from(rest.first()? & FU_START != 0),
        _ => return None,
    };
    Some(units + memmem::find_iter(payload, &START_CODE).count())
}

fn aggregated(mut rest: &[u8]) -> Option<usize> {
    let mut units = 0;
    while let &[high, low, ref tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([high, low]));
        rest = tail.get(len..).filter(|_| len > 0)?;
        units += 1;
    }
    rest.is_empty().then_some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_where_they_begin() {
        assert_eq!(units_begun(&[0x65, 0x88, 1]), Some(1));
        assert_eq!(units_begun(&[0x7c, 0x85, 1]), Some(1));
        assert_eq!(units_begun(&[0x7c, 0x05, 1]), Some(0));
        assert_eq!(units_begun(&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]), Some(2));
        assert_eq!(units_begun(&[0x06, 5, 0, 0, 1, 6, 0, 0, 1, 6]), Some(3));
    }

    #[test]
    fn what_the_library_would_fail_at_is_no_payload() {
        for payload in [
            &[][..],
            &[0xe5, 0x88],
            &[0],
            &[25, 0, 1, 1],
            &[29, 0x85, 0],
            &[31],
            &[0x7c],
            &[0x78, 0, 3, 0x67, 1],
            &[0x78, 0, 0],
            &[0x78, 0, 1, 0x67, 0],
        ] {
            assert_eq!(units_begun(payload), None, "{payload:?}");
        }
    }
}
