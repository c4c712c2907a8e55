//! One encoded picture as it came from the source.

use std::fmt;

use bytes::Bytes;

use crate::h264::ParameterSets;
use crate::h264::nal::{Nal, NalType, nal_units};
use crate::h264::sei::{Orientation, orientation, recovery_frames};
use crate::h264::slice::is_intra;
use crate::h264::sps::{Sps, SpsError};

/// One encoded H.264 picture with its time.
///
/// # Units
/// `pts` and `dts` are ticks of 1/90,000 second.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units in Annex B form; a key frame carries its parameter sets before its slices.
    pub data: Bytes,
    /// Presentation time.
    pub pts: i64,
    /// Decoding time; never decreases from one access unit to the next of a stream.
    pub dts: i64,
    /// Decoding can start here: an IDR picture, or an I picture that says so (a recovery point), which pictures may
    /// follow that are shown before it and refer to what came before it.
    pub key: bool,
    /// Something may refer to it. When false (`nal_ref_idc` is 0 throughout), leaving it out harms no other picture.
    pub referenced: bool,
}

impl AccessUnit {
    /// Makes an access unit of its bytes, finding out from the NAL headers whether it is a key frame and referenced.
    pub fn from_annex_b(data: impl Into<Bytes>, pts: i64, dts: i64) -> Self {
        let data = data.into();
        let (mut idr, mut recovers, mut referenced) = (false, false, false);
        for nal in nal_units(&data) {
            idr |= nal.unit_type() == NalType::Idr;
            recovers |= nal.unit_type() == NalType::Sei && recovery_frames(nal) == Some(0);
            referenced |= nal.ref_idc() != 0;
        }
        let key = idr || recovers && is_intra_picture(&data);
        Self { data, pts, dts, key, referenced }
    }

    /// Makes an access unit that, where it is a key frame, carries all the parameter sets that hold.
    pub(crate) fn complete(data: Vec<u8>, sets: &ParameterSets, pts: i64, dts: i64) -> Self {
        let unit = Self::from_annex_b(data, pts, dts);
        if unit.key { unit.with_parameter_sets(sets) } else { unit }
    }

    /// The access unit with all parameter sets that hold: its own, and those that it does not carry.
    pub fn with_parameter_sets(self, sets: &ParameterSets) -> Self {
        Self { data: sets.completed(self.data.into()).into(), ..self }
    }

    /// Whether it is an IDR picture: nothing after it refers to anything before it.
    pub fn is_idr(&self) -> bool {
        let mut slices = nal_units(&self.data).filter(|nal| nal.is_slice());
        self.key && slices.next().is_some_and(|nal| nal.unit_type() == NalType::Idr)
    }

    /// Whether pictures are refreshed little by little from here on (intra refresh), where other streams have key frames.
    pub fn refreshes(&self) -> bool {
        self.messages().any(|sei| recovery_frames(sei).is_some_and(|frames| frames > 0))
    }

    /// How its picture is to be shown, where it says that this is not as it is coded.
    pub fn orientation(&self) -> Option<Orientation> {
        self.messages().find_map(orientation)
    }

    /// The supplemental information before its slices.
    fn messages(&self) -> impl Iterator<Item = Nal<'_>> {
        let before_slices = nal_units(&self.data).take_while(|nal| !nal.is_slice());
        before_slices.filter(|nal| nal.unit_type() == NalType::Sei)
    }

    /// Reads the sequence parameter set of its picture; `None` when it carries none.
    ///
    /// # Errors
    /// The parameter set is damaged or of a kind not known here, or nothing tells which of several it is.
    pub fn sps(&self) -> Option<Result<Sps, SpsError>> {
        Sps::find(&self.data)
    }
}

/// Whether all slices are I slices, of a picture to which others may refer.
fn is_intra_picture(annex_b: &[u8]) -> bool {
    let mut slices = nal_units(annex_b).filter(|nal| nal.is_slice()).peekable();
    slices.peek().is_some() && slices.all(|slice| slice.ref_idc() != 0 && is_intra(slice))
}

impl fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessUnit")
            .field("len", &self.data.len())
            .field("pts", &self.pts)
            .field("dts", &self.dts)
            .field("key", &self.key)
            .field("referenced", &self.referenced)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_key_and_referenced() {
        let idr = AccessUnit::from_annex_b(&[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 2][..], 0, 0);
        assert!(idr.key && idr.referenced);
        let p = AccessUnit::from_annex_b(&[0, 0, 1, 0x41, 2][..], 0, 0);
        assert!(!p.key && p.referenced);
        let b = AccessUnit::from_annex_b(&[0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x01, 2][..], 0, 0);
        assert!(!b.key && !b.referenced);
    }

    #[test]
    fn an_intra_picture_with_a_recovery_point_is_a_key_frame() {
        const RECOVERY: [u8; 9] = [0, 0, 1, 0x06, 0x06, 0x01, 0xc4, 0x80, 0];
        let unit = |slice: &[u8]| {
            let data = [&RECOVERY[..], &[0, 0, 1], slice].concat();
            AccessUnit::from_annex_b(data, 0, 0)
        };
        // `first_mb_in_slice` of 0 is a 1; `slice_type` of 7 is 0001000, of 5 (P) 00110.
        let intra = unit(&[0x61, 0b1000_1000]);
        assert!(intra.key && !intra.is_idr());
        assert!(!unit(&[0x61, 0b1001_1000]).key);
        assert!(!unit(&[0x01, 0b1000_1000]).key, "nothing may refer to it");
        assert!(unit(&[0x65, 0b1000_1000]).is_idr());
        assert!(!AccessUnit::from_annex_b(&[0, 0, 1, 0x61, 0b1000_1000][..], 0, 0).key);
    }
}
