//! Bits of raw byte sequence payloads: read with the place of every field, and written again with some of them changed.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, Numeric, Primitive};

/// Where the fields of a syntax structure begin, in bits from the payload's start, and where reading ended.
#[derive(Debug, Default)]
pub(super) struct Places {
    fields: Vec<(&'static str, usize)>,
    /// The place of the bit after the last field.
    pub(super) end: usize,
}

impl Places {
    /// The place of a field's first bit; `None` when the structure does not have it.
    pub(super) fn of(&self, name: &str) -> Option<usize> {
        self.fields.iter().find(|(field, _)| *field == name).map(|&(_, place)| place)
    }

    fn note(&mut self, name: &'static str, bits: usize) {
        self.fields.push((name, self.end));
        self.end += bits;
    }
}

/// A reader that notes places, and takes bytes after a payload's end for what they are: Reolink cameras append some to
/// their sequence parameter sets (<https://github.com/scottlamb/retina/issues/102>), which every other reader
/// passes over.
pub(super) struct Tracked<'a> {
    inner: BitReader<&'a [u8]>,
    places: &'a mut Places,
}

impl<'a> Tracked<'a> {
    /// Reads a payload without header byte and emulation prevention.
    pub(super) fn new(payload: &'a [u8], places: &'a mut Places) -> Self {
        Self { inner: BitReader::new(payload), places }
    }
}

/// Bits of an Exp-Golomb code (ITU-T H.264 §9.1).
fn golomb_bits(value: u32) -> usize {
    2 * crate::number::size((u64::from(value) + 1).ilog2()) + 1
}

impl BitRead for Tracked<'_> {
    fn read_ue(&mut self, name: &'static str) -> Result<u32, BitReaderError> {
        let value = self.inner.read_ue(name)?;
        self.places.note(name, golomb_bits(value));
        Ok(value)
    }

    fn read_se(&mut self, name: &'static str) -> Result<i32, BitReaderError> {
        let value = self.inner.read_se(name)?;
        let code = value.unsigned_abs().saturating_mul(2) - u32::from(value > 0);
        self.places.note(name, golomb_bits(code));
        Ok(value)
    }

    fn read_bool(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        let value = self.inner.read_bool(name)?;
        self.places.note(name, 1);
        Ok(value)
    }

    fn read<U: Numeric>(&mut self, bits: u32, name: &'static str) -> Result<U, BitReaderError> {
        let value = self.inner.read(bits, name)?;
        self.places.note(name, crate::number::size(bits));
        Ok(value)
    }

    fn read_to<V: Primitive>(&mut self, name: &'static str) -> Result<V, BitReaderError> {
        let value = self.inner.read_to(name)?;
        self.places.note(name, 8 * size_of::<V>());
        Ok(value)
    }

    fn skip(&mut self, bits: u32, name: &'static str) -> Result<(), BitReaderError> {
        self.inner.skip(bits, name)?;
        self.places.note(name, crate::number::size(bits));
        Ok(())
    }

    fn has_more_rbsp_data(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        self.inner.has_more_rbsp_data(name)
    }

    fn finish_rbsp(self) -> Result<(), BitReaderError> {
        match self.inner.finish_rbsp() {
            Err(BitReaderError::RemainingData) => Ok(()),
            ended => ended,
        }
    }

    fn finish_sei_payload(self) -> Result<(), BitReaderError> {
        self.inner.finish_sei_payload()
    }
}

/// A payload that is being written.
#[derive(Debug, Default)]
pub(super) struct Written {
    bytes: Vec<u8>,
    bits: usize,
}

impl Written {
    /// Appends one bit.
    pub(super) fn bit(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut().filter(|_| bit) {
            *last |= 0x80 >> (self.bits % 8);
        }
        self.bits += 1;
    }

    /// Appends the bits of another payload from one place up to another.
    pub(super) fn copy(&mut self, payload: &[u8], from: usize, to: usize) {
        let aligned = to.min(from.next_multiple_of(8));
        (from..aligned).for_each(|place| self.bit(bit_at(payload, place)));
        let whole = aligned + (to - aligned) / 8 * 8;
        self.bytes_of(&payload[aligned / 8..whole / 8]);
        (whole..to).for_each(|place| self.bit(bit_at(payload, place)));
    }

