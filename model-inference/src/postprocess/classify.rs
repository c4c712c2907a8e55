//! Classification: a score for each class of the whole picture.

use super::{Tensor, TensorShape};
use crate::model::scores::Scores;

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

/// How far beyond 0 and 1 rounding may take a probability.
const ROUNDING: f32 = 1e-3;

/// The `top_k` classes over `threshold`, the likeliest first, each with its probability.
///
/// # Errors
/// When a value is not finite, since a softmax mixes all of them, or is no probability where it has to be.
pub fn top(
    output: Tensor<'_>,
    scores: Scores,
    top_k: usize,
    threshold: f32,
) -> Result<Vec<(u32, f32)>, String> {
    if output.values.iter().any(|value| !value.is_finite()) {
        return Err("output has values that are not finite".into());
    }
    let scores = match scores {
        Scores::Probabilities => probabilities(output.values)?,
        Scores::Logits => softmax(output.values),
    };
    let mut ranked: Vec<(u32, f32)> = (0..).zip(scores).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.retain(|&(_, score)| score > threshold);
    ranked.truncate(top_k);
    Ok(ranked)
}

fn probabilities(values: &[f32]) -> Result<Vec<f32>, String> {
    let is_none = |value: &&f32| !(-ROUNDING..=1.0 + ROUNDING).contains(*value);
    match values.iter().find(is_none) {
        Some(value) => Err(format!(
            "output has the value {value}, expected probabilities of 0 to 1: are these `scores = \"logits\"`?"
        )),
        None => Ok(values.iter().map(|value| value.clamp(0.0, 1.0)).collect()),
    }
}

fn softmax(values: &[f32]) -> Vec<f32> {
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = values.iter().map(|value| (value - highest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(scores: Scores, values: &[f32], top_k: usize) -> Result<Vec<(u32, f32)>, String> {
        top(Tensor { shape: &[1, values.len()], values }, scores, top_k, 0.1)
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        let found = answer(Scores::Probabilities, &[0.25, 0.5, 0.25], 2);
        assert_eq!(found.unwrap(), [(1, 0.5), (0, 0.25)]);
    }

    #[test]
    fn probabilities_of_several_labels_at_once_need_not_sum_to_one() {
        let found = |values| answer(Scores::Probabilities, values, 5).unwrap();
        assert_eq!(found(&[0.95, 0.9]), [(0, 0.95), (1, 0.9)]);
        assert_eq!(found(&[0.02, 0.01]), []);
        assert_eq!(found(&[1.000_1, 0.5]), [(0, 1.0), (1, 0.5)], "rounded, as a 16-bit model does");
    }

    #[test]
    fn logits_go_through_a_softmax() {
        let found = answer(Scores::Logits, &[1000.0, 1000.0, -1000.0], 3);
        assert_eq!(found.unwrap(), [(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn logits_that_look_like_probabilities_in_one_frame_are_logits_in_it_too() {
        let found = answer(Scores::Logits, &[0.5, 0.5], 3);
        assert_eq!(found.unwrap(), [(0, 0.5), (1, 0.5)]);
        let found = answer(Scores::Logits, &[0.0, 1.0], 1).unwrap();
        assert!((found[0].1 - 0.731).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_value_that_is_no_probability_fails_the_run() {
        let error = answer(Scores::Probabilities, &[0.5, 3.25], 3).unwrap_err();
        assert!(error.starts_with("output has the value 3.25, expected probabilities"), "{error}");
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for scores in [Scores::Probabilities, Scores::Logits] {
                let error = answer(scores, &[value, 1.0], 5).unwrap_err();
                assert_eq!(error, "output has values that are not finite");
            }
        }
    }
}
