//! What the sequence parameter set says about a stream: size, profile, colour, frame rate.

use h264_reader::nal::sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};
use thiserror::Error;

use super::nal::{NalType, nal_units};
use crate::colour::{Colour, Matrix};
use crate::frame_rate::FrameRate;

/// What a sequence parameter set says about the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping.
    pub height: u32,
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High.
    pub profile: u8,
    /// Codec string as browsers want it (RFC 6381): `avc1.42C01F`.
    pub codec: String,
    /// Pictures may be fields, which the decoder does not take.
    pub interlaced: bool,
    /// How the planes hold colour, by the parameter set or, where it is silent, by the picture's size.
    pub colour: Colour,
    /// Frame rate, where the parameter set tells one.
    pub frame_rate: Option<FrameRate>,
    /// How many pictures may precede one in decoding order and follow it in presentation order; `None` when it
    /// is not told.
    pub reorder: Option<u32>,
}

/// Why a sequence parameter set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("read sequence parameter set: {0}")]
pub struct SpsError(String);

impl Sps {
    /// Finds and reads the first sequence parameter set of a byte stream; `None` when there is none.
    ///
    /// # Errors
    /// It is damaged or of a kind not known here.
    pub fn find(annex_b: &[u8]) -> Option<Result<Self, SpsError>> {
        let nal = nal_units(annex_b).find(|nal| nal.unit_type() == NalType::Sps)?;
        Some(Self::from_nal(nal.bytes()))
    }

    /// Reads a sequence parameter set, header byte first, without start code.
    ///
    /// # Errors
    /// It is damaged or of a kind not known here.
    pub fn from_nal(nal: &[u8]) -> Result<Self, SpsError> {
        Self::from_parsed(&parse(nal)?)
    }

    fn from_parsed(sps: &SeqParameterSet) -> Result<Self, SpsError> {
        let (width, height) = sps.pixel_dimensions().map_err(|e| SpsError(format!("{e:?}")))?;
        Ok(Self {
            width,
            height,
            profile: u8::from(sps.profile_idc),
            codec: sps.rfc6381().to_string(),
            interlaced: sps.frame_mbs_flags != FrameMbsFlags::Frames,
            colour: colour(sps, width, height),
            frame_rate: frame_rate(sps),
            reorder: reorder(sps),
        })
    }
}

/// Reads the syntax of a sequence parameter set.
pub(crate) fn parse(nal: &[u8]) -> Result<SeqParameterSet, SpsError> {
    let rbsp = decode_nal(nal).map_err(|e| SpsError(e.to_string()))?;
    SeqParameterSet::from_bits(BitReader::new(&rbsp[..])).map_err(|e| SpsError(format!("{e:?}")))
}

fn colour(sps: &SeqParameterSet, width: u32, height: u32) -> Colour {
    let default = Colour::of_size(width, height);
    let Some(signal) = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref())
    else {
        return default;
    };
    // ITU-T H.264 table E-5: 1 is BT.709; 5 and 6 are BT.601 for 625 and 525 lines.
    let matrix = match signal.colour_description.as_ref().map(|c| c.matrix_coefficients) {
        Some(1) => Matrix::Bt709,
        Some(5 | 6) => Matrix::Bt601,
        _ => default.matrix,
    };
    Colour { full_range: signal.video_full_range_flag, matrix }
}

fn frame_rate(sps: &SeqParameterSet) -> Option<FrameRate> {
    let timing = sps.vui_parameters.as_ref()?.timing_info.as_ref()?;
    FrameRate::new(timing.time_scale, timing.num_units_in_tick.checked_mul(2)?)
}

fn reorder(sps: &SeqParameterSet) -> Option<u32> {
    let baseline = u8::from(sps.profile_idc) == 66;
    if baseline || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(0);
    }
    let restrictions = sps.vui_parameters.as_ref()?.bitstream_restrictions.as_ref()?;
    Some(restrictions.max_num_reorder_frames)
}
