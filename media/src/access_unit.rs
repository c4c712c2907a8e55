//! One encoded picture as it came from the source.

use std::fmt;

use bytes::Bytes;

use crate::h264::nal::{NalType, nal_units};
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
    /// Decoding can start here: an IDR picture.
    pub key: bool,
    /// Something may refer to it. When false (`nal_ref_idc` is 0 throughout), leaving it out harms no other picture.
    pub referenced: bool,
}

impl AccessUnit {
    /// Makes an access unit of its bytes, finding out from the NAL headers whether it is a key frame and referenced.
    pub fn from_annex_b(data: impl Into<Bytes>, pts: i64, dts: i64) -> Self {
        let data = data.into();
        let (mut key, mut referenced) = (false, false);
        for nal in nal_units(&data) {
            key |= nal.unit_type() == NalType::Idr;
            referenced |= nal.ref_idc() != 0;
        }
        Self { data, pts, dts, key, referenced }
    }

    /// Reads the sequence parameter set it carries; `None` when it carries none.
    ///
    /// # Errors
    /// The parameter set is damaged or of a kind not known here.
    pub fn sps(&self) -> Option<Result<Sps, SpsError>> {
        Sps::find(&self.data)
    }
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
}
