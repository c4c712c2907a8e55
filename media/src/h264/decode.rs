//! Access units to pictures.

use std::ffi::c_int;

use thiserror::Error;

use super::order::PresentationOrder;
use super::profile::without_reordering;
use super::raw::{RawDecoder, RawPicture};
use super::sps::{Sps, SpsError};
use crate::access_unit::AccessUnit;
use crate::colour::Colour;
use crate::picture::Picture;

/// Turns the access units of one stream into pictures.
///
/// Access units go in in decoding order, pictures come out in presentation order with the `pts` of their access
/// unit. Where pictures may be reordered, they come out some access units later. Nothing is concealed: what is
/// damaged, and what refers to it, is an error, until the next key frame.
pub trait Decoder: Send {
    /// Decodes an access unit; gives the pictures that are now due, which may be those of earlier access units.
    ///
    /// A key frame first brings out all pictures before it.
    ///
    /// # Errors
    /// The access unit gives no picture. Pictures of earlier ones are kept and come with the next call.
    fn decode(&mut self, unit: &AccessUnit) -> Result<Vec<Picture>, DecodeError>;

    /// Brings out the pictures that wait for others that might precede them: at the end of a stream, or when no
    /// earlier picture is wanted any more. Decoding goes on after it as if nothing had been.
    ///
    /// # Errors
    /// The decoder failed.
    fn flush(&mut self) -> Result<Vec<Picture>, DecodeError>;

    /// Tells that access units to which others may refer are missing: all up to the next key frame are refused.
    fn skip_to_key(&mut self);
}

/// Why an access unit gave no picture.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Decoding starts, or starts again after damage, with a key frame only.
    #[error("decode access unit: waiting for a key frame")]
    AwaitingKey,
    /// It is damaged, or refers to something damaged.
    #[error("decode access unit: {0}")]
    Damaged(&'static str),
    /// Its parameter set cannot be read.
    #[error("decode access unit: {0}")]
    ParameterSet(#[from] SpsError),
    /// The picture would have more pixels than allowed; nothing was allocated.
    #[error(
        "decode access unit: {width} × {height} = {} pixels are more than the {max_pixels} allowed",
        u64::from(*.width) * u64::from(*.height)
    )]
    TooLarge {
        /// Width by the parameter set.
        width: u32,
        /// Height by the parameter set.
        height: u32,
        /// The bound.
        max_pixels: u64,
    },
    /// The stream uses a part of H.264 that this decoder does not have.
    #[error("decode access unit: {0} is not supported")]
    Unsupported(String),
    /// The decoder could not be started.
    #[error("start h264 decoder: {0}")]
    Start(#[source] openh264::Error),
}

/// The bound on a picture's pixels where none is set: 4096 × 2304, level 5.2's largest.
pub const DEFAULT_MAX_PIXELS: u64 = 4_096 * 2_304;

/// A decoder made of Cisco's openh264: Baseline, Main and High profile, progressive.
pub struct OpenH264Decoder {
    raw: RawDecoder,
    max_pixels: u64,
    colour: Colour,
    order: PresentationOrder,
    awaiting_key: bool,
    /// Pictures that are due; those of a call that ended in an error leave with the next.
    due: Vec<Picture>,
}

impl OpenH264Decoder {
    /// Makes a decoder that refuses pictures of more than `max_pixels`.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(max_pixels: u64) -> Result<Self, DecodeError> {
        Ok(Self {
            raw: RawDecoder::new().map_err(DecodeError::Start)?,
            max_pixels,
            colour: Colour::of_size(0, 0),
            order: PresentationOrder::default(),
            awaiting_key: true,
            due: Vec::new(),
        })
    }

    /// Prepares for a key frame and gives it as the raw decoder is to see it.
    fn begin_sequence(&mut self, unit: &AccessUnit) -> Result<Vec<u8>, DecodeError> {
        self.due.append(&mut self.order.drain());
        self.awaiting_key = true;
        let sps = unit.sps().ok_or(DecodeError::Damaged("key frame without parameter set"))??;
        self.check(&sps)?;
        self.colour = sps.colour;
        self.order.begin(sps.reorder);
        without_reordering(&unit.data).ok_or(DecodeError::Damaged("its parameter set is cut off"))
    }

    fn check(&self, sps: &Sps) -> Result<(), DecodeError> {
        let Sps { width, height, .. } = *sps;
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(DecodeError::TooLarge { width, height, max_pixels: self.max_pixels });
        }
        if sps.interlaced {
            return Err(DecodeError::Unsupported("interlaced video".into()));
        }
        // Baseline, Main, Extended, High and the base layers of the scalable ones.
        if !matches!(sps.profile, 66 | 77 | 83 | 86 | 88 | 100) {
            return Err(DecodeError::Unsupported(format!(
                "profile {} ({})",
                sps.profile, sps.codec
            )));
        }
        Ok(())
    }

    fn decode_one(&mut self, unit: &AccessUnit) -> Result<(), DecodeError> {
        let timestamp = unit.pts.cast_unsigned();
        let (state, picture) = if unit.key {
            let data = self.begin_sequence(unit)?;
            self.raw.decode(&data, timestamp)
        } else if self.awaiting_key {
            return Err(DecodeError::AwaitingKey);
        } else {
            self.raw.decode(&unit.data, timestamp)
        };
        if let Some(damage) = damage(state) {
            self.awaiting_key |= unit.referenced;
            return Err(DecodeError::Damaged(damage));
        }
        self.awaiting_key = false;
        if let Some(picture) = picture {
            let picture = self.finished(picture);
            self.due.append(&mut self.order.push(picture));
        }
        Ok(())
    }

    fn finished(&self, raw: RawPicture) -> Picture {
        let RawPicture { width, height, planes, timestamp } = raw;
        Picture::new(width, height, planes, self.colour, timestamp.cast_signed())
            .expect("planes are copied to the size the decoder tells")
    }
}

impl Decoder for OpenH264Decoder {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Vec<Picture>, DecodeError> {
        self.decode_one(unit)?;
        Ok(std::mem::take(&mut self.due))
    }

    fn flush(&mut self) -> Result<Vec<Picture>, DecodeError> {
        self.due.append(&mut self.order.drain());
        Ok(std::mem::take(&mut self.due))
    }

    fn skip_to_key(&mut self) {
        self.awaiting_key = true;
    }
}

/// What the decoder's state says is wrong; `None` when nothing is.
fn damage(state: c_int) -> Option<&'static str> {
    let is = |flag: c_int| state & flag != 0;
    match state & !openh264_sys2::dsFramePending {
        0 => None,
        _ if is(openh264_sys2::dsNoParamSets) => {
            Some("it refers to a parameter set that never came")
        }
        _ if is(openh264_sys2::dsRefLost) => Some("it refers to a picture that is lost"),
        _ if is(openh264_sys2::dsOutOfMemory) => Some("out of memory"),
        _ if is(openh264_sys2::dsInvalidArgument) => Some("it is too long"),
        _ => Some("it is damaged"),
    }
}
