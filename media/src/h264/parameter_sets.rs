//! Remembers parameter sets, so that every key frame can carry them.

use super::nal::{Nal, NalType, push_nal};

/// The parameter sets that hold at a place in a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterSets {
    /// NAL units, sequence parameter sets before the picture parameter sets that name them.
    nals: Vec<Vec<u8>>,
    /// The last NAL unit was no parameter set.
    complete: bool,
}

/// More than any stream needs (H.264 has 32 + 256 ids); bounds what a hostile one can make us keep.
const MOST: usize = 288;

impl ParameterSets {
    /// Takes notice of the stream's next NAL unit.
    pub(crate) fn observe(&mut self, nal: Nal<'_>) {
        match nal.unit_type() {
            NalType::Sps if self.complete => {
                self.nals.clear();
                self.add(nal);
            }
            NalType::Sps | NalType::Pps => self.add(nal),
            _ if nal.is_slice() => self.complete = true,
            _ => {}
        }
    }

    /// Adds a parameter set as a container holds it.
    pub(crate) fn add(&mut self, nal: Nal<'_>) {
        self.complete = false;
        let known = self.nals.iter().any(|known| known == nal.bytes());
        if !known && self.nals.len() < MOST {
            self.nals.push(nal.bytes().to_vec());
        }
    }

    /// Appends all of them in Annex B form.
    pub(crate) fn write(&self, annex_b: &mut Vec<u8>) {
        for nal in &self.nals {
            push_nal(annex_b, nal);
        }
    }
}
