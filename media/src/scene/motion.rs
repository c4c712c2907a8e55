//! How shapes move: a straight flight with a random walk on top, turned back at the edges.
//!
//! Position is a function of time, not a state that is stepped, so that any frame is as cheap as the next one.

use super::shape;
use crate::colour::Colour;
use crate::number;

/// A shape with its way through the scene.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) class: usize,
    /// Luma and chroma values.
    pub(super) colour: [u8; 3],
    outline: Vec<[f64; 2]>,
    walks: [Walk; 2],
    radius: f64,
    angle: f64,
    spin: f64,
}

/// The way along one axis.
#[derive(Clone, Debug)]
struct Walk {
    seed: u64,
    start: f64,
    velocity: f64,
    wander: f64,
    low: f64,
    high: f64,
}

const COLOURS: [[u8; 3]; 10] = [
    [225, 35, 40],
    [30, 190, 70],
    [45, 80, 235],
    [245, 215, 30],
    [215, 45, 205],
    [35, 205, 225],
    [245, 130, 25],
    [240, 240, 240],
    [25, 25, 30],
    [120, 60, 200],
];

/// Makes the shapes of a scene on a field of `field` pixels.
pub(super) fn bodies(seed: u64, count: u8, field: (f64, f64), colour: Colour) -> Vec<Body> {
    let classes = shuffled::<{ shape::LABELS.len() }>(hash(seed, 1));
    let colours = shuffled::<{ COLOURS.len() }>(hash(seed, 2));
    (0..usize::from(count))
        .map(|index| {
            let seed = hash(seed, 0x1000 + index as u64);
            let class = classes[index % classes.len()];
            let rgb = COLOURS[colours[index % colours.len()]];
            body(seed, class, colour.of_rgb(shaded(seed, rgb)), field)
        })
        .collect()
}

fn body(seed: u64, class: usize, colour: [u8; 3], (width, height): (f64, f64)) -> Body {
    let unit = width.min(height);
    let radius = unit * between(hash(seed, 1), 0.06, 0.18);
    let walk = |axis: u64, length: f64| {
        let seed = hash(seed, 10 + axis);
        let direction = if seed & 1 == 0 { 1.0 } else { -1.0 };
        Walk {
            seed,
            start: between(hash(seed, 1), radius, length - radius),
            velocity: direction * unit * between(hash(seed, 2), 0.03, 0.25),
            wander: unit * between(hash(seed, 3), 0.1, 0.4),
            low: radius,
            high: length - radius,
        }
    };
    Body {
        class,
        colour,
        outline: shape::outline(class),
        walks: [walk(0, width), walk(1, height)],
        radius,
        angle: between(hash(seed, 2), 0.0, std::f64::consts::TAU),
        spin: between(hash(seed, 3), -0.8, 0.8),
    }
}

impl Body {
    /// The outline in pixels, `seconds` after the scene's start.
    pub(super) fn outline(&self, seconds: f64) -> Vec<[f64; 2]> {
        let centre = [self.walks[0].at(seconds), self.walks[1].at(seconds)];
        let (sin, cos) = (self.angle + self.spin * seconds).sin_cos();
        let place = |&[x, y]: &[f64; 2]| {
            let (right, down) = (x * cos - y * sin, x * sin + y * cos);
            [centre[0] + self.radius * right, centre[1] + self.radius * down]
        };
        self.outline.iter().map(place).collect()
    }
}

impl Walk {
    fn at(&self, seconds: f64) -> f64 {
        let slow = smooth_noise(self.seed, seconds / 3.0);
        let quick = smooth_noise(!self.seed, seconds / 0.9);
        let free = self.start + self.velocity * seconds + self.wander * (slow + 0.2 * quick);
        reflected(free, self.low, self.high)
    }
}

/// Folds a free path back between two walls.
fn reflected(place: f64, low: f64, high: f64) -> f64 {
    let span = high - low;
    let folded = (place - low).rem_euclid(2.0 * span);
    low + if folded > span { 2.0 * span - folded } else { folded }
}

/// A smooth random curve between -1 and 1 with a new direction at every whole number.
fn smooth_noise(seed: u64, time: f64) -> f64 {
    let step = number::index(time) as u64;
    let fraction = time.fract();
    let ease = fraction * fraction * (3.0 - 2.0 * fraction);
    let from = between(hash(seed, step), -1.0, 1.0);
    let to = between(hash(seed, step + 1), -1.0, 1.0);
    from + (to - from) * ease
}

fn shaded(seed: u64, rgb: [u8; 3]) -> [u8; 3] {
    let light = between(hash(seed, 4), 0.8, 1.05);
    rgb.map(|c| number::pixel(f64::from(c) * light))
}

/// The numbers below `N` in an order that follows from the seed (Fisher and Yates).
fn shuffled<const N: usize>(seed: u64) -> [usize; N] {
    let mut order = std::array::from_fn(|index| index);
    for last in (1..N).rev() {
        let chosen = between(hash(seed, last as u64), 0.0, number::coordinate(last + 1));
        order.swap(last, number::index(chosen));
    }
    order
}

/// A well-mixed number for a place in a seed's sequence (SplitMix64).
pub(super) fn hash(seed: u64, place: u64) -> u64 {
    let mut z =
        seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x2545_f491_4f6c_dd1d);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Maps a hash to a number of `low..high`.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub(super) fn between(hash: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * ((hash >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_turn_a_path_back() {
        assert_eq!(reflected(12.0, 0.0, 10.0), 8.0);
        assert_eq!(reflected(-3.0, 0.0, 10.0), 3.0);
        assert_eq!(reflected(25.0, 0.0, 10.0), 5.0);
    }

    #[test]
    fn a_walk_is_continuous() {
        let colour = Colour::of_size(640, 360);
        for body in bodies(5, 30, (640.0, 320.0), colour) {
            for step in 0..2_000_u32 {
                let time = f64::from(step) * 0.04;
                let moved = (body.walks[0].at(time) - body.walks[0].at(time + 0.04)).abs();
                assert!(moved < 320.0 * 0.06, "{moved} pixels at {time} s");
            }
        }
    }

    #[test]
    fn an_order_holds_every_number_once() {
        let mut order = shuffled::<10>(42);
        assert_ne!(order, std::array::from_fn(|index| index));
        order.sort_unstable();
        assert_eq!(order, std::array::from_fn(|index| index));
    }
}
