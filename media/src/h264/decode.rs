//! Access units to pictures.

use std::ffi::c_int;

use thiserror::Error;

use super::order::PresentationOrder;
use super::raw::{RawDecoder, RawPicture};
use super::sequence::Sequence;
use super::sps::{Chroma, Sps, SpsError};
use super::support::Unsupported;
use crate::access_unit::AccessUnit;
use crate::picture::{Picture, Planes};

/// Turns the access units of one stream into pictures.
///
/// Access units go in in decoding order, pictures come out in presentation order with the `pts` of their access
/// unit. Where pictures may be reordered, they come out some access units later. Nothing is concealed: what is
/// damaged, and what refers to it, is an error, until the next key frame.
pub trait Decoder: Send {
    /// Decodes an access unit; gives the pictures that are now due, which may be those of earlier access units.
    ///
    /// An IDR picture first brings out all pictures before it. Where decoding begins at another key frame, pictures
    /// that follow it and are shown before it give none: they may refer to what came before.
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
    /// The stream uses what this decoder does not have, or is larger than allowed; nothing was allocated.
    #[error("decode access unit: {0}")]
    Unsupported(#[from] Unsupported),
    /// The picture is not what its parameter set says.
    #[error(
        "decode access unit: its picture is {} × {}, its parameter set says {} × {}",
        .found.0, .found.1, .told.0, .told.1
    )]
    OtherSize {
        /// Width and height that were decoded.
        found: (u32, u32),
        /// Width and height by the parameter set.
        told: (u32, u32),
    },
    /// The decoder could not be started.
    #[error("start h264 decoder: {0}")]
    Start(#[source] openh264::Error),
}

/// The bound on a picture's pixels where none is set: 4096 × 2304, level 5.2's largest.
pub const DEFAULT_MAX_PIXELS: u64 = 4_096 * 2_304;

/// A decoder made of Cisco's openh264: Baseline, Main and High profile, progressive.
pub struct OpenH264Decoder {
    raw: RawDecoder,
    sequence: Sequence,
    order: PresentationOrder,
    awaiting_key: bool,
    /// Time of the key frame at which decoding began, where pictures that follow it may be shown before it.
    began: Option<i64>,
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
            sequence: Sequence::new(max_pixels),
            order: PresentationOrder::default(),
            awaiting_key: true,
            began: None,
            due: Vec::new(),
        })
    }

    fn decode_one(&mut self, unit: &AccessUnit) -> Result<(), DecodeError> {
        if unit.key && (self.awaiting_key || unit.is_idr()) {
            return self.begin(unit);
        }
        if self.awaiting_key {
            return Err(DecodeError::AwaitingKey);
        }
        if self.began.is_some_and(|began| unit.pts < began) {
            return self.sequence.pass_over(unit);
        }
        let decoded = self.go_on(unit);
        self.awaiting_key |= decoded.is_err() && unit.referenced;
        decoded
    }

    /// Decodes a key frame at which decoding begins.
    fn begin(&mut self, unit: &AccessUnit) -> Result<(), DecodeError> {
        self.due.append(&mut self.order.drain());
        self.awaiting_key = true;
        let prepared = self.sequence.begin(unit)?;
        self.order.begin(prepared.sps.reorder);
        self.began = (!unit.is_idr()).then_some(unit.pts);
        self.decode_prepared(&prepared.data, &prepared.sps, unit.pts)?;
        self.awaiting_key = false;
        Ok(())
    }

    fn go_on(&mut self, unit: &AccessUnit) -> Result<(), DecodeError> {
        let prepared = self.sequence.go_on(unit)?;
        self.decode_prepared(&prepared.data, &prepared.sps, unit.pts)
    }

    fn decode_prepared(&mut self, data: &[u8], sps: &Sps, pts: i64) -> Result<(), DecodeError> {
        let (state, picture) = self.raw.decode(data, pts.cast_unsigned());
        if let Some(damage) = damage(state) {
            return Err(DecodeError::Damaged(damage));
        }
        if let Some(picture) = picture {
            let picture = finished(picture, sps)?;
            self.due.append(&mut self.order.push(picture));
        }
        Ok(())
    }
}

/// The picture of what was decoded, which has to be of the size that was told.
fn finished(raw: RawPicture, sps: &Sps) -> Result<Picture, DecodeError> {
    /// Chroma without colour.
    const GREY: u8 = 128;
    let RawPicture { width, height, mut planes, timestamp } = raw;
    if (width, height) != (sps.width, sps.height) {
        let (found, told) = ((width, height), (sps.width, sps.height));
        return Err(DecodeError::OtherSize { found, told });
    }
    if sps.chroma == Chroma::Monochrome {
        // The decoder leaves these planes as they were.
        let grey = |plane: &bytes::Bytes| vec![GREY; plane.len()].into();
        planes = Planes { u: grey(&planes.u), v: grey(&planes.v), ..planes };
    }
    Picture::new(width, height, planes, sps.colour, timestamp.cast_signed())
        .map_err(|_| DecodeError::Damaged("its picture has no size"))
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
