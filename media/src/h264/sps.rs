//! What the sequence parameter set says about a stream: size, profile, colour, frame rate.

use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::decode_nal;
use thiserror::Error;

use super::bits::{Places, Tracked};
use super::nal::{NalType, nal_units};
use super::slice::SliceReader;
use crate::colour::{Colour, Matrix};
use crate::frame_rate::FrameRate;

/// What a sequence parameter set says about the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// `seq_parameter_set_id`, by which picture parameter sets name it.
    pub id: u8,
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping.
    pub height: u32,
    /// Width and height in pixels before cropping: whole macroblocks.
    pub coded: (u32, u32),
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High.
    pub profile: u8,
    /// Codec string as browsers want it (RFC 6381): `avc1.42C01F`.
    pub codec: String,
    /// Pictures may be fields, which the decoder does not take.
    pub interlaced: bool,
    /// How finely colour is sampled.
    pub chroma: Chroma,
    /// Bits of a sample; the larger number where luma and chroma differ.
    pub bit_depth: u8,
    /// How the planes hold colour, by the parameter set or, where it is silent, by the picture's size.
    pub colour: Colour,
    /// Frame rate, where the parameter set tells one.
    pub frame_rate: Option<FrameRate>,
    /// How many pictures may precede one in decoding order and follow it in presentation order; `None` when it
    /// is not told.
    pub reorder: Option<u32>,
}

/// How many samples of colour there are for those of luma (`chroma_format_idc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// None: pictures are grey.
    Monochrome,
    /// A quarter as many: 4:2:0, as cameras send it.
    Quarter,
    /// Half as many: 4:2:2.
    Half,
    /// As many: 4:4:4.
    Full,
}

/// Why a sequence parameter set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("read sequence parameter set: {0}")]
pub struct SpsError(String);

impl Sps {
    /// Finds and reads the sequence parameter set that a byte stream's first slice refers to, or else the only one;
    /// `None` when there is none.
    ///
    /// # Errors
    /// It is damaged or of a kind not known here, or nothing tells which of several it is.
    pub fn find(annex_b: &[u8]) -> Option<Result<Self, SpsError>> {
        let mut all = Self::all(annex_b).peekable();
        all.peek()?;
        let mut all: Vec<_> = all.collect();
        if all.len() == 1 {
            return all.pop();
        }
        let id = SliceReader::first_parameter_set(annex_b);
        let named = |sps: &Result<Self, SpsError>| sps.as_ref().is_ok_and(|sps| Some(sps.id) == id);
        // One that comes again under its number replaces what was said before.
        let found = all.into_iter().rfind(named);
        Some(found.unwrap_or_else(|| {
            Err(SpsError("there are several, and its slices do not tell which is theirs".into()))
        }))
    }

    /// Reads all sequence parameter sets of a byte stream.
    pub fn all(annex_b: &[u8]) -> impl Iterator<Item = Result<Self, SpsError>> {
        let sets = nal_units(annex_b).filter(|nal| nal.unit_type() == NalType::Sps);
        sets.map(|nal| Self::from_nal(nal.bytes()))
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
        let coded =
            coded_size(sps).ok_or_else(|| SpsError("its size is beyond all bounds".into()))?;
        if width == 0 || height == 0 {
            let (across, down) = coded;
            return Err(SpsError(format!(
                "its cropping leaves nothing of {across} × {down} pixels"
            )));
        }
        let chroma = &sps.chroma_info;
        Ok(Self {
            id: sps.seq_parameter_set_id.id(),
            width,
            height,
            coded,
            profile: u8::from(sps.profile_idc),
            codec: sps.rfc6381().to_string(),
            interlaced: sps.frame_mbs_flags != FrameMbsFlags::Frames,
            chroma: match chroma.chroma_format {
                ChromaFormat::Monochrome => Chroma::Monochrome,
                ChromaFormat::YUV420 => Chroma::Quarter,
                ChromaFormat::YUV422 => Chroma::Half,
                ChromaFormat::YUV444 => Chroma::Full,
                ChromaFormat::Invalid(idc) => {
                    return Err(SpsError(format!("it has the chroma format {idc}, wanted 0 to 3")));
                }
            },
            bit_depth: 8 + chroma.bit_depth_luma_minus8.max(chroma.bit_depth_chroma_minus8),
            colour: colour(sps, width, height),
            frame_rate: frame_rate(sps),
            reorder: reorder(sps),
        })
    }
}

