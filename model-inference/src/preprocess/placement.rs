//! Where a picture lies in a model's input, and the way back.

use serde::Deserialize;

use crate::model::{PictureSize, Region};

/// How a picture of another shape is fitted into a model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// All of the picture in its own proportions, in the middle; the rest is grey.
    #[default]
    Letterbox,
    /// All of the picture, in the input's proportions.
    Stretch,
    /// The middle of the picture in its own proportions, the input filled.
    Crop,
}

/// A linear map between a picture and a model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    picture: PictureSize,
    input: PictureSize,
    /// The whole picture's size in pixels of the input.
    scaled: PictureSize,
    /// The whole picture's top left corner in pixels of the input; negative where it is cropped.
    offset: (i64, i64),
}

impl Placement {
    /// Places a picture in an input; `None` when one of them has no pixels.
    pub fn new(fit: Fit, picture: PictureSize, input: PictureSize) -> Option<Self> {
        if [picture.0, picture.1, input.0, input.1].contains(&0) {
            return None;
        }
        let scaled = scaled_size(fit, picture, input);
        let offset = (centre(scaled.0, input.0), centre(scaled.1, input.1));
        Some(Self { picture, input, scaled, offset })
    }

    /// The smallest size of the picture that loses nothing the input would show.
    pub fn needed(&self) -> PictureSize {
        (self.scaled.0.min(self.picture.0), self.scaled.1.min(self.picture.1))
    }

    /// Width and height of the part of the input that shows the picture.
    pub fn target_size(&self) -> PictureSize {
        (self.scaled.0.min(self.input.0), self.scaled.1.min(self.input.1))
    }

    /// The left and top edge of the part of the input that shows the picture.
    pub fn target_offset(&self) -> (u32, u32) {
        let edge = |offset: i64| u32::try_from(offset).unwrap_or(0);
        (edge(self.offset.0), edge(self.offset.1))
    }

    /// Left, top, width and height of the part of the picture that is shown, in its pixels.
    pub fn source_crop(&self) -> (f64, f64, f64, f64) {
        let axis = |picture: u32, scaled: u32, input: u32| {
            let shown = f64::from(picture) * f64::from(scaled.min(input)) / f64::from(scaled);
            ((f64::from(picture) - shown) / 2.0, shown)
        };
        let (left, width) = axis(self.picture.0, self.scaled.0, self.input.0);
        let (top, height) = axis(self.picture.1, self.scaled.1, self.input.1);
        (left, top, width, height)
    }

    /// Takes a box from pixels of the input back to the picture, cut off at its edges; `None` when nothing is left.
    pub fn restore(&self, [left, top, right, bottom]: [f32; 4]) -> Option<Region> {
        let back = |edge: f32, offset: i64, scaled: u32| {
            let fraction = (f64::from(edge) - offset as f64) / f64::from(scaled);
            fraction.clamp(0.0, 1.0)
        };
        let (x1, x2) =
            (back(left, self.offset.0, self.scaled.0), back(right, self.offset.0, self.scaled.0));
        let (y1, y2) =
            (back(top, self.offset.1, self.scaled.1), back(bottom, self.offset.1, self.scaled.1));
        (x2 > x1 && y2 > y1).then(|| Region {
            x: narrow(x1),
            y: narrow(y1),
            w: narrow(x2 - x1),
            h: narrow(y2 - y1),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a fraction between 0 and 1 loses only precision"
)]
fn narrow(fraction: f64) -> f32 {
    fraction as f32
}

fn scaled_size(fit: Fit, picture: PictureSize, input: PictureSize) -> PictureSize {
    let by_width = f64::from(input.0) / f64::from(picture.0);
    let by_height = f64::from(input.1) / f64::from(picture.1);
    let ratio = match fit {
        Fit::Stretch => return input,
        Fit::Letterbox => by_width.min(by_height),
        Fit::Crop => by_width.max(by_height),
    };
    (rounded(f64::from(picture.0) * ratio), rounded(f64::from(picture.1) * ratio))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of pictures, at least 1; a float that is too large becomes u32::MAX"
)]
fn rounded(size: f64) -> u32 {
    size.round().max(1.0) as u32
}

/// The first pixel of `size` pixels in the middle of `of`; of two middles the first, as ultralytics has it.
fn centre(size: u32, of: u32) -> i64 {
    (i64::from(of) - i64::from(size)).div_euclid(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_letterbox_is_where_ultralytics_puts_it() {
        // LetterBox((640, 640), auto=False) on these pictures: new size, left, top.
        let cases = [
            ((1920, 1080), (640, 360), (0, 140)),
            ((640, 360), (640, 360), (0, 140)),
            ((810, 1080), (480, 640), (80, 0)),
            ((1281, 720), (640, 360), (0, 140)),
            ((333, 500), (426, 640), (107, 0)),
            ((500, 333), (640, 426), (0, 107)),
            ((1000, 665), (640, 426), (0, 107)),
            ((100, 99), (640, 634), (0, 3)),
        ];
        for (picture, size, offset) in cases {
            let placement = Placement::new(Fit::Letterbox, picture, (640, 640)).unwrap();
            assert_eq!(
                (placement.target_size(), placement.target_offset()),
                (size, offset),
                "{picture:?}"
            );
        }
    }

    #[test]
    fn a_crop_shows_the_middle() {
        let placement = Placement::new(Fit::Crop, (400, 200), (100, 100)).unwrap();
        assert_eq!(placement.source_crop(), (100.0, 0.0, 200.0, 200.0));
        assert_eq!(placement.needed(), (200, 100));
        let whole_input = placement.restore([0.0, 0.0, 100.0, 100.0]).unwrap();
        assert_eq!(whole_input, Region { x: 0.25, y: 0.0, w: 0.5, h: 1.0 });
    }

    #[test]
    fn what_lies_in_the_padding_is_cut_off() {
        let placement = Placement::new(Fit::Letterbox, (200, 100), (100, 100)).unwrap();
        let region = placement.restore([-10.0, 0.0, 50.0, 50.0]).unwrap();
        assert_eq!(region, Region { x: 0.0, y: 0.0, w: 0.5, h: 0.5 });
        assert_eq!(placement.restore([0.0, 0.0, 100.0, 20.0]), None);
    }

    #[test]
    fn nothing_can_be_placed_without_pixels() {
        assert_eq!(Placement::new(Fit::Stretch, (0, 5), (4, 4)), None);
    }

    proptest! {
        #[test]
        fn a_box_comes_back_as_it_was(
            fit in prop_oneof![Just(Fit::Letterbox), Just(Fit::Stretch)],
            width in 16u32..4000, height in 16u32..4000,
            x in 0f32..0.5, y in 0f32..0.5, w in 0.05f32..0.5, h in 0.05f32..0.5,
        ) {
            let placement = Placement::new(fit, (width, height), (640, 384)).unwrap();
            let (sw, sh) = placement.target_size();
            let (left, top) = placement.target_offset();
            let forth_x = |v: f32| v * sw as f32 + left as f32;
            let forth_y = |v: f32| v * sh as f32 + top as f32;
            let region = placement
                .restore([forth_x(x), forth_y(y), forth_x(x + w), forth_y(y + h)])
                .unwrap();
            let tolerance = 1e-3 / sw.min(sh).min(16) as f32 + 1e-4;
            for (back, was) in [(region.x, x), (region.y, y), (region.w, w), (region.h, h)] {
                prop_assert!((back - was).abs() <= tolerance, "{back} for {was}");
            }
        }
    }
}
