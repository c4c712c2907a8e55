//! JPEG through libjpeg-turbo, in right colours and within bounds.

use std::borrow::Cow;

use thiserror::Error;
use turbojpeg::{
    Compressor, DecompressHeader, Decompressor, Image, OutputBuf, PixelFormat, ScalingFactor,
    Subsamp, YuvPlanesImage,
};

use crate::colour::Colour;
use crate::number::size;
use crate::picture::{Picture, RgbImage};

/// Why a JPEG could not be written or read.
#[derive(Debug, Error)]
pub enum JpegError {
    /// The picture cannot be compressed.
    #[error("encode jpeg: {0}")]
    Encode(#[source] turbojpeg::Error),
    /// The bytes are not a JPEG, or a damaged or truncated one.
    #[error("decode jpeg: {0}")]
    Decode(#[source] turbojpeg::Error),
    /// The header claims more pixels than allowed; nothing was allocated.
    #[error(
        "decode jpeg: it claims {width} × {height} = {} pixels, more than the {max_pixels} allowed",
        u64::from(*.width) * u64::from(*.height)
    )]
    TooLarge {
        /// Width by the header.
        width: u32,
        /// Height by the header.
        height: u32,
        /// The bound.
        max_pixels: u64,
    },
}

/// Compresses a picture with 4:2:0 chroma, its colours converted to what JPEG holds.
///
/// # Units
/// `quality` is 1 to 100; others become the nearer bound.
///
/// # Errors
/// The library refuses the picture.
pub fn encode(picture: &Picture, quality: u8) -> Result<Vec<u8>, JpegError> {
    let picture = picture.to_colour(Colour::JPEG);
    let planes = picture.planes();
    let (luma, luma_stride) = padded_to_even(&planes.y, picture.luma_stride());
    let image = YuvPlanesImage {
        y_plane: &luma[..],
        u_plane: &planes.u[..],
        v_plane: &planes.v[..],
        width: size(picture.width()),
        height: size(picture.height()),
        y_stride: luma_stride,
        u_stride: picture.chroma_stride(),
        v_stride: picture.chroma_stride(),
        subsamp: Subsamp::Sub2x2,
    };
    compress(&image, i32::from(quality.clamp(1, 100))).map_err(JpegError::Encode)
}

/// Repeats the last column and row of a luma plane of odd size: the library wants two luma samples per chroma sample.
fn padded_to_even(luma: &[u8], width: usize) -> (Cow<'_, [u8]>, usize) {
    let (stride, rows) = (width.next_multiple_of(2), luma.len() / width);
    if stride == width && rows.is_multiple_of(2) {
        return (Cow::Borrowed(luma), width);
    }
    let mut padded = Vec::with_capacity(stride * (rows + 1));
    let last = &luma[luma.len() - width..];
    let extra = (!rows.is_multiple_of(2)).then_some(last);
    for row in luma.chunks_exact(width).chain(extra) {
        padded.extend_from_slice(row);
        padded.extend(row.last().filter(|_| stride > width));
    }
    (Cow::Owned(padded), stride)
}

fn compress(image: &YuvPlanesImage<&[u8]>, quality: i32) -> turbojpeg::Result<Vec<u8>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality)?;
    let mut output = OutputBuf::new_owned();
    compressor.compress_yuv_planes(image, &mut output)?;
    Ok(output.to_vec())
}

/// Decompresses to the smallest of the sizes n/8 that still covers `at_least` (width, height), or to the full size.
///
/// # Errors
/// The bytes are no whole JPEG, or claim more than `max_pixels` pixels.
pub fn decode(
    bytes: &[u8],
    at_least: Option<(u32, u32)>,
    max_pixels: u64,
) -> Result<RgbImage, JpegError> {
    check_claim(bytes, max_pixels)?;
    let mut decompressor = Decompressor::new().map_err(JpegError::Decode)?;
    let header = decompressor.read_header(bytes).map_err(JpegError::Decode)?;
    let scale = at_least.map_or(ScalingFactor::ONE, |wanted| scale_to_cover(&header, wanted));
    decompressor.set_scaling_factor(scale).map_err(JpegError::Decode)?;
    decompress(&mut decompressor, bytes, header.scaled(scale)).map_err(JpegError::Decode)
}

/// Refuses a size beyond the bound by the frame header, before the library sees the bytes.
fn check_claim(bytes: &[u8], max_pixels: u64) -> Result<(), JpegError> {
    match claimed_size(bytes) {
        Some((width, height)) if u64::from(width) * u64::from(height) > max_pixels => {
            Err(JpegError::TooLarge { width, height, max_pixels })
        }
        _ => Ok(()),
    }
}

/// Width and height by the frame header (SOF, ITU-T T.81 §B.2.2); `None` when there is none.
fn claimed_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let mut at = 2;
    loop {
        let [0xff, marker] = *bytes.get(at..at + 2)? else {
            return None;
        };
        match marker {
            // Fill bytes, and markers without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            // All frame headers but DHT, JPG and DAC, which lie between them.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((u32::from(number(at + 7)?), u32::from(number(at + 5)?)));
            }
            _ => at += 2 + usize::from(number(at + 2)?),
        }
    }
}

fn scale_to_cover(header: &DecompressHeader, (width, height): (u32, u32)) -> ScalingFactor {
    (1..8)
        .map(|eighths| ScalingFactor::new(eighths, 8))
        .find(|scale| {
            scale.scale(header.width) >= size(width) && scale.scale(header.height) >= size(height)
        })
        .unwrap_or(ScalingFactor::ONE)
}

fn decompress(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    header: DecompressHeader,
) -> turbojpeg::Result<RgbImage> {
    let (width, height) = (header.width, header.height);
    let mut data = vec![0; width * height * 3];
    let image =
        Image { pixels: &mut data[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    decompressor.decompress(bytes, image)?;
    let dimension = |value: usize| u32::try_from(value).expect("a JPEG's sides have 16 bits");
    Ok(RgbImage { width: dimension(width), height: dimension(height), data })
}
