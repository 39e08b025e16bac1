//! Grad-CAM (Selvaraju et al., arXiv 1610.02391).
//!
//! A channel's weight is the spatial mean of the score's gradient, `w_k = mean_xy g_k`
//! (equation 1). The map is `ReLU(Σ_k w_k A_k)` (equation 2). The conventions agree on both; they
//! differ in the score that is differentiated and in the normalisation.

use ndarray::{Array1, ArrayView3, Axis};

use crate::explain::math::channels::channel_sum;
use crate::explain::method::Method;
use crate::explain::parameters::Convention;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::GradCam,
    name: "gradcam",
    title: "Grad-CAM",
    supports_signed: true,
    is_gradient_weighted_sum: true,
    conventions: &[Convention::Paper, Convention::Article, Convention::PytorchGradCam],
    maps: |context, _| context.weighted_maps(|gradient, _| weights(gradient)),
    ..MethodSpec::GRADIENT
};

/// `w_k = mean_xy g_k`, `[C]`, for a gradient `[C, h, w]`.
#[must_use]
pub fn weights(gradient: ArrayView3<'_, f32>) -> Array1<f32> {
    let positions = (gradient.len_of(Axis(1)) * gradient.len_of(Axis(2))) as f64;
    let mean = |channel| (channel_sum(channel) / positions) as f32;
    gradient.axis_iter(Axis(0)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::math::channels::weighted_sum;
    use ndarray::array;

    #[test]
    fn a_channel_s_weight_is_its_mean_gradient() {
        let gradient = array![[[1.0, 3.0]], [[-1.0, -1.0]]];
        let activation = array![[[1.0, 0.0]], [[0.0, 5.0]]];
        let weights = weights(gradient.view());
        assert_eq!(weights, array![2.0, -1.0]);
        assert_eq!(weighted_sum(weights.view(), activation.view()), array![[2.0, -5.0]]);
    }
}
