//! From a picture to a model's input tensor: resized, in the right colour order, normalised.

mod placement;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use media::RgbImage;
use serde::Deserialize;

pub use placement::{Fit, Placement};

/// The grey that fills what a letterboxed picture leaves free, as ultralytics trains with.
const PADDING: u8 = 114;

/// The order of a model's colour planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red (OpenCV).
    Bgr,
}

/// What a model wants its input to be.
#[derive(Clone, Debug, PartialEq)]
pub struct InputFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How pictures of another shape are fitted in.
    pub fit: Fit,
    /// The order of the colour planes.
    pub order: ColourOrder,
    /// The value of a byte `b` in plane `i` is `(b * scale[i]) + shift[i]`, planes in red, green, blue order.
    pub scale: [f32; 3],
    /// See `scale`.
    pub shift: [f32; 3],
}

/// A failure to make an input of a picture: the picture contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("resize picture of {width}x{height}: {cause}")]
pub struct PreprocessError {
    width: u32,
    height: u32,
    cause: String,
}

/// Makes inputs of pictures, with buffers that are used again.
pub struct Preprocessor {
    format: InputFormat,
    resizer: Resizer,
    resized: Vec<U8x3>,
}

impl Preprocessor {
    /// Makes a preprocessor for inputs of `format`.
    pub fn new(format: InputFormat) -> Self {
        Self { format, resizer: Resizer::new(), resized: Vec::new() }
    }

    /// Writes three planes of the input into `planes` and says where in them the picture lies.
    ///
    /// # Shape
    /// `planes` is `[3, height, width]` of the format.
    ///
    /// # Errors
    /// When the picture has no pixels, or fewer bytes than its size asks for.
    pub fn fill(
        &mut self,
        picture: &RgbImage,
        planes: &mut [f32],
    ) -> Result<Placement, PreprocessError> {
        let refuse =
            |cause: String| PreprocessError { width: picture.width, height: picture.height, cause };
        let placement = Placement::new(
            self.format.fit,
            (picture.width, picture.height),
            (self.format.width, self.format.height),
        )
        .ok_or_else(|| refuse("it has no pixels".into()))?;
        self.resize(picture, &placement).map_err(refuse)?;
        self.normalise(&placement, planes);
        Ok(placement)
    }

    fn resize(&mut self, picture: &RgbImage, placement: &Placement) -> Result<(), String> {
        let source =
            TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.data)
                .map_err(|error| error.to_string())?;
        let (width, height) = placement.target_size();
        self.resized.resize(width as usize * height as usize, U8x3::new([0; 3]));
        let mut target = TypedImage::<U8x3>::from_pixels_slice(width, height, &mut self.resized)
            .map_err(|error| error.to_string())?;
        let (left, top, crop_width, crop_height) = placement.source_crop();
        // Bilinear with a support that grows as pictures shrink: nearest to the reference implementations.
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, crop_width, crop_height);
        self.resizer.resize_typed(&source, &mut target, &options).map_err(|error| error.to_string())
    }

    fn normalise(&self, placement: &Placement, planes: &mut [f32]) {
        let (width, height) = (self.format.width as usize, self.format.height as usize);
        let (left, top) = placement.target_offset();
        let (inner_width, inner_height) = placement.target_size();
        let whole = (inner_width, inner_height) == (self.format.width, self.format.height);
        for (position, plane) in planes.chunks_exact_mut(width * height).take(3).enumerate() {
            let channel = match self.format.order {
                ColourOrder::Rgb => position,
                ColourOrder::Bgr => 2 - position,
            };
            let (scale, shift) = (self.format.scale[channel], self.format.shift[channel]);
            if !whole {
                plane.fill(f32::from(PADDING) * scale + shift);
            }
            let rows = plane.chunks_exact_mut(width).skip(top as usize);
            for (row, pixels) in rows.zip(self.resized.chunks_exact(inner_width as usize)) {
                for (value, pixel) in row[left as usize..].iter_mut().zip(pixels) {
                    *value = f32::from(pixel.0[channel]) * scale + shift;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(width: u32, height: u32, fit: Fit) -> InputFormat {
        InputFormat {
            width,
            height,
            fit,
            order: ColourOrder::Rgb,
            scale: [1.0; 3],
            shift: [0.0; 3],
        }
    }

    fn picture(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        let at = |i: u32| pixel(i % width, i / width);
        let data: Vec<u8> = (0..width * height).flat_map(at).collect();
        RgbImage { width, height, data }
    }

    fn planes(format: &InputFormat, picture: &RgbImage) -> Vec<f32> {
        let mut planes = vec![-1.0; (3 * format.width * format.height) as usize];
        Preprocessor::new(format.clone()).fill(picture, &mut planes).unwrap();
        planes
    }

    #[test]
    fn a_letterboxed_picture_lies_between_grey_bars() {
        let wide = picture(8, 4, |_, _| [10, 20, 30]);
        let values = planes(&format(4, 4, Fit::Letterbox), &wide);
        let bars_and_picture = |value: f32| {
            let mut plane = vec![114.0; 4];
            plane.extend([value; 8]);
            plane.extend([114.0; 4]);
            plane
        };
        assert_eq!(values, [10.0, 20.0, 30.0].map(bars_and_picture).concat());
    }

    #[test]
    fn a_stretched_picture_is_smoothed_per_axis() {
        let halves = picture(4, 2, |x, _| if x < 2 { [0; 3] } else { [200; 3] });
        let values = planes(&format(2, 2, Fit::Stretch), &halves);
        assert_eq!(values[..4], [29.0, 171.0, 29.0, 171.0]);
    }

    #[test]
    fn a_cropped_picture_shows_its_middle() {
        let stripes = picture(6, 2, |x, _| if (2..4).contains(&x) { [90; 3] } else { [0; 3] });
        let values = planes(&format(2, 2, Fit::Crop), &stripes);
        assert_eq!(values[..4], [90.0; 4]);
    }

    #[test]
    fn values_are_normalised_per_colour_in_the_order_asked_for() {
        let mut format = format(1, 1, Fit::Stretch);
        format.order = ColourOrder::Bgr;
        (format.scale, format.shift) = ([1.0, 2.0, 3.0], [0.5, 0.0, -1.0]);
        assert_eq!(planes(&format, &picture(1, 1, |_, _| [10, 20, 30])), [89.0, 40.0, 10.5]);
    }

    #[test]
    fn a_picture_without_pixels_or_with_too_few_is_refused() {
        let mut preprocessor = Preprocessor::new(format(2, 2, Fit::Stretch));
        for (width, height, bytes) in [(0, 0, 0), (4, 4, 47)] {
            let picture = RgbImage { width, height, data: vec![0; bytes] };
            let error = preprocessor.fill(&picture, &mut [0.0; 12]).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("resize picture of {width}x{height}: "))
            );
        }
    }
}
