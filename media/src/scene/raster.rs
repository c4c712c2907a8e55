//! Fills polygons, with smooth edges, and keeps account of which shape each pixel shows.

use crate::number::{self, coordinate};
use crate::picture::Planes;

/// Lines per pixel on which coverage is measured.
const LINES: usize = 4;
/// Coverage of a pixel by one full line.
const FULL_LINE: usize = 64;
/// Coverage of a pixel by all lines.
const FULL: i32 = 256;

/// A picture being drawn.
pub(super) struct Canvas {
    width: usize,
    pub(super) y: Vec<u8>,
    pub(super) u: Vec<u8>,
    pub(super) v: Vec<u8>,
    /// The shape that each pixel shows; 0 is the background.
    owner: Vec<u8>,
    /// Pixels that each shape shows.
    visible: [usize; 256],
}

impl Canvas {
    /// A canvas that shows the background.
    pub(super) fn new(background: &Planes, width: usize) -> Self {
        Self {
            width,
            y: background.y.to_vec(),
            u: background.u.to_vec(),
            v: background.v.to_vec(),
            owner: vec![0; background.y.len()],
            visible: [0; 256],
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.y.len() / self.width)
    }

    /// Pixels that a shape shows after all that was drawn over it.
    pub(super) fn visible(&self, id: u8) -> usize {
        self.visible[usize::from(id)]
    }

    pub(super) fn into_planes(self) -> Planes {
        Planes { y: self.y.into(), u: self.u.into(), v: self.v.into() }
    }

    /// Fills a polygon and returns its area in pixels; `id` is above 0 and used once.
    pub(super) fn fill(&mut self, outline: &[[f64; 2]], colour: [u8; 3], id: u8) -> usize {
        let (width, height) = self.size();
        let [left, right] = even_range(outline.iter().map(|point| point[0]), width);
        let [top, bottom] = even_range(outline.iter().map(|point| point[1]), height);
        let mut cover = [vec![0; right - left], vec![0; right - left]];
        for y in (top..bottom).step_by(2) {
            for (row, cover) in (y..).zip(&mut cover) {
                cover_row(outline, row, left, cover);
                self.blend_luma(row, left, cover, colour[0], id);
            }
            self.blend_chroma(y / 2, left / 2, &cover, colour);
        }
        self.visible[usize::from(id)]
    }

    fn blend_luma(&mut self, row: usize, left: usize, cover: &[u16], luma: u8, id: u8) {
        let start = row * self.width + left;
        let pixels = self.y[start..].iter_mut().zip(&mut self.owner[start..]);
        for (&cover, (pixel, owner)) in cover.iter().zip(pixels) {
            if cover > 0 {
                *pixel = blended(*pixel, luma, i32::from(cover));
            }
            if i32::from(cover) >= FULL / 2 {
                self.visible[usize::from(*owner)] =
                    self.visible[usize::from(*owner)].saturating_sub(1);
                self.visible[usize::from(id)] += 1;
                *owner = id;
            }
        }
    }

    fn blend_chroma(&mut self, row: usize, left: usize, cover: &[Vec<u16>; 2], colour: [u8; 3]) {
        let start = row * (self.width / 2) + left;
        let pixels = self.u[start..].iter_mut().zip(&mut self.v[start..]);
        let pairs = cover[0].chunks_exact(2).zip(cover[1].chunks_exact(2));
        for ((upper, lower), (u, v)) in pairs.zip(pixels) {
            let cover = i32::from(upper[0] + upper[1] + lower[0] + lower[1]) / 4;
            *u = blended(*u, colour[1], cover);
            *v = blended(*v, colour[2], cover);
        }
    }
}

/// The even-aligned range of pixels that values span, within `0..limit` (which is even).
fn even_range(values: impl Iterator<Item = f64>, limit: usize) -> [usize; 2] {
    let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    let low = (number::index(low) & !1).min(limit);
    let high = number::index(high.ceil()).next_multiple_of(2).min(limit);
    [low, high.max(low)]
}

fn blended(under: u8, over: u8, cover: i32) -> u8 {
    number::clamp(i32::from(under) + (i32::from(over) - i32::from(under)) * cover / FULL)
}

