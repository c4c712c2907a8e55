//! The synthetic scene: a camera made of arithmetic, whose every frame knows what is in it.
//!
//! Shapes of six classes drift, turn, bounce and hide each other before a textured background. A strip at the
//! bottom holds the frame number as a bar code, which [`read_frame_number`] reads back after compression, and the
//! frame's time as a clock. Any frame can be rendered at any time: each follows from seed and number alone.

mod background;
mod clock;
mod motion;
mod raster;
mod shape;
mod strip;

use thiserror::Error;

pub use self::shape::LABELS;
pub use self::strip::{read_frame_number, read_frame_number_rgb};

use self::motion::Body;
use self::raster::Canvas;
use self::strip::Layout;
use crate::colour::Colour;
use crate::frame_rate::FrameRate;
use crate::number::{self, coordinate, size};
use crate::picture::{Picture, Planes};

/// What a scene looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneConfig {
    /// Everything random follows from it: another seed is another scene.
    pub seed: u64,
    /// Width in pixels: even, 160 to 7,680.
    pub width: u32,
    /// Height in pixels: even, 90 to 4,320.
    pub height: u32,
    /// Frames per second.
    pub fps: FrameRate,
    /// How many shapes there are, up to 64.
    pub shapes: u8,
}

impl Default for SceneConfig {
    fn default() -> Self {
        let fps = FrameRate::new(25, 1).expect("25 and 1 are not zero");
        Self { seed: 1, width: 640, height: 360, fps, shapes: 6 }
    }
}

/// Why a scene cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SceneError {
    /// The size is odd, too small for the bar code or too large.
    #[error("make scene: {width} × {height} is not an even size from 160 × 90 to 7680 × 4320")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// There are too many shapes.
    #[error("make scene: {0} shapes are more than 64")]
    Shapes(u8),
}

/// One shape as it truly is in a frame.
///
/// # Units
/// The box is in fractions of the picture, 0 to 1, from its upper left corner; it surrounds the whole shape,
/// hidden parts included.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Index into [`LABELS`].
    pub class_id: usize,
    /// Name of the class.
    pub label: &'static str,
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
    /// Fraction of the shape's area that no other shape hides.
    pub visible: f32,
}

/// A frame of the scene and what is in it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The picture: limited range, BT.601 below 1280 × 720 and BT.709 from there on.
    pub picture: Picture,
    /// The shapes, the hindmost first.
    pub truth: Vec<Truth>,
}

/// A scene, ready to be rendered frame by frame in any order.
#[derive(Debug)]
pub struct Scene {
    config: SceneConfig,
    colour: Colour,
    layout: Layout,
    background: Planes,
    bodies: Vec<Body>,
}

impl Scene {
    /// Makes a scene.
    ///
    /// # Errors
    /// The size or the number of shapes is out of bounds.
    pub fn new(config: SceneConfig) -> Result<Self, SceneError> {
        let SceneConfig { seed, width, height, shapes, .. } = config;
        let even = width % 2 == 0 && height % 2 == 0;
        if !even || !(160..=7_680).contains(&width) || !(90..=4_320).contains(&height) {
            return Err(SceneError::Size { width, height });
        }
        if shapes > 64 {
            return Err(SceneError::Shapes(shapes));
        }
        let layout = Layout::of(size(width), size(height));
        let field = (f64::from(width), layout.top());
        let colour = Colour::of_size(width, height);
        Ok(Self {
            colour,
            layout,
            background: background::paint(seed, size(width), size(height)),
            bodies: motion::bodies(seed, shapes, field, colour),
            config,
        })
    }

    /// What the scene was made from.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Renders a frame, counted from 0; its `pts` is `fps.pts(frame_no)`.
    ///
    /// The bar code holds the lower 32 bits of the number.
    pub fn render(&self, frame_no: u64) -> Rendered {
        let pts = self.config.fps.pts(frame_no);
        let mut canvas = Canvas::new(&self.background, size(self.config.width));
        let boxes = self.draw_bodies(&mut canvas, pts);
        let truth = boxes.into_iter().map(|drawn| drawn.truth(&canvas)).collect();
        strip::draw(&mut canvas, &self.layout, frame_no, pts);
        let SceneConfig { width, height, .. } = self.config;
        let picture = Picture::new(width, height, canvas.into_planes(), self.colour, pts)
            .expect("the canvas has the scene's size");
        Rendered { picture, truth }
    }

