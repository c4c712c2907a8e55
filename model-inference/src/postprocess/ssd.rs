//! SSD-like detectors: one output of boxes `[1, n, 4]`, one of scores `[1, n, classes]`, both decoded within the
//! model. Each box speaks for its best class alone, the background left out.

use serde::Deserialize;

use super::{Candidate, Tensor, TensorShape, best};

/// How the four numbers of a box are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Left, top, right, bottom.
    #[default]
    Xyxy,
    /// Top, left, bottom, right (TensorFlow).
    Yxyx,
    /// Centre and size.
    Cxcywh,
}

/// The unit of a box's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxUnit {
    /// Fractions of the input.
    #[default]
    Fraction,
    /// Pixels of the input.
    Pixel,
}

/// Which output is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The index of the boxes' output.
    pub boxes: usize,
    /// The index of the scores' output.
    pub scores: usize,
    /// Columns of the scores, the background's included.
    pub classes: usize,
}

impl Layout {
    /// Finds boxes and scores by their shapes; where both have four columns, by their names.
    pub fn find(outputs: &[TensorShape]) -> Option<Self> {
        let [first, second] = outputs else { return None };
        let (&[1, n, a], &[1, m, b]) = (first.shape.as_slice(), second.shape.as_slice()) else {
            return None;
        };
        let swapped = match (a, b) {
            _ if n != m => return None,
            (4, 4) => !sounds_like_boxes(&first.name) && sounds_like_boxes(&second.name),
            (4, _) => false,
            (_, 4) => true,
            _ => return None,
        };
        let (boxes, scores, classes) = if swapped { (1, 0, a) } else { (0, 1, b) };
        Some(Self { boxes, scores, classes })
    }
}

fn sounds_like_boxes(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["box", "loc", "coord"].iter().any(|part| name.contains(part))
}

/// What a manifest says about boxes and scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The order of a box's numbers.
    pub format: BoxFormat,
    /// Their unit.
    pub unit: BoxUnit,
    /// Whether the first column of the scores is the background's.
    pub background: bool,
}

/// Reads the boxes over `threshold`, in pixels of an input of `size`.
pub fn candidates(
    boxes: Tensor<'_>,
    scores: Tensor<'_>,
    reading: Reading,
    size: (f32, f32),
    threshold: f32,
) -> Vec<Candidate> {
    let columns = scores.shape[2];
    let first = usize::from(reading.background);
    let read = |(values, scores): (&[f32], &[f32])| {
        let (class_id, score) = best(scores[first..].iter().copied())?;
        (score > threshold).then(|| candidate(class_id, score, values, reading, size))
    };
    boxes.values.chunks_exact(4).zip(scores.values.chunks_exact(columns)).filter_map(read).collect()
}

fn candidate(
    class_id: u32,
    score: f32,
    values: &[f32],
    reading: Reading,
    (width, height): (f32, f32),
) -> Candidate {
    let (sx, sy) = if reading.unit == BoxUnit::Fraction { (width, height) } else { (1.0, 1.0) };
    let [a, b, c, d] = [values[0], values[1], values[2], values[3]];
    match reading.format {
        BoxFormat::Xyxy => Candidate { class_id, score, corners: [a * sx, b * sy, c * sx, d * sy] },
        BoxFormat::Yxyx => Candidate { class_id, score, corners: [b * sx, a * sy, d * sx, c * sy] },
        BoxFormat::Cxcywh => Candidate::centred(class_id, score, [a * sx, b * sy, c * sx, d * sy]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes;
    use super::*;

    const READING: Reading =
        Reading { format: BoxFormat::Xyxy, unit: BoxUnit::Fraction, background: true };

    fn read(values: [f32; 4], reading: Reading) -> Vec<Candidate> {
        let boxes = Tensor { shape: &[1, 1, 4], values: &values };
        let scores = Tensor { shape: &[1, 1, 3], values: &[0.8, 0.1, 0.7] };
        candidates(boxes, scores, reading, (200.0, 100.0), 0.5)
    }

    #[test]
    fn boxes_are_read_in_each_format_and_unit() {
        let expected = [Candidate { class_id: 1, score: 0.7, corners: [50.0, 25.0, 100.0, 75.0] }];
        assert_eq!(read([0.25, 0.25, 0.5, 0.75], READING), expected);
        let yxyx = Reading { format: BoxFormat::Yxyx, ..READING };
        assert_eq!(read([0.25, 0.25, 0.75, 0.5], yxyx), expected);
        let pixels = Reading { format: BoxFormat::Cxcywh, unit: BoxUnit::Pixel, ..READING };
        assert_eq!(read([75.0, 50.0, 50.0, 50.0], pixels), expected);
    }

    #[test]
    fn without_a_background_the_first_column_counts() {
        let found = read([0.1, 0.2, 0.3, 0.4], Reading { background: false, ..READING });
        assert_eq!((found[0].class_id, found[0].score), (0, 0.8));
    }

    #[test]
    fn outputs_are_told_apart_by_shape_and_by_name() {
        let by_shape = Layout::find(&shapes(&[&[1, 9, 21], &[1, 9, 4]])).unwrap();
        assert_eq!(by_shape, Layout { boxes: 1, scores: 0, classes: 21 });
        let mut named = shapes(&[&[1, 9, 4], &[1, 9, 4]]);
        named[1].name = "BBoxes".into();
        assert_eq!(Layout::find(&named).unwrap().boxes, 1);
        assert_eq!(Layout::find(&shapes(&[&[1, 9, 4], &[1, 8, 3]])), None);
    }
}
