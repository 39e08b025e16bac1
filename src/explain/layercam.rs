//! LayerCAM (Jiang et al., IEEE Transactions on Image Processing 30, 2021).
//!
//! Each place of a channel has its own weight: `M = ReLU(Σ_k ReLU(g_k) ∘ A_k)`
//! (equations 5 to 7), so the map keeps the layer's full detail and shallow layers can be
//! explained. pytorch-grad-cam computes the same and normalises as it always does.
//! Before it joins shallow layers to deep ones the paper stretches their maps to
//! `tanh(2·M / max(M))`; neither the library nor camlens does that, a map of one layer
//! being the map itself.

use ndarray::{Array2, ArrayView3};

use super::methods::MethodSpec;
use super::options::Method;
use super::sum_of_places;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::LayerCam,
    name: "layercam",
    title: "LayerCAM",
    maps: |stage| stage.of_gradients(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k ReLU(g_k) ∘ A_k` for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_of_places(gradient, activation, |g, a| g.max(0.0) * a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn only_what_a_place_does_for_the_class_counts() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[5.0, 4.0]]);
    }
}
