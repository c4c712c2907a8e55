//! The one place where openh264's raw decoder is called.
//!
//! The safe wrapper never carries timestamps and can't tell one picture's from another's. The raw API carries an
//! opaque number through: `uiInBsTimeStamp` of the access unit is `uiOutYuvTimeStamp` of its picture.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;

use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig, Flush};
use openh264_sys2::{SBufferInfo, SSysMEMBuffer, videoFormatI420};

use crate::picture::Planes;

/// A decoder of one stream.
pub(super) struct RawDecoder {
    decoder: Decoder,
}

/// A picture as the decoder gave it, copied into memory of our own.
pub(super) struct RawPicture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) planes: Planes,
    /// What [`RawDecoder::decode`] was given with the access unit.
    pub(super) timestamp: u64,
}

impl RawDecoder {
    pub(super) fn new() -> Result<Self, openh264::Error> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)?;
        Ok(Self { decoder })
    }

    /// Decodes one whole access unit; gives the decoder's state (0 is well) and its picture, if there is one.
    pub(super) fn decode(&mut self, annex_b: &[u8], timestamp: u64) -> (c_int, Option<RawPicture>) {
        let Ok(length) = c_int::try_from(annex_b.len()) else {
            return (openh264_sys2::dsInvalidArgument, None);
        };
        let mut planes = [ptr::null_mut::<u8>(); 3];
        let mut info = SBufferInfo { uiInBsTimeStamp: timestamp, ..SBufferInfo::default() };
        // SAFETY: the decoder was initialised by `with_api_config` and lives until `self` is dropped; the
        // input pointer is valid for `length` bytes and only read; `planes` and `info` outlive the call.
        let state = unsafe {
            self.decoder.raw_api().decode_frame_no_delay(
                annex_b.as_ptr(),
                length,
                planes.as_mut_ptr(),
                &raw mut info,
            )
        };
        (state, copy(&planes, &info))
    }
}

fn copy(planes: &[*mut u8; 3], info: &SBufferInfo) -> Option<RawPicture> {
    if info.iBufferStatus != 1 || planes.iter().any(|plane| plane.is_null()) {
        return None;
    }
    // SAFETY: with status 1 the decoder has filled the union's one member.
    let SSysMEMBuffer { iWidth, iHeight, iFormat, iStride } = unsafe { info.UsrData.sSystemBuffer };
    if iFormat != videoFormatI420 {
        return None;
    }
    let (width, height) = (usize::try_from(iWidth).ok()?, usize::try_from(iHeight).ok()?);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    // SAFETY: with status 1 each pointer is valid for its rows at its stride until the next call into this
    // decoder, which `&mut self` of our callers rules out while we copy; planes are padded to whole
    // macroblocks, so rounding chroma up stays inside.
    let copied = unsafe {
        Planes {
            y: copy_plane(planes[0], iStride[0], width, height)?,
            u: copy_plane(planes[1], iStride[1], half_width, half_height)?,
            v: copy_plane(planes[2], iStride[1], half_width, half_height)?,
        }
    };
    Some(RawPicture {
        width: u32::try_from(iWidth).ok()?,
        height: u32::try_from(iHeight).ok()?,
        planes: copied,
        timestamp: info.uiOutYuvTimeStamp,
    })
}

/// Copies a plane row by row, leaving out the padding.
///
/// # Safety
/// `start` is valid for `height` rows that begin `stride` bytes apart and have `width` bytes each.
unsafe fn copy_plane(
    start: *const u8,
    stride: c_int,
    width: usize,
    height: usize,
) -> Option<bytes::Bytes> {
    let stride = usize::try_from(stride).ok().filter(|&stride| stride >= width)?;
    let mut plane = Vec::with_capacity(width * height);
    for row in 0..height {
        // SAFETY: by this function's contract.
        plane.extend_from_slice(unsafe {
            std::slice::from_raw_parts(start.add(row * stride), width)
        });
    }
    Some(plane.into())
}
