//! How planes hold colour, and the way from one to the other.
//!
//! Cameras send limited range (luma 16 to 235) with BT.601 or BT.709; JPEG wants full range with BT.601.
//! Planes written from one to the other as they are look washed out.

use crate::number;

/// Which weights of red, green and blue make up luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601, of standard definition and of JPEG.
    Bt601,
    /// ITU-R BT.709, of high definition.
    Bt709,
}

/// How planes hold colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Luma spans 0 to 255 (as in JPEG) rather than 16 to 235.
    pub full_range: bool,
    /// Which weights make up luma.
    pub matrix: Matrix,
}

impl Colour {
    /// What JPEG holds: full range, BT.601 (ITU-T T.871).
    pub const JPEG: Self = Self { full_range: true, matrix: Matrix::Bt601 };

    /// What a video of this size holds when it does not say: limited range, BT.709 from 1280 × 720 on, else BT.601.
    pub fn of_size(width: u32, height: u32) -> Self {
        let matrix = if width >= 1_280 || height >= 720 { Matrix::Bt709 } else { Matrix::Bt601 };
        Self { full_range: false, matrix }
    }

    /// The luma and chroma values of a colour.
    pub fn of_rgb(self, rgb: [u8; 3]) -> [u8; 3] {
        let ycc = self.matrix.analyse(rgb.map(|c| f64::from(c) / 255.0));
        let (luma_offset, luma_scale, chroma_scale) = self.scales();
        [
            number::pixel(luma_offset + luma_scale * ycc[0]),
            number::pixel(128.0 + chroma_scale * ycc[1]),
            number::pixel(128.0 + chroma_scale * ycc[2]),
        ]
    }

    /// Offset of luma, span of luma, span of chroma.
    fn scales(self) -> (f64, f64, f64) {
        if self.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) }
    }
}

impl Matrix {
    /// Weights of red and blue.
    fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
        }
    }

    /// RGB (0 to 1) to luma (0 to 1) and chroma (-0.5 to 0.5).
    fn analyse(self, [r, g, b]: [f64; 3]) -> [f64; 3] {
        let (kr, kb) = self.weights();
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        [y, (b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr))]
    }

    /// The inverse of `analyse`.
    fn synthesise(self, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
        let (kr, kb) = self.weights();
        let r = y + 2.0 * (1.0 - kr) * cr;
        let b = y + 2.0 * (1.0 - kb) * cb;
        [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
    }
}

/// The linear way from one colour to another, in fixed point with 16 bits after the point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversion {
    luma: i32,
    luma_offset: i32,
    luma_of_chroma: [i32; 2],
    chroma: [[i32; 2]; 2],
}

const ONE: f64 = 65_536.0;
const HALF: i32 = 1 << 15;

impl Conversion {
    /// The way from `from` to `to`; `None` when they are the same.
    pub(crate) fn between(from: Colour, to: Colour) -> Option<Self> {
        if from == to {
            return None;
        }
        let (from_offset, from_luma, from_chroma) = from.scales();
        let (to_offset, to_luma, to_chroma) = to.scales();
        let image = |ycc: [f64; 3]| to.matrix.analyse(from.matrix.synthesise(ycc));
        let (of_cb, of_cr) = (image([0.0, 1.0, 0.0]), image([0.0, 0.0, 1.0]));
        let luma = to_luma / from_luma;
        let fixed = |value: f64| number::round(value * ONE);
        Some(Self {
            luma: fixed(luma),
            luma_offset: fixed(to_offset - from_offset * luma) + HALF,
            luma_of_chroma: [of_cb[0], of_cr[0]].map(|y| fixed(y * to_luma / from_chroma)),
            chroma: [[of_cb[1], of_cr[1]], [of_cb[2], of_cr[2]]]
                .map(|row| row.map(|c| fixed(c * to_chroma / from_chroma))),
        })
    }

    /// What the chroma of a block adds to its luma values, to be given to [`Self::luma`].
    pub(crate) fn luma_shift(&self, u: u8, v: u8) -> i32 {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        self.luma_offset + self.luma_of_chroma[0] * u + self.luma_of_chroma[1] * v
    }

    /// Converts a luma value.
    pub(crate) fn luma(&self, y: u8, shift: i32) -> u8 {
        number::clamp((self.luma * i32::from(y) + shift) >> 16)
    }

    /// Converts a pair of chroma values.
    pub(crate) fn chroma(&self, u: u8, v: u8) -> (u8, u8) {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let one = |row: [i32; 2]| number::clamp(128 + ((row[0] * u + row[1] * v + HALF) >> 16));
        (one(self.chroma[0]), one(self.chroma[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED_709: Colour = Colour { full_range: false, matrix: Matrix::Bt709 };

    #[test]
    fn white_black_and_red_have_their_standard_values() {
        let sd = Colour::of_size(640, 480);
        assert_eq!(sd.of_rgb([255, 255, 255]), [235, 128, 128]);
        assert_eq!(sd.of_rgb([0, 0, 0]), [16, 128, 128]);
        assert_eq!(sd.of_rgb([255, 0, 0]), [81, 90, 240]);
        assert_eq!(Colour::of_size(1_920, 1_080).of_rgb([255, 0, 0]), [63, 102, 240]);
    }

    #[test]
    fn converting_equals_encoding_the_colour_anew() {
        let way = Conversion::between(LIMITED_709, Colour::JPEG).unwrap();
        for rgb in [[255, 255, 255], [0, 0, 0], [200, 40, 60], [10, 220, 90], [30, 60, 250]] {
            let [y, u, v] = LIMITED_709.of_rgb(rgb);
            let (to_u, to_v) = way.chroma(u, v);
            let got = [way.luma(y, way.luma_shift(u, v)), to_u, to_v];
            for (got, want) in got.into_iter().zip(Colour::JPEG.of_rgb(rgb)) {
                assert!(got.abs_diff(want) <= 2, "{rgb:?}: {got} where {want} was expected");
            }
        }
    }

    #[test]
    fn nothing_is_to_be_done_between_equal_colours() {
        assert!(Conversion::between(LIMITED_709, LIMITED_709).is_none());
    }
}
