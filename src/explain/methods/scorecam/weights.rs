//! Score-CAM's channel weights from the scores of its passes.

use ndarray::{Array1, ArrayView1, ArrayView2};

use super::plan::Plan;
use crate::explain::parameters::Convention;
use crate::explain::target::ClassTarget;

/// The weights `[C]` from the scores of the passes, `[K, classes]`. By default, the scores are
/// probabilities in the first two conventions and logits in the third.
///
/// - `Paper`: the target's score for the masked image.
/// - `Article`: a softmax over the classes is applied to the probabilities once more.
/// - `PytorchGradCam`: a softmax over the channels' scores of the target.
///
/// The score of a target with a contrast class is the difference of the two scores.
#[must_use]
pub fn channel_weights(
    plan: &Plan,
    scores: ArrayView2<'_, f32>,
    target: &ClassTarget,
    convention: Convention,
) -> Array1<f32> {
    let scores = pass_scores(scores, target, convention);
    let mut weights: Array1<f32> = plan
        .pass_of_channel
        .iter()
        .map(|pass| pass.map_or(f32::NEG_INFINITY, |pass| scores[pass]))
        .collect();
    if convention == Convention::PytorchGradCam {
        // The weight of a channel without a pass is e^−∞ = 0.
        weights = softmax(weights.view());
    }
    weights.mapv_into(|weight| if weight == f32::NEG_INFINITY { 0.0 } else { weight })
}

/// The target's score `[K]` of each pass, a row of `[K, classes]`.
pub(super) fn pass_scores(
    scores: ArrayView2<'_, f32>,
    target: &ClassTarget,
    convention: Convention,
) -> Array1<f32> {
    match convention {
        Convention::Article => {
            scores.outer_iter().map(|row| target.score(softmax(row).view())).collect()
        }
        _ => target.scores(scores),
    }
}

fn softmax(values: ArrayView1<'_, f32>) -> Array1<f32> {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = values.mapv(|value| (f64::from(value) - f64::from(largest)).exp());
    let total = exponentials.sum();
    exponentials.mapv(|value| (value / total) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    /// Channels: large range, zeros, constant but not zero, small range, zeros.
    fn activation() -> Array3<f32> {
        array![
            [[0.0, 4.0], [2.0, 8.0]],
            [[0.0, 0.0], [0.0, 0.0]],
            [[3.0, 3.0], [3.0, 3.0]],
            [[1.0, 2.0], [1.0, 2.0]],
            [[0.0, 0.0], [0.0, 0.0]]
        ]
    }

    #[test]
    fn pytorch_grad_cam_applies_a_softmax_over_the_channels() {
        let plan = Plan::new(activation().view(), Convention::PytorchGradCam, None);
        let scores = array![[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 0.0]];
        let weights =
            channel_weights(&plan, scores.view(), &ClassTarget::new(0), Convention::PytorchGradCam);
        assert!((weights.sum() - 1.0).abs() < 1e-6);
        assert_eq!(weights[1], weights[4]);
        assert!((weights[2] / weights[0] - 1.0_f32.exp()).abs() < 1e-5);
    }

    #[test]
    fn the_article_applies_the_softmax_twice() {
        let plan = Plan::new(activation().view(), Convention::Article, None);
        let probabilities = array![[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]];
        let weights =
            channel_weights(&plan, probabilities.view(), &ClassTarget::new(0), Convention::Article);
        let e = 1.0_f32.exp();
        assert!((weights[0] - e / (e + 1.0)).abs() < 1e-6);
        assert!((weights[2] - 0.5).abs() < 1e-6);
        assert_eq!(weights[1], 0.0);
    }
}
