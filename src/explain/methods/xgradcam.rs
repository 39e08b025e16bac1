//! XGrad-CAM (Fu et al., arXiv 2008.02312).
//!
//! A channel's weight is the mean of its gradient, weighted by the activation:
//! `w_k = Σ_xy (A_k / Σ_xy A_k) · g_k` (equation 8). It follows from two axioms, sensitivity and
//! conservation. Where a channel sums to 0 the fraction is undefined: `Paper` gives the channel no
//! weight, `PytorchGradCam` adds 10⁻⁷ to every sum.

use ndarray::{Array1, ArrayView3, Axis};

use crate::explain::math::channels::channel_sum;
use crate::explain::method::Method;
use crate::explain::parameters::Convention;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::XGradCam,
    name: "xgradcam",
    title: "XGrad-CAM",
    supports_signed: true,
    is_gradient_weighted_sum: true,
    maps: |context, _| {
        context.weighted_maps(|gradient, activation| {
            weights(gradient, activation, context.parameters.convention)
        })
    },
    ..MethodSpec::GRADIENT
};

/// The weights `[C]` for a gradient and an activation `[C, h, w]`.
#[must_use]
pub fn weights(
    gradient: ArrayView3<'_, f32>,
    activation: ArrayView3<'_, f32>,
    convention: Convention,
) -> Array1<f32> {
    let channels = gradient.axis_iter(Axis(0)).zip(activation.axis_iter(Axis(0)));
    channels
        .map(|(gradient, activation)| {
            let sum = channel_sum(activation);
            let pairs = gradient.iter().zip(&activation);
            let product: f64 = pairs.map(|(&g, &a)| f64::from(g) * f64::from(a)).sum();
            let weight = match convention {
                Convention::PytorchGradCam => product / (sum + 1e-7),
                _ if sum == 0.0 => 0.0,
                _ => product / sum,
            };
            weight as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_gradient_is_averaged_with_the_activation_as_weight() {
        let gradient = array![[[1.0, 3.0]], [[5.0, 5.0]]];
        let activation = array![[[1.0, 3.0]], [[0.0, 0.0]]];
        for convention in [Convention::Paper, Convention::PytorchGradCam] {
            let weights = weights(gradient.view(), activation.view(), convention);
            assert!((weights[0] - 2.5).abs() < 1e-6 && weights[1] == 0.0, "{weights}");
        }
    }
}
