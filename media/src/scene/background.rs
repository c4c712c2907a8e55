//! The background: a gradient under blotches of two sizes and a fine grain, in muted colours.

use super::motion::{between, hash};
use crate::number::{self, coordinate};
use crate::picture::Planes;

/// Paints the background of a scene of an even size.
pub(super) fn paint(seed: u64, width: usize, height: usize) -> Planes {
    let luma = Luma::new(hash(seed, 0xb0));
    let y = plane(width, height, |x, y| luma.at(x, y) + grain(seed, x, y), height);
    let chroma = |seed: u64| {
        let base = between(hash(seed, 1), 116.0, 140.0);
        plane(width / 2, height / 2, |x, y| base + 9.0 * blotch(seed, 2.2, x, y), height / 2).into()
    };
    Planes { y: y.into(), u: chroma(hash(seed, 0xb1)), v: chroma(hash(seed, 0xb2)) }
}

/// Fills a plane from a function of the place, in units of `unit` pixels.
fn plane(width: usize, height: usize, value: impl Fn(f64, f64) -> f64, unit: usize) -> Vec<u8> {
    let at = |index: usize| {
        let (x, y) = (coordinate(index % width), coordinate(index / width));
        number::pixel(value(x / coordinate(unit), y / coordinate(unit)))
    };
    (0..width * height).map(at).collect()
}

/// Luma without grain.
struct Luma {
    seed: u64,
    base: f64,
    slope: [f64; 2],
}

impl Luma {
    fn new(seed: u64) -> Self {
        let slope = |place| between(hash(seed, place), -35.0, 35.0);
        Self { seed, base: between(hash(seed, 1), 85.0, 150.0), slope: [slope(2), slope(3)] }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        let gradient = self.slope[0] * (x - 0.9) + self.slope[1] * (y - 0.5);
        let blotches = 20.0 * blotch(self.seed, 3.0, x, y) + 9.0 * blotch(!self.seed, 14.0, x, y);
        (self.base + gradient + blotches).clamp(30.0, 215.0)
    }
}

/// Smooth noise between -1 and 1 with `cells` cells per unit.
fn blotch(seed: u64, cells: f64, x: f64, y: f64) -> f64 {
    let (x, y) = (x * cells, y * cells);
    let corner = |right: f64, down: f64| {
        let place = number::index(x + right) as u64 | ((number::index(y + down) as u64) << 32);
        between(hash(seed, place), -1.0, 1.0)
    };
    let ease = |t: f64| t * t * (3.0 - 2.0 * t);
    let (across, along) = (ease(x.fract()), ease(y.fract()));
    let mix = |from: f64, to: f64, part: f64| from + (to - from) * part;
    let upper = mix(corner(0.0, 0.0), corner(1.0, 0.0), across);
    let lower = mix(corner(0.0, 1.0), corner(1.0, 1.0), across);
    mix(upper, lower, along)
}

/// Noise of a few levels that changes from pixel to pixel.
fn grain(seed: u64, x: f64, y: f64) -> f64 {
    between(hash(seed ^ x.to_bits(), y.to_bits()), -3.0, 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_neither_flat_nor_glaring() {
        for seed in 0..20 {
            let planes = paint(seed, 320, 180);
            let (low, high) = (planes.y.iter().min().unwrap(), planes.y.iter().max().unwrap());
            assert!(high - low > 25, "seed {seed}: luma {low} to {high}");
            assert!(*low >= 25 && *high <= 220, "seed {seed}: luma {low} to {high}");
            assert!(planes.u.iter().chain(&planes.v[..]).all(|c| c.abs_diff(128) < 25));
        }
    }
}
