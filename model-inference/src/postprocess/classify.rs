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
/// Values that are no probabilities yet (one is not within 0 to 1) go through a softmax.
///
/// # Errors
/// When a value is not finite: a softmax mixes all of them.
pub fn top(output: Tensor<'_>, top_k: usize, threshold: f32) -> Result<Vec<(u32, f32)>, String> {
    if output.values.iter().any(|value| !value.is_finite()) {
        return Err("output has values that are not finite".into());
    }
    let mut ranked: Vec<(u32, f32)> = (0..).zip(probabilities(output.values)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.retain(|&(_, score)| score > threshold);
    ranked.truncate(top_k);
    Ok(ranked)
}

fn probabilities(values: &[f32]) -> Vec<f32> {
    if values.iter().all(|value| (0.0..=1.0).contains(value)) {
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

    fn answer(values: &[f32], top_k: usize, threshold: f32) -> Result<Vec<(u32, f32)>, String> {
        top(Tensor { shape: &[1, values.len()], values }, top_k, threshold)
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        assert_eq!(answer(&[0.25, 0.5, 0.25], 2, 0.0).unwrap(), [(1, 0.5), (0, 0.25)]);
    }

    #[test]
    fn probabilities_of_several_labels_at_once_need_not_sum_to_one() {
        assert_eq!(answer(&[0.95, 0.9], 5, 0.5).unwrap(), [(0, 0.95), (1, 0.9)]);
        assert_eq!(answer(&[0.02, 0.01], 5, 0.5).unwrap(), []);
    }

    #[test]
    fn logits_go_through_a_softmax() {
        let top = answer(&[1000.0, 1000.0, -1000.0], 3, 0.1).unwrap();
        assert_eq!(top, [(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = answer(&[value, 1.0], 5, 0.0).unwrap_err();
            assert_eq!(error, "output has values that are not finite");
        }
    }
}
