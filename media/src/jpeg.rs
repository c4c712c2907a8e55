//! JPEG through libjpeg-turbo, in right colours and within bounds.

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
    let image = YuvPlanesImage {
        y_plane: &planes.y[..],
        u_plane: &planes.u[..],
        v_plane: &planes.v[..],
        width: size(picture.width()),
        height: size(picture.height()),
        y_stride: picture.luma_stride(),
        u_stride: picture.chroma_stride(),
        v_stride: picture.chroma_stride(),
        subsamp: Subsamp::Sub2x2,
    };
    compress(&image, i32::from(quality.clamp(1, 100))).map_err(JpegError::Encode)
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
    let mut decompressor = Decompressor::new().map_err(JpegError::Decode)?;
    let header = decompressor.read_header(bytes).map_err(JpegError::Decode)?;
    check_claim(&header, max_pixels)?;
    let scale = at_least.map_or(ScalingFactor::ONE, |wanted| scale_to_cover(&header, wanted));
    decompressor.set_scaling_factor(scale).map_err(JpegError::Decode)?;
    decompress(&mut decompressor, bytes, header.scaled(scale)).map_err(JpegError::Decode)
}

fn check_claim(header: &DecompressHeader, max_pixels: u64) -> Result<(), JpegError> {
    let dimension = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let (width, height) = (dimension(header.width), dimension(header.height));
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(JpegError::TooLarge { width, height, max_pixels });
    }
    Ok(())
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
