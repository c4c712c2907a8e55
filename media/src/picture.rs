//! Decoded pictures: I420 planes with their colour and time, and RGB images for models.

use std::fmt;

use bytes::Bytes;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use thiserror::Error;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::colour::{Colour, Conversion, Matrix};
use crate::number::size;

/// The largest width and height of a picture: what JPEG and H.264 can express.
pub const MAX_DIMENSION: u32 = 65_535;

/// The three planes of an I420 picture, rows without padding.
///
/// # Shape
/// `y` holds width × height bytes; `u` and `v` each half of both, rounded up.
#[derive(Clone, PartialEq, Eq)]
pub struct Planes {
    /// Luma.
    pub y: Bytes,
    /// Blue difference.
    pub u: Bytes,
    /// Red difference.
    pub v: Bytes,
}

/// A decoded access unit. Cloning it copies no pixels.
///
/// # Units
/// `pts` is in ticks of 1/90,000 second.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    planes: Planes,
    colour: Colour,
    /// Presentation time.
    pub pts: i64,
}

/// Why bytes are not a picture.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PictureError {
    /// Width or height is zero or beyond [`MAX_DIMENSION`].
    #[error("make picture: {width} × {height} is not a size of 1 to 65535 in both directions")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// A plane's length does not fit the size.
    #[error("make picture of {width} × {height}: plane {plane} has {found} bytes, not {expected}")]
    Plane {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// `y`, `u`, `v` or `rgb`.
        plane: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
}

impl Picture {
    /// Makes a picture of its planes.
    ///
    /// # Errors
    /// The size is impossible or a plane does not fit it.
    pub fn new(
        width: u32,
        height: u32,
        planes: Planes,
        colour: Colour,
        pts: i64,
    ) -> Result<Self, PictureError> {
        check_size(width, height)?;
        let luma = size(width) * size(height);
        let chroma = size(width.div_ceil(2)) * size(height.div_ceil(2));
        for (plane, found, expected) in [
            ("y", planes.y.len(), luma),
            ("u", planes.u.len(), chroma),
            ("v", planes.v.len(), chroma),
        ] {
            if found != expected {
                return Err(PictureError::Plane { width, height, plane, found, expected });
            }
        }
        Ok(Self { width, height, planes, colour, pts })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The planes.
    pub fn planes(&self) -> &Planes {
        &self.planes
    }

    /// Bytes per row of the luma plane.
    pub fn luma_stride(&self) -> usize {
        size(self.width)
    }

    /// Bytes per row of the chroma planes.
    pub fn chroma_stride(&self) -> usize {
        size(self.width.div_ceil(2))
    }

    /// How the planes hold colour.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// The same picture with its planes in another colour.
    pub fn to_colour(&self, colour: Colour) -> Self {
        let Some(way) = Conversion::between(self.colour, colour) else {
            return self.clone();
        };
        Self { planes: convert(self, &way), colour, ..self.clone() }
    }

    /// The same picture no wider than `max_width`, with its aspect ratio kept; never enlarged.
    pub fn scaled(&self, max_width: u32) -> Self {
        if self.width <= max_width {
            return self.clone();
        }
        let width = max_width.max(1);
        let height = u64::from(self.height) * u64::from(width) / u64::from(self.width);
        self.resized(width, u32::try_from(height).expect("smaller than before").max(1))
    }

    /// The same picture stretched to a size, each pixel the mean of those it stands for.
    fn resized(&self, width: u32, height: u32) -> Self {
        let half = |dimension: u32| dimension.div_ceil(2);
        let (from_width, from_height) = (half(self.width), half(self.height));
        let chroma =
            |plane| resize_plane(plane, (from_width, from_height), (half(width), half(height)));
        let planes = Planes {
            y: resize_plane(&self.planes.y, (self.width, self.height), (width, height)),
            u: chroma(&self.planes.u),
            v: chroma(&self.planes.v),
        };
        Self { width, height, planes, colour: self.colour, pts: self.pts }
    }

    /// The picture in RGB, by its own range and matrix.
    pub fn to_rgb(&self) -> RgbImage {
        let chroma_stride = self.width.div_ceil(2);
        let source = YuvPlanarImage {
            y_plane: &self.planes.y,
            y_stride: self.width,
            u_plane: &self.planes.u,
            u_stride: chroma_stride,
            v_plane: &self.planes.v,
            v_stride: chroma_stride,
            width: self.width,
            height: self.height,
        };
        let range = if self.colour.full_range { YuvRange::Full } else { YuvRange::Limited };
        let matrix = match self.colour.matrix {
            Matrix::Bt601 => YuvStandardMatrix::Bt601,
            Matrix::Bt709 => YuvStandardMatrix::Bt709,
        };
        let mut data = vec![0; size(self.width) * size(self.height) * 3];
        yuv::yuv420_to_rgb(&source, &mut data, self.width * 3, range, matrix)
            .expect("a picture's planes fit its size");
        RgbImage { width: self.width, height: self.height, data }
    }
}

impl fmt::Debug for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Planes({} + {} + {} bytes)", self.y.len(), self.u.len(), self.v.len())
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("colour", &self.colour)
            .field("pts", &self.pts)
            .finish_non_exhaustive()
    }
}

