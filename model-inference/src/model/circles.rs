//! A circle detector without a network: a Hough transform along the gradient for the centres, then the share of
//! the circumference that is really there for the radius and the score.

use media::RgbImage;
use services::ModelName;

use super::{Algorithm, Detection, Model, ModelError, Region};
use crate::postprocess::nms::{Candidate, Suppression};

/// Pictures are averaged down until they are no wider than this.
const WORKING_WIDTH: u32 = 400;
/// Radii that are looked for, in pixels of the working picture.
const RADII: std::ops::Range<u16> = 4..100;
/// Least Sobel gradient of an edge; a step of 8 bits across gives 1,020.
const EDGE: f32 = 160.0;
/// Least cosine between an edge's gradient and its direction from the centre.
const ALIGNED: f32 = 0.95;
/// Parts of the circumference that are asked for an edge.
const PARTS: usize = 32;
/// Least share of the parts that a circle has.
const SCORE: f32 = 0.65;
/// Most centres that are looked at.
const MOST_CENTRES: usize = 64;
const OVERLAP: Suppression = Suppression { iou: 0.3, class_aware: true, max_detections: 50 };

struct Circles;

/// Makes the model `circles`.
pub(super) fn model(name: ModelName) -> Result<Model, ModelError> {
    let model = Model::new(name, "circles-1", || Ok(Box::new(Circles)))?;
    Ok(model.needing(|(width, height)| {
        let needed = width.min(WORKING_WIDTH);
        (width > 0).then(|| (needed, (height * needed).div_ceil(width)))
    }))
}

impl Algorithm for Circles {
    fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
        let picture = pictures.last().ok_or_else(|| ModelError::Run("no picture came".into()))?;
        let planes = Planes::of(picture);
        let edges = planes.edges();
        let circles = centres(&planes, &edges).into_iter().filter_map(|centre| {
            let rough = circle(&edges, centre)?;
            circle(&edges, refined(&edges, centre, rough.radius)?)
        });
        let kept = OVERLAP.apply(circles.map(|circle| circle.candidate()).collect());
        Ok(kept.candidates.iter().filter_map(|circle| planes.detection(circle)).collect())
    }
}

/// The picture at working size, in three planes.
struct Planes {
    width: usize,
    height: usize,
    colours: [Vec<f32>; 3],
}

struct Edge {
    x: f32,
    y: f32,
    /// The gradient's direction, of length 1.
    ux: f32,
    uy: f32,
}

impl Edge {
    /// Tells whether its gradient points along (`dx`, `dy`), forwards or backwards.
    fn is_aligned(&self, dx: f32, dy: f32) -> bool {
        (dx * self.ux + dy * self.uy).abs() >= ALIGNED * dx.hypot(dy)
    }
}

impl Planes {
    /// Averages blocks of pixels, so that the width is at most [`WORKING_WIDTH`].
    fn of(picture: &RgbImage) -> Self {
        let block = picture.width.div_ceil(WORKING_WIDTH).max(1) as usize;
        let (width, height) = (picture.width as usize / block, picture.height as usize / block);
        let mut colours = [0; 3].map(|_| vec![0.0; width * height]);
        let share = 1.0 / (block * block) as f32;
        let bytes_per_row = picture.width as usize * 3;
        for (y, row) in
            picture.data.chunks_exact(bytes_per_row.max(1)).take(height * block).enumerate()
        {
            for (x, pixel) in row.chunks_exact(3).take(width * block).enumerate() {
                for (plane, &value) in colours.iter_mut().zip(pixel) {
                    plane[y / block * width + x / block] += f32::from(value) * share;
                }
            }
        }
        Self { width, height, colours }
    }

    fn edges(&self) -> Vec<Edge> {
        let gradients: Vec<(f32, f32)> =
            (0..self.width * self.height).map(|cell| self.gradient(cell)).collect();
        let strengths: Vec<f32> = gradients.iter().map(|(gx, gy)| gx.hypot(*gy)).collect();
        let strong = (0..strengths.len()).filter(|&cell| strengths[cell] >= EDGE);
        let ridge = strong.filter(|&cell| self.is_ridge(cell, gradients[cell], &strengths));
        let edge = |cell: usize| Edge {
            x: (cell % self.width) as f32,
            y: (cell / self.width) as f32,
            ux: gradients[cell].0 / strengths[cell],
            uy: gradients[cell].1 / strengths[cell],
        };
        ridge.map(edge).collect()
    }