/// Measures how much of each pixel of a row the polygon covers, from column `left` on: 0 to 256.
fn cover_row(outline: &[[f64; 2]], row: usize, left: usize, cover: &mut [u16]) {
    cover.fill(0);
    let mut crossings = Vec::with_capacity(8);
    for line in 0..LINES {
        let y = coordinate(row) + (coordinate(line) + 0.5) / coordinate(LINES);
        crossings.clear();
        crossings.extend(edges(outline).filter_map(|(from, to)| crossing(from, to, y)));
        crossings.sort_unstable_by(f64::total_cmp);
        for inside in crossings.chunks_exact(2) {
            add_span(cover, inside[0] - coordinate(left), inside[1] - coordinate(left));
        }
    }
}

fn edges(outline: &[[f64; 2]]) -> impl Iterator<Item = ([f64; 2], [f64; 2])> + '_ {
    outline.iter().copied().zip(outline.iter().copied().cycle().skip(1))
}

/// Where an edge crosses a horizontal line.
fn crossing([x0, y0]: [f64; 2], [x1, y1]: [f64; 2], y: f64) -> Option<f64> {
    ((y0 <= y) != (y1 <= y)).then(|| x0 + (y - y0) / (y1 - y0) * (x1 - x0))
}

/// Adds one line's coverage of the pixels between two places.
fn add_span(cover: &mut [u16], from: f64, to: f64) {
    let end = cover.len() * FULL_LINE;
    let place = |x: f64| number::index(x * coordinate(FULL_LINE)).min(end);
    let (from, to) = (place(from), place(to));
    let (first, last) = (from / FULL_LINE, to / FULL_LINE);
    let mut add = |pixel: usize, amount: usize| {
        if let Some(cover) = cover.get_mut(pixel) {
            *cover += number::small(amount);
        }
    };
    if first == last {
        add(first, to - from);
        return;
    }
    add(first, FULL_LINE - from % FULL_LINE);
    add(last, to % FULL_LINE);
    cover[first + 1..last].iter_mut().for_each(|cover| *cover += number::small(FULL_LINE));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn canvas() -> Canvas {
        let planes = Planes {
            y: Bytes::from(vec![0; 64 * 32]),
            u: Bytes::from(vec![128; 32 * 16]),
            v: Bytes::from(vec![128; 32 * 16]),
        };
        Canvas::new(&planes, 64)
    }

    fn rectangle(x: f64, y: f64, w: f64, h: f64) -> [[f64; 2]; 4] {
        [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    }

    #[test]
    fn a_rectangle_fills_its_pixels_and_no_others() {
        let mut canvas = canvas();
        assert_eq!(canvas.fill(&rectangle(10.0, 4.0, 20.0, 8.0), [200, 90, 160], 1), 160);
        assert_eq!(canvas.y.iter().filter(|&&y| y == 200).count(), 160);
        assert_eq!(canvas.y.iter().filter(|&&y| y == 0).count(), 64 * 32 - 160);
        assert_eq!(canvas.u.iter().filter(|&&u| u == 90).count(), 40);
        assert_eq!((canvas.y[4 * 64 + 10], canvas.y[4 * 64 + 9]), (200, 0));
    }

    #[test]
    fn half_covered_pixels_are_half_blended() {
        let mut canvas = canvas();
        canvas.fill(&rectangle(10.5, 4.0, 4.0, 2.0), [200, 128, 128], 1);
        assert_eq!(
            (canvas.y[4 * 64 + 10], canvas.y[4 * 64 + 11], canvas.y[4 * 64 + 14]),
            (100, 200, 100)
        );
    }

    #[test]
    fn what_is_drawn_over_a_shape_hides_it() {
        let mut canvas = canvas();
        assert_eq!(canvas.fill(&rectangle(0.0, 0.0, 20.0, 10.0), [200, 128, 128], 1), 200);
        canvas.fill(&rectangle(10.0, 0.0, 20.0, 10.0), [100, 128, 128], 2);
        assert_eq!((canvas.visible(1), canvas.visible(2)), (100, 200));
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut canvas = canvas();
        canvas.fill(&rectangle(-10.0, -10.0, 200.0, 200.0), [200, 128, 128], 1);
        assert!(canvas.y.iter().all(|&y| y == 200));
        assert_eq!(canvas.fill(&rectangle(100.0, 100.0, 5.0, 5.0), [9, 128, 128], 2), 0);
    }
}
