//! Pictures to access units, for the synthetic scene and for tests.

use openh264::encoder::{
    BitRate, Complexity, EncoderConfig as NativeConfig, FrameRate as NativeFrameRate,
    IntraFramePeriod, Profile, RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use thiserror::Error;

use super::assembly::keep_quiet;
use crate::access_unit::AccessUnit;
use crate::colour::{Colour, Matrix};
use crate::frame_rate::FrameRate;
use crate::number::size;
use crate::picture::Picture;

/// What an encoder makes.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Width in pixels, even, at most 3,840.
    pub width: u32,
    /// Height in pixels, even, at most 2,160.
    pub height: u32,
    /// Frames per second, for rate control.
    pub fps: FrameRate,
    /// Bits per second aimed at.
    pub bitrate: u32,
    /// Frames from one key frame to the next; 0 makes only the first and those asked for.
    pub key_interval: u32,
}

/// Why a picture was not encoded.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The picture is of another size than the encoder.
    #[error(
        "encode picture: it is {width} × {height}, the encoder was made for {expected_width} × {expected_height}"
    )]
    Size {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// Width of the encoder.
        expected_width: u32,
        /// Height of the encoder.
        expected_height: u32,
    },
    /// The size cannot be encoded.
    #[error("start h264 encoder: {width} × {height} is not an even size of 16 × 16 to 3840 × 2160")]
    Unsupported {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The encoder failed.
    #[error("encode picture: {0}")]
    Native(#[from] openh264::Error),
}

/// An H.264 encoder: Baseline profile, no reordering, parameter sets in front of every key frame.
pub struct Encoder {
    native: openh264::encoder::Encoder,
    config: EncoderConfig,
}

impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// The size cannot be encoded, or there is no memory.
    pub fn new(config: EncoderConfig) -> Result<Self, EncodeError> {
        let EncoderConfig { width, height, .. } = config;
        let even = width % 2 == 0 && height % 2 == 0;
        if !even || !(16..=3_840).contains(&width) || !(16..=2_160).contains(&height) {
            return Err(EncodeError::Unsupported { width, height });
        }
        let api = OpenH264API::from_source();
        let colour = Colour::of_size(width, height);
        let mut native = openh264::encoder::Encoder::with_api_config(api, native(&config, colour))?;
        keep_quiet(&mut native);
        Ok(Self { native, config })
    }

    /// Encodes a picture; a key frame when due or when forced. `dts` of the access unit is its `pts`.
    ///
    /// # Errors
    /// The picture is of another size, or the encoder failed.
    pub fn encode(
        &mut self,
        picture: &Picture,
        force_key: bool,
    ) -> Result<AccessUnit, EncodeError> {
        let EncoderConfig { width: expected_width, height: expected_height, .. } = self.config;
        let (width, height) = (picture.width(), picture.height());
        if (width, height) != (expected_width, expected_height) {
            return Err(EncodeError::Size { width, height, expected_width, expected_height });
        }
        if force_key {
            self.native.force_intra_frame();
        }
        let picture = picture.to_colour(Colour::of_size(width, height));
        let millis = u64::try_from(picture.pts / 90).unwrap_or(0);
        let stream = self.native.encode_at(&Source(&picture), Timestamp::from_millis(millis))?;
        Ok(AccessUnit::from_annex_b(stream.to_vec(), picture.pts, picture.pts))
    }
}

fn native(config: &EncoderConfig, colour: Colour) -> NativeConfig {
    let vui = match colour.matrix {
        Matrix::Bt601 => VuiConfig::bt601(),
        Matrix::Bt709 => VuiConfig::bt709(),
    };
    NativeConfig::new()
        .profile(Profile::Baseline)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Low)
        .bitrate(BitRate::from_bps(config.bitrate))
        .max_frame_rate(NativeFrameRate::from_hz(crate::number::fraction(config.fps.as_f64())))
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(false)
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(config.key_interval))
        .sps_pps_strategy(SpsPpsStrategy::ConstantId)
        .num_threads(1)
        .vui(vui)
}

/// A picture as the encoder reads it.
struct Source<'a>(&'a Picture);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (size(self.0.width()), size(self.0.height()))
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.luma_stride(), self.0.chroma_stride(), self.0.chroma_stride())
    }

    fn y(&self) -> &[u8] {
        &self.0.planes().y
    }

    fn u(&self) -> &[u8] {
        &self.0.planes().u
    }

    fn v(&self) -> &[u8] {
        &self.0.planes().v
    }
}