    /// Appends ones up to the next whole byte.
    pub(super) fn align(&mut self) {
        while !self.bits.is_multiple_of(8) {
            self.bit(true);
        }
    }

    /// Appends whole bytes, wherever in a byte they begin.
    pub(super) fn bytes_of(&mut self, bytes: &[u8]) {
        let shift = self.bits % 8;
        self.bytes.reserve(bytes.len());
        self.bits += 8 * bytes.len();
        for &byte in bytes {
            match self.bytes.last_mut() {
                Some(last) if shift > 0 => {
                    *last |= byte >> shift;
                    self.bytes.push(byte << (8 - shift));
                }
                _ => self.bytes.push(byte),
            }
        }
    }

    /// What was written, the last byte filled up with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A bit of a payload, counted from its first; false beyond its end.
pub(super) fn bit_at(payload: &[u8], place: usize) -> bool {
    payload.get(place / 8).is_some_and(|byte| byte >> (7 - place % 8) & 1 == 1)
}

/// Changes so many bits of a payload at a place to those of a number.
pub(super) fn set_bits(payload: &mut [u8], place: usize, bits: usize, value: u32) {
    for index in 0..bits {
        let place = place + index;
        let Some(byte) = payload.get_mut(place / 8) else { return };
        let mask = 0x80 >> (place % 8);
        if value >> (bits - 1 - index) & 1 == 1 {
            *byte |= mask;
        } else {
            *byte &= !mask;
        }
    }
}

/// A NAL unit of its header and its payload, with emulation prevention (ITU-T H.264 §7.4.1.1).
pub(super) fn escaped(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(payload.len() + 16);
    nal.push(header);
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

#[cfg(test)]
mod tests {
    use h264_reader::rbsp::decode_nal;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_look_like_a_start_code_is_escaped() {
        assert_eq!(escaped(0x67, &[0, 0, 1, 0, 0, 0]), [0x67, 0, 0, 3, 1, 0, 0, 3, 0]);
    }

    #[test]
    fn places_are_those_of_the_fields() {
        let mut places = Places::default();
        // ue(3) is 00100, a flag 1, se(-2) is 00101, two bits 10, ue(0) is 1.
        let payload = [0b0010_0100, 0b1011_0100];
        let mut reader = Tracked::new(&payload, &mut places);
        assert_eq!(reader.read_ue("a").unwrap(), 3);
        assert!(reader.read_bool("b").unwrap());
        assert_eq!(reader.read_se("c").unwrap(), -2);
        assert_eq!(reader.read::<u8>(2, "d").unwrap(), 0b10);
        let of = ["a", "b", "c", "d", "e"].map(|name| places.of(name));
        assert_eq!(of, [Some(0), Some(5), Some(6), Some(11), None]);
        assert_eq!(places.end, 13);
    }

    #[test]
    fn bits_are_changed_in_place() {
        let mut payload = [0b1111_1111, 0];
        set_bits(&mut payload, 6, 4, 0b0110);
        assert_eq!(payload, [0b1111_1101, 0b1000_0000]);
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_back(payload in proptest::collection::vec(0_u8..5, 1..40)) {
            prop_assume!(payload.last() != Some(&0));
            let nal = escaped(0x67, &payload);
            prop_assert_eq!(&decode_nal(&nal).unwrap()[..], &payload[..]);
        }

        #[test]
        fn bits_are_copied_from_anywhere_to_anywhere(
            payload in proptest::collection::vec(any::<u8>(), 1..12), cut in 0_usize..96, shift in 0_usize..9,
        ) {
            let (end, from) = (payload.len() * 8, cut.min(payload.len() * 8));
            let mut written = Written::default();
            (0..shift).for_each(|_| written.bit(true));
            written.copy(&payload, from, end);
            let bytes = written.into_bytes();
            let copied: Vec<bool> = (0..end - from).map(|at| bit_at(&bytes, shift + at)).collect();
            let wanted: Vec<bool> = (from..end).map(|at| bit_at(&payload, at)).collect();
            prop_assert_eq!(copied, wanted);
        }
    }
}
