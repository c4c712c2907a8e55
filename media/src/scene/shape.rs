//! The six classes and their outlines.

use std::f64::consts::{PI, TAU};

/// Names of the classes; a class's id is its index.
pub const LABELS: [&str; 6] = ["circle", "square", "triangle", "star", "cross", "arrow"];

/// The outline of a class: a simple polygon whose farthest point is at distance 1 from the origin.
///
/// # Shape
/// Points in order, the last joined to the first; `y` points down.
pub(super) fn outline(class: usize) -> Vec<[f64; 2]> {
    match LABELS[class] {
        "circle" => regular(48),
        "square" => regular(4),
        "triangle" => regular(3),
        "star" => star(),
        "cross" => cross(),
        _ => arrow(),
    }
}

fn polar(radius: f64, angle: f64) -> [f64; 2] {
    [radius * angle.sin(), -radius * angle.cos()]
}

fn regular(corners: u32) -> Vec<[f64; 2]> {
    (0..corners).map(|k| polar(1.0, TAU * f64::from(k) / f64::from(corners))).collect()
}

fn star() -> Vec<[f64; 2]> {
    let radius = |k: u32| if k.is_multiple_of(2) { 1.0 } else { 0.42 };
    (0..10).map(|k| polar(radius(k), PI * f64::from(k) / 5.0)).collect()
}

fn cross() -> Vec<[f64; 2]> {
    let (far, near) = (0.943, 0.333);
    let arm = [[-near, -near], [-near, -far], [near, -far]];
    (0..4)
        .flat_map(|quarter| {
            let (sin, cos) = (f64::from(quarter) * PI / 2.0).sin_cos();
            arm.map(|[x, y]| [x * cos - y * sin, x * sin + y * cos])
        })
        .collect()
}

fn arrow() -> Vec<[f64; 2]> {
    vec![
        [0.0, -1.0],
        [0.75, -0.1],
        [0.26, -0.1],
        [0.26, 0.96],
        [-0.26, 0.96],
        [-0.26, -0.1],
        [-0.75, -0.1],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outline_fills_the_unit_circle() {
        for (class, label) in LABELS.iter().enumerate() {
            let farthest = outline(class).iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f64::max);
            assert!((0.99..=1.001).contains(&farthest), "{label}: {farthest}");
        }
    }
}
