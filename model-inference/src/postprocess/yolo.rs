//! YOLO's raw heads: v5 (with objectness) and v8, v9, v11 (without, transposed).
//!
//! Boxes are centre and size in pixels of the input; scores have been through the sigmoid within the model, as
//! ultralytics exports them. Each anchor speaks for its best class alone.

use super::{Candidate, Tensor, TensorShape, best};

/// The number of classes, when the outputs are `[1, n, 5 + classes]`.
pub fn classes_v5(outputs: &[TensorShape]) -> Option<usize> {
    match outputs {
        [TensorShape { shape, .. }] => match shape.as_slice() {
            &[1, _, channels] if channels > 5 => Some(channels - 5),
            _ => None,
        },
        _ => None,
    }
}

/// The number of classes, when the outputs are `[1, 4 + classes, n]`.
pub fn classes_v8(outputs: &[TensorShape]) -> Option<usize> {
    match outputs {
        [TensorShape { shape, .. }] => match shape.as_slice() {
            &[1, channels, _] if channels > 4 => Some(channels - 4),
            _ => None,
        },
        _ => None,
    }
}

/// Reads `[1, n, 5 + classes]`: the score is objectness times the best class's.
pub fn candidates_v5(output: Tensor<'_>, threshold: f32) -> Vec<Candidate> {
    let channels = output.shape[2];
    let anchor = |values: &[f32]| {
        let objectness = values[4];
        let hopeless = objectness <= threshold;
        let (class_id, class_score) =
            if hopeless { None } else { best(values[5..].iter().copied()) }?;
        let score = objectness * class_score;
        let centred =
            || Candidate::centred(class_id, score, [values[0], values[1], values[2], values[3]]);
        (score > threshold).then(centred)
    };
    output.values.chunks_exact(channels).filter_map(anchor).collect()
}

/// Reads `[1, 4 + classes, n]`.
pub fn candidates_v8(output: Tensor<'_>, threshold: f32) -> Vec<Candidate> {
    let n = output.shape[2];
    let (boxes, scores) = output.values.split_at(4 * n);
    let best = best_per_anchor(scores, n);
    let over = best.into_iter().enumerate().filter(|(_, (_, score))| *score > threshold);
    over.map(|(i, (class_id, score))| {
        Candidate::centred(class_id, score, [0, 1, 2, 3].map(|row| boxes[row * n + i]))
    })
    .collect()
}

/// The best class of each anchor; rows of `scores` are classes, so that memory is read in its order.
fn best_per_anchor(scores: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut best = vec![(0, f32::NEG_INFINITY); n];
    for (class, row) in (0u32..).zip(scores.chunks_exact(n)) {
        for (best, &score) in best.iter_mut().zip(row) {
            if score > best.1 {
                *best = (class, score);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two anchors, two classes: the first a box of class 1, the second under the threshold.
    const V8: [f32; 12] = [50.0, 9.0, 40.0, 9.0, 20.0, 9.0, 10.0, 9.0, 0.1, 0.2, 0.9, 0.1];

    #[test]
    fn v8_reads_columns() {
        let output = Tensor { shape: &[1, 6, 2], values: &V8 };
        let expected = Candidate { class_id: 1, score: 0.9, corners: [40.0, 35.0, 60.0, 45.0] };
        assert_eq!(candidates_v8(output, 0.25), [expected]);
    }

    #[test]
    fn v5_multiplies_objectness_and_class() {
        let values = [50.0, 40.0, 20.0, 10.0, 0.5, 0.25, 1.0, 9.0, 9.0, 9.0, 9.0, 0.5, 0.4, 0.1];
        let output = Tensor { shape: &[1, 2, 7], values: &values };
        let expected = Candidate { class_id: 1, score: 0.5, corners: [40.0, 35.0, 60.0, 45.0] };
        assert_eq!(candidates_v5(output, 0.25), [expected]);
    }

    #[test]
    fn scores_that_are_no_numbers_are_no_candidates() {
        let values = [1.0, 1.0, 1.0, 1.0, f32::NAN, f32::NAN];
        assert_eq!(candidates_v8(Tensor { shape: &[1, 6, 1], values: &values }, 0.0), []);
    }
}
