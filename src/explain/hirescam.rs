//! HiResCAM (Draelos and Carin, arXiv 2011.08891).
//!
//! The gradient is not averaged: `M = ReLU(Σ_k g_k ∘ A_k)` (equation 5). For a model
//! that ends in one fully connected layer the map sums up to the score, less the bias,
//! before the ReLU, so it shows only places that the model really used. pytorch-grad-cam
//! computes the same and normalises as it always does.

use ndarray::{Array2, ArrayView3};

use super::methods::MethodSpec;
use super::options::Method;
use super::sum_of_places;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::HiResCam,
    name: "hirescam",
    title: "HiResCAM",
    supports_signed: true,
    maps: |stage| stage.of_gradients(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k g_k ∘ A_k` for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_of_places(gradient, activation, |g, a| g * a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn every_place_counts_with_its_own_gradient() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[5.0, -1.0]]);
    }
}
