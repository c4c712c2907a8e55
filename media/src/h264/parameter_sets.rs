//! Remembers parameter sets, so that every access unit at which decoding can start may carry them.

use std::collections::BTreeMap;

use h264_reader::rbsp::{BitRead as _, BitReader, ByteReader};

use super::nal::{Nal, NalType, nal_units, push_nal};

/// A parameter set's kind and number; those of sequences come before those of the pictures that name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Sequence(u32),
    Picture(u32),
}

/// The parameter sets that hold at a place in a stream.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sets: BTreeMap<Key, Vec<u8>>,
}

/// More bytes than any parameter set has; with H.264's 32 + 256 numbers, bounds what a hostile stream can make us keep.
const MOST_BYTES: usize = 16 << 10;

impl ParameterSets {
    /// Takes notice of a stream's next NAL unit: a parameter set replaces the one of its number.
    pub fn observe(&mut self, nal: Nal<'_>) {
        if let Some(key) = key(nal).filter(|_| nal.bytes().len() <= MOST_BYTES) {
            self.sets.insert(key, nal.bytes().to_vec());
        }
    }

    /// The access unit with all parameter sets that hold: its own, and those that it does not carry.
    pub(crate) fn completed(&self, annex_b: Vec<u8>) -> Vec<u8> {
        let carried: Vec<Key> = nal_units(&annex_b).filter_map(key).collect();
        let missing = self.sets.iter().filter(|(key, _)| !carried.contains(key));
        let missing: Vec<Nal<'_>> = missing.filter_map(|(_, nal)| Nal::new(nal)).collect();
        if missing.is_empty() {
            return annex_b;
        }
        let mut nals: Vec<Nal<'_>> = missing.into_iter().chain(nal_units(&annex_b)).collect();
        nals.sort_by_key(|nal| place(nal.unit_type()));
        let mut whole = Vec::with_capacity(annex_b.len() + 64);
        nals.into_iter().for_each(|nal| push_nal(&mut whole, nal.bytes()));
        whole
    }
}

/// In which order NAL units stand (ITU-T H.264 §7.4.1.2.3): a delimiter is first, and what names another comes later.
fn place(kind: NalType) -> u8 {
    match kind {
        NalType::Delimiter => 0,
        NalType::Sps => 1,
        NalType::Pps => 2,
        _ => 3,
    }
}

/// The kind and number of a parameter set; `None` for other NAL units, and where the number is beyond H.264's.
fn key(nal: Nal<'_>) -> Option<Key> {
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(nal.bytes()));
    match nal.unit_type() {
        NalType::Sps => {
            bits.skip(24, "profile and level").ok()?;
            let id = bits.read_ue("seq_parameter_set_id").ok()?;
            (id < 32).then_some(Key::Sequence(id))
        }
        NalType::Pps => {
            let id = bits.read_ue("pic_parameter_set_id").ok()?;
            (id < 256).then_some(Key::Picture(id))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameter sets of number 0 (a first bit of 1) and 1 (`010`).
    const SPS: [u8; 5] = [0x67, 66, 0, 30, 0x80];
    const PPS_0: [u8; 2] = [0x68, 0xc8];
    const PPS_0_CHANGED: [u8; 2] = [0x68, 0xc9];
    const PPS_1: [u8; 2] = [0x68, 0x48];

    fn joined(nals: &[&[u8]]) -> Vec<u8> {
        let mut annex_b = Vec::new();
        nals.iter().for_each(|nal| push_nal(&mut annex_b, nal));
        annex_b
    }

    fn after(nals: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        nals.iter().for_each(|nal| sets.observe(Nal::new(nal).unwrap()));
        sets
    }

    #[test]
    fn one_that_changes_and_changes_back_is_the_one_that_holds() {
        let sets = after(&[&SPS, &PPS_0, &PPS_1, &PPS_0_CHANGED, &PPS_0]);
        let whole = sets.completed(joined(&[&[0x65, 1]]));
        assert_eq!(whole, joined(&[&SPS, &PPS_0, &PPS_1, &[0x65, 1]]));
    }

    #[test]
    fn what_a_key_frame_carries_itself_is_not_put_before_it() {
        let sets = after(&[&SPS, &PPS_0, &PPS_1]);
        let unit = joined(&[&[0x09, 0xf0], &SPS, &PPS_0_CHANGED, &[0x65, 1]]);
        let whole = joined(&[&[0x09, 0xf0], &SPS, &PPS_1, &PPS_0_CHANGED, &[0x65, 1]]);
        assert_eq!(sets.completed(unit), whole);
        let complete = joined(&[&SPS, &PPS_0, &PPS_1, &[0x65, 1]]);
        assert_eq!(sets.completed(complete.clone()), complete);
    }
}