    /// The Sobel gradient of the colour in which it is steepest; none at the border.
    fn gradient(&self, cell: usize) -> (f32, f32) {
        let (x, y) = (cell % self.width, cell / self.width);
        if x == 0 || y == 0 || x + 1 >= self.width || y + 1 >= self.height {
            return (0.0, 0.0);
        }
        let gradients = self.colours.iter().map(|plane| sobel(plane, cell, self.width));
        gradients.max_by(|a, b| a.0.hypot(a.1).total_cmp(&b.0.hypot(b.1))).unwrap_or_default()
    }

    /// Tells whether no neighbour across the edge is a stronger one: edges become one pixel thin.
    fn is_ridge(&self, cell: usize, (gx, gy): (f32, f32), strengths: &[f32]) -> bool {
        let step = if gx.abs() >= gy.abs() { 1 } else { self.width };
        strengths[cell] >= strengths[cell - step] && strengths[cell] > strengths[cell + step]
    }

    fn detection(&self, circle: &Candidate) -> Option<Detection> {
        let (width, height) = (self.width as f32, self.height as f32);
        let [x1, y1, x2, y2] = circle.corners;
        let (left, top) = (x1.max(0.0) / width, y1.max(0.0) / height);
        let (right, bottom) = (x2.min(width) / width, y2.min(height) / height);
        let region = Region { x: left, y: top, w: right - left, h: bottom - top };
        (region.w > 0.0 && region.h > 0.0).then(|| Detection {
            class_id: 0,
            label: "circle".into(),
            score: circle.score,
            region: Some(region),
            extra: Some(format!("{{\"radius\":{:.4}}}", (x2 - x1) / 2.0 / width)),
        })
    }
}

fn sobel(plane: &[f32], cell: usize, width: usize) -> (f32, f32) {
    let row = |cell: usize| [plane[cell - 1], plane[cell], plane[cell + 1]];
    let [above, here, below] = [row(cell - width), row(cell), row(cell + width)];
    let gx = above[2] + 2.0 * here[2] + below[2] - above[0] - 2.0 * here[0] - below[0];
    let gy = below[0] + 2.0 * below[1] + below[2] - above[0] - 2.0 * above[1] - above[2];
    (gx, gy)
}

/// Each edge votes for the centres of all circles that it may be a part of; the places with the most votes are
/// the centres.
fn centres(planes: &Planes, edges: &[Edge]) -> Vec<(f32, f32)> {
    let (width, height) = (planes.width, planes.height);
    let mut votes = vec![0_u32; width * height];
    for edge in edges {
        for direction in [-1.0, 1.0] {
            for radius in RADII {
                let reach = direction * f32::from(radius);
                match cell(edge.x + reach * edge.ux, edge.y + reach * edge.uy, width, height) {
                    Some(cell) => votes[cell] += 1,
                    None => break,
                }
            }
        }
    }
    let mut peaks = peaks(&votes, width, height);
    peaks.sort_by_key(|&(votes, cell)| (std::cmp::Reverse(votes), cell));
    peaks.truncate(MOST_CENTRES);
    peaks.iter().map(|&(_, cell)| ((cell % width) as f32, (cell / width) as f32)).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are checked to lie within the picture"
)]
fn cell(x: f32, y: f32, width: usize, height: usize) -> Option<usize> {
    let (x, y) = (x.round(), y.round());
    let within = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
    within.then(|| y as usize * width + x as usize)
}

/// Places whose 3 × 3 neighbourhood has more votes than those around it.
fn peaks(votes: &[u32], width: usize, height: usize) -> Vec<(u32, usize)> {
    let square = |x: usize, y: usize| -> u32 {
        (y - 1..=y + 1)
            .map(|y| votes[y * width + x - 1..=y * width + x + 1].iter().sum::<u32>())
            .sum()
    };
    let mut blurred = vec![0; votes.len()];
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            blurred[y * width + x] = square(x, y);
        }
    }
    let least = 2 * u32::from(RADII.start);
    let is_peak = |cell: usize, votes: u32| {
        let (x, y) = (cell % width, cell / width);
        let rows = y.saturating_sub(2)..(y + 3).min(height);
        rows.flat_map(|y| (x.saturating_sub(2)..(x + 3).min(width)).map(move |x| y * width + x))
            .all(|other| (blurred[other], cell) <= (votes, other) || other == cell)
    };
    let strong = blurred.iter().enumerate().filter(|&(_, &votes)| votes >= least);
    strong
        .filter(|&(cell, &votes)| is_peak(cell, votes))
        .map(|(cell, &votes)| (votes, cell))
        .collect()
}

struct Circle {
    centre: (f32, f32),
    radius: f32,
    /// The share of the circumference that is there.
    score: f32,
}

impl Circle {
    fn candidate(&self) -> Candidate {
        let ((cx, cy), r) = (self.centre, self.radius);
        let corners = [cx - r, cy - r, cx + r, cy + r].map(|edge| edge + 0.5);
        Candidate { class_id: 0, score: self.score, corners }
    }
}

