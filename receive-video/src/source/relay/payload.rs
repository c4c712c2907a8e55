//! H.264 in RTP (RFC 6184): how many NAL units a payload begins, whether it is one, and which part of a picture it holds.

use memchr::memmem;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// The bit of a fragment's second byte that says that it begins its unit.
const FU_START: u8 = 0x80;
/// The bit that says that it ends its unit.
const FU_END: u8 = 0x40;
/// The bit of a slice's first byte after its header that says that it begins its picture: `first_mb_in_slice` is 0
/// (ITU-T H.264 §7.3.3, §9.1).
const FIRST_SLICE: u8 = 0x80;
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

/// A fragment of a NAL unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) first: bool,
    pub(super) last: bool,
}

impl Fragment {
    /// The fragment that a payload is, if it is one.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            [indicator, header, ..] if indicator & 0x1f == FU_A => {
                Some(Self { first: header & FU_START != 0, last: header & FU_END != 0 })
            }
            _ => None,
        }
    }
}

/// Which part of a picture a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The first slice, or the beginning of it.
    Beginning,
    /// A later slice, or the beginning of it.
    Slice,
    /// More of a unit that began in an earlier packet.
    Fragment,
    /// No slice: parameter sets and the like.
    Other,
}

impl Part {
    /// Looks into a payload.
    pub(super) fn of(payload: &[u8]) -> Self {
        match payload {
            [header, rest @ ..] if header & 0x1f == STAP_A => Self::of_first_slice(rest),
            [indicator, header, rest @ ..] if indicator & 0x1f == FU_A => {
                if header & FU_START == 0 {
                    return Self::Fragment;
                }
                Self::of_unit(*header, rest.first())
            }
            [header, rest @ ..] => Self::of_unit(*header, rest.first()),
            [] => Self::Other,
        }
    }

    /// By a NAL unit's header and the byte after it.
    fn of_unit(header: u8, next: Option<&u8>) -> Self {
        match (header & 0x1f, next) {
            (1 | 2 | 5, Some(next)) if next & FIRST_SLICE != 0 => Self::Beginning,
            (1 | 2 | 5, Some(_)) => Self::Slice,
            _ => Self::Other,
        }
    }

    /// Of the first slice among units that come together.
    fn of_first_slice(mut units: &[u8]) -> Self {
        while let [high, low, rest @ ..] = units {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((unit, rest)) = rest.split_at_checked(len) else { break };
            match unit.first().map(|header| Self::of_unit(*header, unit.get(1))) {
                None | Some(Self::Other) => units = rest,
                Some(part) => return part,
            }
        }
        Self::Other
    }
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
    fn slices_are_told_apart_by_whether_they_begin_their_picture() {
        assert_eq!(Part::of(&[0x65, 0x88]), Part::Beginning);
        assert_eq!(Part::of(&[0x41, 0x28]), Part::Slice);
        assert_eq!(Part::of(&[0x7c, 0x85, 0x88]), Part::Beginning);
        assert_eq!(Part::of(&[0x7c, 0x81, 0x28]), Part::Slice);
        assert_eq!(Part::of(&[0x7c, 0x05, 0x88]), Part::Fragment);
        assert_eq!(Part::of(&[0x7c, 0x45, 0x88]), Part::Fragment);
        assert_eq!(Part::of(&[0x78, 0, 2, 0x67, 1, 0, 2, 0x41, 0x88]), Part::Beginning);
        for other in [&[][..], &[0x67, 0x88], &[0x65], &[0x78, 0, 9, 0x65, 0x88], &[0x7c]] {
            assert_eq!(Part::of(other), Part::Other, "{other:?}");
        }
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