    fn draw_bodies(&self, canvas: &mut Canvas, pts: i64) -> Vec<Drawn> {
        let seconds = number::seconds(pts);
        let mut drawn = Vec::with_capacity(self.bodies.len());
        for (body, id) in self.bodies.iter().zip(1..) {
            let outline = body.outline(seconds);
            let area = canvas.fill(&outline, body.colour, id);
            drawn.push(Drawn { class: body.class, id, area, outline });
        }
        drawn
    }
}

/// A shape that was drawn, before it is known what was drawn over it.
struct Drawn {
    class: usize,
    id: u8,
    area: usize,
    outline: Vec<[f64; 2]>,
}

impl Drawn {
    fn truth(&self, canvas: &Canvas) -> Truth {
        let (width, height) = canvas.size();
        let [left, right] = bounds(self.outline.iter().map(|point| point[0] / coordinate(width)));
        let [top, bottom] = bounds(self.outline.iter().map(|point| point[1] / coordinate(height)));
        let visible = coordinate(canvas.visible(self.id)) / coordinate(self.area.max(1));
        Truth {
            class_id: self.class,
            label: LABELS[self.class],
            x: number::fraction(left),
            y: number::fraction(top),
            w: number::fraction(right - left),
            h: number::fraction(bottom - top),
            visible: number::fraction(visible),
        }
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([1.0, 0.0], |[low, high], value| [value.clamp(0.0, low), value.clamp(high, 1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(seed: u64) -> Scene {
        Scene::new(SceneConfig { seed, ..SceneConfig::default() }).unwrap()
    }

    #[test]
    fn a_frame_follows_from_seed_and_number_alone() {
        let one = scene(7);
        let first = one.render(123);
        one.render(5);
        let again = scene(7).render(123);
        assert!(first.picture == one.render(123).picture);
        assert!(first.picture == again.picture);
        assert_eq!(first.truth, again.truth);
        assert!(first.picture != scene(8).render(123).picture);
        assert!(first.picture != one.render(124).picture);
    }

    #[test]
    fn boxes_lie_above_the_strip_and_every_class_appears() {
        let scene = scene(3);
        for frame in (0..5_000).step_by(97) {
            let truth = scene.render(frame).truth;
            assert_eq!(truth.len(), 6);
            for shape in &truth {
                assert!(shape.x >= 0.0 && shape.x + shape.w <= 1.0, "{shape:?}");
                assert!(shape.y >= 0.0 && shape.y + shape.h <= 0.92, "{shape:?}");
                assert!(shape.w > 0.02 && shape.h > 0.04, "{shape:?}");
                assert!((0.0..=1.0).contains(&shape.visible), "{shape:?}");
                assert_eq!(LABELS[shape.class_id], shape.label);
            }
            let mut classes: Vec<_> = truth.iter().map(|shape| shape.class_id).collect();
            classes.sort_unstable();
            assert_eq!(classes, [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn shapes_move_and_hide_each_other() {
        let scene = Scene::new(SceneConfig { shapes: 20, ..SceneConfig::default() }).unwrap();
        let (first, later) = (scene.render(0).truth, scene.render(250).truth);
        assert!(first.iter().zip(&later).all(|(a, b)| (a.x, a.y) != (b.x, b.y)));
        let hidden = (0..500).step_by(25).flat_map(|frame| scene.render(frame).truth);
        assert!(hidden.filter(|shape| shape.visible < 0.6).count() > 5);
    }

    #[test]
    fn the_frontmost_shape_is_fully_visible() {
        let scene = scene(11);
        for frame in 0..50 {
            assert_eq!(scene.render(frame * 10).truth.last().unwrap().visible, 1.0);
        }
    }

    #[test]
    fn impossible_scenes_are_refused() {
        let of = |width, height, shapes| {
            Scene::new(SceneConfig { width, height, shapes, ..SceneConfig::default() })
        };
        assert_eq!(of(641, 360, 6).unwrap_err(), SceneError::Size { width: 641, height: 360 });
        assert_eq!(of(0, 0, 6).unwrap_err(), SceneError::Size { width: 0, height: 0 });
        assert_eq!(of(640, 360, 65).unwrap_err(), SceneError::Shapes(65));
    }
}
