//! NAL units of an Annex B byte stream (ITU-T H.264, Annex B).

/// What a NAL unit holds (ITU-T H.264 table 7-1), as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice of a picture that is not an IDR picture, or a part of one (types 1 to 4).
    Slice,
    /// A slice of an IDR picture, where decoding can start.
    Idr,
    /// Supplemental enhancement information.
    Sei,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// Access unit delimiter.
    Delimiter,
    /// Any other type.
    Other(u8),
}

/// One NAL unit, its header byte first, without start code and trailing zeros; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nal<'a> {
    bytes: &'a [u8],
}

impl<'a> Nal<'a> {
    /// Takes a NAL unit without start code; `None` when it is empty.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() { None } else { Some(Self { bytes }) }
    }

    /// The bytes, header first, with emulation prevention as transmitted.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// What it holds.
    pub fn unit_type(self) -> NalType {
        match self.bytes[0] & 0x1f {
            1..=4 => NalType::Slice,
            5 => NalType::Idr,
            6 => NalType::Sei,
            7 => NalType::Sps,
            8 => NalType::Pps,
            9 => NalType::Delimiter,
            other => NalType::Other(other),
        }
    }

    /// `nal_ref_idc`: 0 when no other picture refers to it.
    pub fn ref_idc(self) -> u8 {
        (self.bytes[0] >> 5) & 3
    }

    /// Whether it carries picture content (a VCL NAL unit).
    pub fn is_slice(self) -> bool {
        matches!(self.unit_type(), NalType::Slice | NalType::Idr)
    }
}

/// Iterates over the NAL units of a byte stream; what stands before the first start code is passed over.
pub fn nal_units(annex_b: &[u8]) -> NalUnits<'_> {
    let rest = match start_code(annex_b) {
        Some(at) => &annex_b[at + 3..],
        None => &[],
    };
    NalUnits { rest }
}

/// Iterator over the NAL units of a byte stream.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Nal<'a>;

    fn next(&mut self) -> Option<Nal<'a>> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            if let Some(nal) = Nal::new(without_trailing_zeros(unit)) {
                return Some(nal);
            }
        }
        None
    }
}

/// Finds the next `00 00 01`.
pub(crate) fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&third) = data.get(at + 2) {
        match third {
            0 => at += 1,
            1 if data[at] == 0 && data[at + 1] == 0 => return Some(at),
            _ => at += 3,
        }
    }
    None
}

fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

/// Appends a NAL unit with a four-byte start code.
pub fn push_nal(annex_b: &mut Vec<u8>, nal: &[u8]) {
    annex_b.extend_from_slice(&[0, 0, 0, 1]);
    annex_b.extend_from_slice(nal);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(data: &[u8]) -> Vec<&[u8]> {
        nal_units(data).map(Nal::bytes).collect()
    }

    #[test]
    fn both_lengths_of_start_code_and_trailing_zeros_are_understood() {
        let stream = [9, 9, 0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 6, 0, 0, 0, 0, 1, 0x65, 0, 2, 0, 0];
        assert_eq!(split(&stream), [&[0x67, 5][..], &[0x68, 6], &[0x65, 0, 2]]);
    }

    #[test]
    fn empty_units_are_left_out() {
        assert_eq!(split(&[0, 0, 1, 0, 0, 1, 0, 0, 1, 0x41]), [&[0x41][..]]);
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[0, 0, 1]).is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_split_into_units_without_start_codes(data: Vec<u8>) {
            for nal in nal_units(&data) {
                prop_assert_eq!(start_code(nal.bytes()), None);
                prop_assert!(!nal.bytes().ends_with(&[0]));
            }
        }

        #[test]
        fn what_was_joined_is_split_again(units in proptest::collection::vec(
            proptest::collection::vec(1_u8..=255, 1..20), 0..8,
        )) {
            let mut stream = Vec::new();
            for unit in &units {
                push_nal(&mut stream, unit);
            }
            prop_assert_eq!(split(&stream), units);
        }
    }
}
