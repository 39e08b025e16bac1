//! Grad-CAM++ (Chattopadhay et al., arXiv 1710.11063).
//!
//! Each position of a channel has its own coefficient: `w_k = Σ_xy α · ReLU(∂Y)` with
//! `α = g² / (2g² + S_k·g³)` and `S_k = Σ_xy A_k` (equations 5 and 19, for `Y = exp(y)`). The
//! factor `exp(y)` is common to all weights and cancels in α. It is left out, because it does not
//! change the shape of the map and could overflow.
//!
//! The conventions differ where the denominator is 0, and in whether α is normalised; see
//! [`weights`].

use ndarray::{Array1, ArrayView2, ArrayView3, Axis};

use crate::explain::math::channels::channel_sum;
use crate::explain::method::Method;
use crate::explain::parameters::Convention;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::GradCamPlusPlus,
    name: "gradcam++",
    aliases: &["gradcampp", "gradcamplusplus"],
    title: "Grad-CAM++",
    conventions: &[Convention::Paper, Convention::Article, Convention::PytorchGradCam],
    maps: |context, _| {
        context.weighted_maps(|gradient, activation| {
            weights(gradient, activation, context.parameters.convention)
        })
    },
    ..MethodSpec::GRADIENT
};

/// The weights `[C]` for a gradient and an activation `[C, h, w]`.
///
/// - `Paper`: α = 0 where g = 0; a denominator of exactly 0 otherwise counts as 1.
/// - `Article`: the same, then α is divided by its sum over the channel, or by 1 if that sum is 0.
///   (The article divides by 0 there, which makes its whole map NaN.)
/// - `PytorchGradCam`: 10⁻⁶ is added to the denominator.
#[must_use]
pub fn weights(
    gradient: ArrayView3<'_, f32>,
    activation: ArrayView3<'_, f32>,
    convention: Convention,
) -> Array1<f32> {
    let channels = gradient.axis_iter(Axis(0)).zip(activation.axis_iter(Axis(0)));
    channels.map(|(gradient, activation)| weight(gradient, activation, convention)).collect()
}

fn weight(
    gradient: ArrayView2<'_, f32>,
    activation: ArrayView2<'_, f32>,
    convention: Convention,
) -> f32 {
    let sum = channel_sum(activation);
    let alpha = |g: f64| match convention {
        Convention::PytorchGradCam if g == 0.0 => 0.0,
        Convention::PytorchGradCam => g * g / (2.0 * g * g + sum * g * g * g + 1e-6),
        _ => alpha(g * g, g * g * g, sum),
    };
    let alphas = gradient.iter().map(|&g| alpha(f64::from(g)));
    let norm = match convention {
        Convention::Article => match alphas.clone().sum::<f64>() {
            0.0 => 1.0,
            sum => sum,
        },
        _ => 1.0,
    };
    let weight: f64 =
        alphas.zip(&gradient).map(|(alpha, &g)| alpha / norm * f64::from(g).max(0.0)).sum();
    weight as f32
}

/// `α = D₂ / (2·D₂ + S·D₃)` for the derivatives at one position: 0 if `D₂` is 0, `D₂` if the
/// denominator is exactly 0.
pub(super) fn alpha(second: f64, third: f64, sum: f64) -> f64 {
    let denominator = 2.0 * second + sum * third;
    match () {
        () if second == 0.0 => 0.0,
        () if denominator == 0.0 => second,
        () => second / denominator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// `w_k ∝ Σ_{g>0} g / (2 + g·S_k)`: the closed form of the paper's weights.
    #[test]
    fn the_paper_s_weights_have_a_closed_form() {
        let gradient = array![[[0.5, -0.25, 0.0], [0.125, 0.0, 1.0]]];
        let activation = array![[[1.0, 2.0, 0.0], [0.5, 0.0, 0.25]]];
        let total: f32 = activation.sum();
        let expected: f32 =
            gradient.iter().filter(|&&g| g > 0.0).map(|g| g / (2.0 + g * total)).sum();
        let found = weights(gradient.view(), activation.view(), Convention::Paper)[0];
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn the_article_normalises_alpha() {
        let gradient = array![[[1.0, 1.0]]];
        let activation = array![[[0.0, 0.0]]];
        assert_eq!(weights(gradient.view(), activation.view(), Convention::Paper), array![1.0]);
        assert_eq!(weights(gradient.view(), activation.view(), Convention::Article), array![1.0]);
        let wider = array![[[1.0, 1.0, 1.0, 1.0]]];
        let activation = array![[[0.0, 0.0, 0.0, 0.0]]];
        assert_eq!(weights(wider.view(), activation.view(), Convention::Paper), array![2.0]);
        assert_eq!(weights(wider.view(), activation.view(), Convention::Article), array![1.0]);
    }

    #[test]
    fn a_zero_gradient_gives_a_zero_weight_in_every_convention() {
        let zeros = array![[[0.0, 0.0]]];
        let activation = array![[[1.0, 2.0]]];
        for convention in [Convention::Paper, Convention::Article, Convention::PytorchGradCam] {
            assert_eq!(weights(zeros.view(), activation.view(), convention), array![0.0]);
        }
    }
}