/// Reads the syntax of a sequence parameter set; bytes after its end are passed over.
pub(crate) fn parse(nal: &[u8]) -> Result<SeqParameterSet, SpsError> {
    let rbsp = decode_nal(nal).map_err(|e| SpsError(e.to_string()))?;
    let mut places = Places::default();
    let reader = Tracked::new(&rbsp, &mut places);
    SeqParameterSet::from_bits(reader).map_err(|e| SpsError(format!("{e:?}")))
}

/// Width and height in whole macroblocks.
fn coded_size(sps: &SeqParameterSet) -> Option<(u32, u32)> {
    let fields = if sps.frame_mbs_flags == FrameMbsFlags::Frames { 1 } else { 2 };
    let side = |count: u32, times: u32| count.checked_add(1)?.checked_mul(16 * times);
    Some((side(sps.pic_width_in_mbs_minus1, 1)?, side(sps.pic_height_in_map_units_minus1, fields)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::bits::{Written, escaped};

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    /// A parameter set of Baseline that crops so many units of two pixels from the right and from the bottom.
    fn cropping(macroblocks: (u32, u32), right: u32, bottom: u32) -> Vec<u8> {
        let mut payload = Written::default();
        payload.bytes_of(&[66, 0xc0, 30]);
        let ue = |payload: &mut Written, value: u32| {
            let bits = 32 - (value + 1).leading_zeros();
            (1..bits).for_each(|_| payload.bit(false));
            (0..bits).rev().for_each(|bit| payload.bit((value + 1) >> bit & 1 == 1));
        };
        // Numbers: id, frame_num, order type 2, references; then no gaps.
        [0, 0, 2, 1].into_iter().for_each(|value| ue(&mut payload, value));
        payload.bit(false);
        [macroblocks.0 - 1, macroblocks.1 - 1]
            .into_iter()
            .for_each(|value| ue(&mut payload, value));
        // Frames only, direct inference, cropping.
        [true; 3].into_iter().for_each(|bit| payload.bit(bit));
        [0, right, 0, bottom].into_iter().for_each(|value| ue(&mut payload, value));
        // No VUI, and the stop bit.
        [false, true].into_iter().for_each(|bit| payload.bit(bit));
        escaped(0x67, &payload.into_bytes())
    }

    #[test]
    fn bytes_after_a_parameter_set_are_passed_over() {
        // As a Reolink camera sends it: https://github.com/scottlamb/retina/issues/102.
        let sps = Sps::from_nal(&hex("67640033ac1514a0a03da1000004f6000063380404")).unwrap();
        assert_eq!((sps.width, sps.height, sps.profile), (640, 480, 100));
        assert_eq!((sps.chroma, sps.bit_depth), (Chroma::Quarter, 8));
    }

    #[test]
    fn a_parameter_set_that_crops_to_nothing_is_refused() {
        let sps = Sps::from_nal(&cropping((20, 12), 0, 6)).unwrap();
        assert_eq!(((sps.width, sps.height), sps.coded), ((320, 180), (320, 192)));
        for (right, bottom) in [(160, 0), (0, 96)] {
            let error = Sps::from_nal(&cropping((20, 12), right, bottom)).unwrap_err();
            let words =
                "read sequence parameter set: its cropping leaves nothing of 320 × 192 pixels";
            assert_eq!(error.to_string(), words);
        }
        assert!(Sps::from_nal(&cropping((20, 12), 161, 0)).is_err());
    }

    #[test]
    fn the_parameter_set_of_several_is_the_one_that_the_slice_refers_to() {
        let (mut annex_b, other) = (Vec::new(), cropping((40, 24), 0, 0));
        for nal in [&cropping((20, 12), 0, 6)[..], &other] {
            crate::h264::nal::push_nal(&mut annex_b, nal);
        }
        assert_eq!(Sps::all(&annex_b).count(), 2);
        let error = Sps::find(&annex_b).unwrap().unwrap_err().to_string();
        assert!(error.contains("there are several"), "{error}");
    }
}
