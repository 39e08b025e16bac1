//! Element-wise Grad-CAM, as implemented in pytorch-grad-cam.
//!
//! `M = Σ_k ReLU(g_k ∘ A_k)`: like HiResCAM, but the ReLU is applied per channel and position,
//! before the sum, so negative contributions cancel no positive ones. The library is the only
//! source. Its formula is used under every convention; the convention only selects the
//! normalisation.

use ndarray::{Array2, ArrayView3};

use crate::explain::math::channels::sum_over_channels;
use crate::explain::method::Method;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::GradCamElementWise,
    name: "gradcam-elementwise",
    title: "Element-wise Grad-CAM",
    maps: |context, _| context.gradient_maps(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k ReLU(g_k ∘ A_k)`, `[h, w]`, for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_over_channels(gradient, activation, |g, a| (g * a).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn negative_contributions_are_dropped_before_the_sum() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[6.0, 4.0]]);
    }
}
