//! Classification: a score for each class of the whole picture.

use super::{Tensor, TensorShape};

/// The number of classes, when the outputs are `[1, classes]` (with any further axes of extent 1).
pub fn classes(outputs: &[TensorShape]) -> Option<usize> {
    let [output] = outputs else { return None };
    match output.shape.as_slice() {
        [1, classes, rest @ ..] if *classes > 1 && rest.iter().all(|&axis| axis == 1) => {
            Some(*classes)
        }
        _ => None,
    }
}

/// The `top_k` classes over `threshold`, the likeliest first, each with its probability.
///
/// Values that are no probabilities yet (their sum is not 1) go through a softmax. Values that are not finite
/// make the whole answer void, as a softmax mixes all of them.
pub fn top(output: Tensor<'_>, top_k: usize, threshold: f32) -> Vec<(u32, f32)> {
    if output.values.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut ranked: Vec<(u32, f32)> = (0..).zip(probabilities(output.values)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.retain(|&(_, score)| score > threshold);
    ranked.truncate(top_k);
    ranked
}

fn probabilities(values: &[f32]) -> Vec<f32> {
    let sum: f32 = values.iter().sum();
    let within = values.iter().all(|value| (0.0..=1.0).contains(value));
    if within && (sum - 1.0).abs() < 1e-2 {
        return values.to_vec();
    }
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = values.iter().map(|value| (value - highest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f32], top_k: usize, threshold: f32) -> Vec<(u32, f32)> {
        top(Tensor { shape: &[1, values.len()], values }, top_k, threshold)
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        assert_eq!(answer(&[0.25, 0.5, 0.25], 2, 0.0), [(1, 0.5), (0, 0.25)]);
    }

    #[test]
    fn logits_go_through_a_softmax() {
        let top = answer(&[1000.0, 1000.0, -1000.0], 3, 0.1);
        assert_eq!(top, [(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn values_that_are_not_finite_give_no_answer() {
        assert_eq!(answer(&[f32::NAN, 1.0], 5, 0.0), []);
        assert_eq!(answer(&[f32::INFINITY, 1.0], 5, 0.0), []);
    }
}
