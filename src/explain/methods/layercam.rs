//! LayerCAM (Jiang et al., IEEE Transactions on Image Processing 30, 2021).
//!
//! Each position of a channel has its own weight, `w_k = ReLU(g_k)`, and the map is
//! `M = ReLU(Σ_k ReLU(g_k) ∘ A_k)` (equations 5 to 7). It keeps the layer's full resolution, so
//! shallow layers can be explained. pytorch-grad-cam computes the same map and applies its usual
//! normalisation.
//!
//! Before fusing shallow layers with deep ones, the paper scales their maps to
//! `tanh(2·M / max(M))`. Neither pytorch-grad-cam nor camlens does: the map of a layer is `M`.

use ndarray::{Array2, ArrayView3};

use crate::explain::math::channels::sum_over_channels;
use crate::explain::method::Method;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::LayerCam,
    name: "layercam",
    title: "LayerCAM",
    maps: |context, _| context.gradient_maps(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k ReLU(g_k) ∘ A_k`, `[h, w]`, for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_over_channels(gradient, activation, |g, a| g.max(0.0) * a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn only_positive_gradients_count() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[5.0, 4.0]]);
    }
}
