//! End-to-end detectors: `[1, n, 6]` of corners in pixels of the input, score, class; nothing left to suppress.

use super::{Candidate, Tensor, TensorShape};

/// More boxes than this are anchors of a raw head, not answers of an end-to-end one.
const MOST_BOXES: usize = 1_000;

/// Tells whether the outputs are `[1, n, 6]`.
pub fn fits(outputs: &[TensorShape]) -> bool {
    match outputs {
        [TensorShape { shape, .. }] => matches!(shape.as_slice(), &[1, n, 6] if n <= MOST_BOXES),
        _ => false,
    }
}

/// Reads the boxes over `threshold` whose class is one of `classes`.
pub fn candidates(output: Tensor<'_>, classes: usize, threshold: f32) -> Vec<Candidate> {
    let read = |values: &[f32]| {
        let class_id = class_of(values[5], classes)?;
        let corners = [values[0], values[1], values[2], values[3]];
        (values[4] > threshold).then_some(Candidate { class_id, score: values[4], corners })
    };
    output.values.chunks_exact(6).filter_map(read).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
fn class_of(value: f32, classes: usize) -> Option<u32> {
    let rounded = value.round();
    (rounded >= 0.0 && rounded < classes as f32).then_some(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_read_as_corners() {
        let values = [
            1.0, 2.0, 3.0, 4.0, 0.9, 7.0, 1.0, 2.0, 3.0, 4.0, 0.1, 7.0, 1.0, 2.0, 3.0, 4.0, 0.9,
            8.0, 1.0, 2.0, 3.0, 4.0, 0.9, -1.0,
        ];
        let found = candidates(Tensor { shape: &[1, 4, 6], values: &values }, 8, 0.25);
        let expected = Candidate { class_id: 7, score: 0.9, corners: [1.0, 2.0, 3.0, 4.0] };
        assert_eq!(found, [expected]);
    }
}
