//! H.264 in RTP (RFC 6184): how many NAL units a payload begins, whether it is one, and which part of a picture it holds.

use super::scan::{FORBIDDEN, Scan};
use super::video::Unfit;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// The bit of a fragment's second byte that says that it begins its unit.
const FU_START: u8 = 0x80;
/// The bit that says that it ends its unit.
const FU_END: u8 = 0x40;
/// The bit of a slice's first byte after its header that says that it begins its picture: `first_mb_in_slice` is 0
/// (ITU-T H.264 §7.3.3, §9.1).
const FIRST_SLICE: u8 = 0x80;

/// The NAL units that a payload begins; `fragmented` reads the one that comes in several.
///
/// # Errors
/// The RTSP library would end the session for it.
pub(super) fn units_begun(payload: &[u8], fragmented: &mut Scan) -> Result<usize, Unfit> {
    let &[header, ref rest @ ..] = payload else { return Err(Unfit::Damaged) };
    if header & FORBIDDEN != 0 {
        return Err(Unfit::Damaged);
    }
    match header & 0x1f {
        1..=23 => Ok(1 + Scan::default().read(rest)?),
        STAP_A => aggregated(rest),
        FU_A => {
            let (&header, rest) = rest.split_first().ok_or(Unfit::Damaged)?;
            let begins = header & FU_START != 0;
            if begins {
                *fragmented = Scan::default();
            }
            Ok(usize::from(begins) + fragmented.read(rest)?)
        }
        _ => Err(Unfit::Damaged),
    }
}

/// Tells supplemental information, a whole unit or a fragment of one, from all else (ITU-T H.264 §7.3.2.3).
pub(super) fn is_message(payload: &[u8]) -> bool {
    const MESSAGE: u8 = 6;
    match payload {
        [indicator, header, ..] if indicator & 0x1f == FU_A => header & 0x1f == MESSAGE,
        [header, ..] => header & 0x1f == MESSAGE,
        [] => false,
    }
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

fn aggregated(mut rest: &[u8]) -> Result<usize, Unfit> {
    let mut units = 0;
    while let &[high, low, ref tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (unit, tail) = tail.split_at_checked(len).ok_or(Unfit::Damaged)?;
        let (_, behind_header) = unit.split_first().ok_or(Unfit::Damaged)?;
        units += 1 + Scan::default().read(behind_header)?;
        rest = tail;
    }
    if rest.is_empty() { Ok(units) } else { Err(Unfit::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_where_they_begin() {
        let begun = |payload: &[u8]| units_begun(payload, &mut Scan::default());
        assert_eq!(begun(&[0x65, 0x88, 1]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x85, 1]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x05, 1]), Ok(0));
        assert_eq!(begun(&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]), Ok(2));
        assert_eq!(begun(&[0x06, 5, 0, 0, 1, 6, 0, 0, 1, 6]), Ok(3));
        assert_eq!(begun(&[0x78, 0, 5, 6, 0, 0, 1, 6, 0, 1, 0x68]), Ok(3));
    }

    #[test]
    fn a_unit_is_read_across_its_fragments() {
        let mut fragmented = Scan::default();
        let mut begun = |payload: &[u8]| units_begun(payload, &mut fragmented);
        assert_eq!(begun(&[0x7c, 0x85, 0x88, 0, 0]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x05, 2, 7]), Err(Unfit::Forbidden));
        assert_eq!(begun(&[0x7c, 0x85, 0x88, 0, 0]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x45, 1, 0x41]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x85, 0x88, 0, 0]), Ok(1));
        assert_eq!(begun(&[0x7c, 0x85, 2]), Ok(1), "another unit");
    }

    #[test]
    fn what_no_unit_may_hold_is_found_in_units_of_all_kinds() {
        for payload in [
            &[0x65, 0x88, 0, 0, 2, 9][..],
            &[0x78, 0, 1, 0x68, 0, 5, 0x65, 0x88, 0, 0, 2],
            &[0x7c, 0x85, 0x88, 0, 0, 0, 9],
        ] {
            let begun = units_begun(payload, &mut Scan::default());
            assert_eq!(begun, Err(Unfit::Forbidden), "{payload:?}");
        }
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
            &[0x65, 0x88, 0, 0, 1, 0xe5],
        ] {
            let begun = units_begun(payload, &mut Scan::default());
            assert_eq!(begun, Err(Unfit::Damaged), "{payload:?}");
        }
    }
}
