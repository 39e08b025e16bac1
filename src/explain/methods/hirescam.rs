//! HiResCAM (Draelos and Carin, arXiv 2011.08891).
//!
//! The gradient is not averaged: `M = ReLU(Σ_k g_k ∘ A_k)` (equation 5). For a model that ends in
//! one fully connected layer, the map before the ReLU sums to the score minus the bias, so it
//! highlights only positions that the model used. pytorch-grad-cam computes the same map and
//! applies its usual normalisation.

use ndarray::{Array2, ArrayView3};

use crate::explain::math::channels::sum_over_channels;
use crate::explain::method::Method;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::HiResCam,
    name: "hirescam",
    title: "HiResCAM",
    supports_signed: true,
    is_gradient_weighted_sum: true,
    maps: |context, _| context.gradient_maps(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k g_k ∘ A_k`, `[h, w]`, for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_over_channels(gradient, activation, |g, a| g * a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn each_position_is_weighted_by_its_own_gradient() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[5.0, -1.0]]);
    }
}