/// The radius around a centre at which the most parts of the circumference are edges pointing to or from it.
fn circle(edges: &[Edge], centre: (f32, f32)) -> Option<Circle> {
    let mut parts = [0_u32; RADII.end as usize + 2];
    for edge in edges {
        let (dx, dy) = (edge.x - centre.0, edge.y - centre.1);
        let part = nearest_radius(dx.hypot(dy)).filter(|_| edge.is_aligned(dx, dy));
        if let Some(radius) = part {
            let part = 1 << part_of_turn(dx, dy);
            parts[radius - 1..=radius + 1].iter_mut().for_each(|at| *at |= part);
        }
    }
    let share = |radius: u16| parts[usize::from(radius)].count_ones() as f32 / PARTS as f32;
    let score = RADII.map(share).fold(0.0, f32::max);
    // Of radii that are equally covered the middle one.
    let covered: Vec<u16> = RADII.filter(|&radius| share(radius) >= score).collect();
    let radius = f32::from(*covered.get(covered.len() / 2)?);
    (score >= SCORE).then_some(Circle { centre, radius, score })
}

/// The centre that the edges near a circle point to on average.
fn refined(edges: &[Edge], (cx, cy): (f32, f32), radius: f32) -> Option<(f32, f32)> {
    let (mut sum, mut count) = ((0.0, 0.0), 0.0);
    for edge in edges {
        let (dx, dy) = (edge.x - cx, edge.y - cy);
        if (dx.hypot(dy) - radius).abs() <= 2.0 && edge.is_aligned(dx, dy) {
            let outward = radius.copysign(dx * edge.ux + dy * edge.uy);
            sum = (sum.0 + edge.x - outward * edge.ux, sum.1 + edge.y - outward * edge.uy);
            count += 1.0;
        }
    }
    (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a distance within RADII"
)]
fn nearest_radius(distance: f32) -> Option<usize> {
    let radius = distance.round();
    let within = radius >= f32::from(RADII.start) && radius < f32::from(RADII.end);
    within.then_some(radius as usize)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a turn has no more parts"
)]
fn part_of_turn(dx: f32, dy: f32) -> usize {
    let turn = dy.atan2(dx) / std::f32::consts::TAU + 0.5;
    ((turn * PARTS as f32) as usize).min(PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 480 × 270 with something bright in it.
    fn drawn(bright: impl Fn(f32, f32) -> bool) -> RgbImage {
        let pixel = |i: u32| {
            let (x, y) = ((i % 480) as f32, (i / 480) as f32);
            let background = 60 + u8::try_from(i * 7_919 % 13).unwrap();
            if bright(x, y) { [220, 180, background] } else { [background, 70, background] }
        };
        let data = (0..480 * 270).flat_map(pixel).collect();
        RgbImage { width: 480, height: 270, data }
    }

    fn found(picture: RgbImage) -> Vec<Detection> {
        Circles.run(&[picture]).unwrap()
    }

    #[test]
    fn circles_are_found_with_their_radius() {
        let inside = |x: f32, y: f32, r: f32, cx: f32, cy: f32| (x - cx).hypot(y - cy) < r;
        let mut found = found(drawn(|x, y| {
            inside(x, y, 30.0, 100.0, 80.0) || inside(x, y, 60.0, 300.0, 150.0)
        }));
        found.sort_by(|a, b| a.region.unwrap().x.total_cmp(&b.region.unwrap().x));
        assert_eq!(found.len(), 2, "{found:?}");
        for (detection, (cx, cy, r)) in
            found.iter().zip([(100.0, 80.0, 30.0), (300.0, 150.0, 60.0)])
        {
            let region = detection.region.unwrap();
            let centre = ((region.x + region.w / 2.0) * 480.0, (region.y + region.h / 2.0) * 270.0);
            assert!((centre.0 - cx).abs() < 3.0 && (centre.1 - cy).abs() < 3.0, "{region:?}");
            assert!((region.w * 240.0 - r).abs() < 4.0, "{region:?}");
            assert!(detection.score > 0.9);
        }
    }

    #[test]
    fn squares_and_bare_walls_are_no_circles() {
        let square = drawn(|x, y| (x - 200.0).abs() < 40.0 && (y - 120.0).abs() < 40.0);
        assert_eq!(found(square), []);
        assert_eq!(found(drawn(|_, _| false)), []);
    }

    #[test]
    fn a_picture_of_a_few_pixels_has_none() {
        for (width, height) in [(1, 1), (2, 3), (0, 0)] {
            let data = vec![9; (width * height * 3) as usize];
            assert_eq!(found(RgbImage { width, height, data }), []);
        }
    }
}