/// An image in interleaved RGB, 8 bits each, rows without padding.
///
/// # Shape
/// `data` holds height × width × 3 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Red, green, blue of each pixel, row by row.
    pub data: Vec<u8>,
}

impl RgbImage {
    /// Makes an image of its bytes.
    ///
    /// # Errors
    /// The size is impossible or the bytes do not fit it.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, PictureError> {
        check_size(width, height)?;
        let (found, expected) = (data.len(), size(width) * size(height) * 3);
        if found != expected {
            return Err(PictureError::Plane { width, height, plane: "rgb", found, expected });
        }
        Ok(Self { width, height, data })
    }

    /// Red, green and blue at a place inside the image.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (size(y) * size(self.width) + size(x)) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }
}

impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RgbImage")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    let range = 1..=MAX_DIMENSION;
    if range.contains(&width) && range.contains(&height) {
        Ok(())
    } else {
        Err(PictureError::Size { width, height })
    }
}

fn convert(picture: &Picture, way: &Conversion) -> Planes {
    let (width, half) = (picture.luma_stride(), picture.chroma_stride());
    let Planes { y, u, v } = picture.planes();
    let mut luma = Vec::with_capacity(y.len());
    let mut shifts = vec![0; half];
    for (row, pixels) in y.chunks_exact(width).enumerate() {
        if row % 2 == 0 {
            let chroma = row / 2 * half..(row / 2 + 1) * half;
            let pairs = u[chroma.clone()].iter().zip(&v[chroma]);
            for (shift, (&u, &v)) in shifts.iter_mut().zip(pairs) {
                *shift = way.luma_shift(u, v);
            }
        }
        luma.extend(pixels.iter().enumerate().map(|(x, &y)| way.luma(y, shifts[x / 2])));
    }
    let (u, v): (Vec<u8>, Vec<u8>) = u.iter().zip(v).map(|(&u, &v)| way.chroma(u, v)).unzip();
    Planes { y: luma.into(), u: u.into(), v: v.into() }
}

fn resize_plane(plane: &Bytes, from: (u32, u32), to: (u32, u32)) -> Bytes {
    // The typed calls on purpose: the untyped ones compile every pixel type into this crate, for minutes.
    let source = TypedImageRef::<U8>::from_buffer(from.0, from.1, plane)
        .expect("a picture's planes fit its size");
    let mut target = TypedImage::<U8>::new(to.0, to.1);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize_typed(&source, &mut target, &options).expect("neither picture is empty");
    target.pixels().iter().map(|pixel| pixel.0).collect()
}
