//! Element-wise Grad-CAM, as the library pytorch-grad-cam has it.
//!
//! `M = Σ_k ReLU(g_k ∘ A_k)`: as HiResCAM, but what speaks against the class is cut off
//! for each channel and place, before the sum, so it can't take anything away from what
//! speaks for it. The library is the only source; its formula stands under every
//! convention, which decides the normalisation alone.

use ndarray::{Array2, ArrayView3};

use super::methods::MethodSpec;
use super::options::Method;
use super::sum_of_places;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::GradCamElementWise,
    name: "gradcam-elementwise",
    title: "Element-wise Grad-CAM",
    maps: |stage| stage.of_gradients(map),
    ..MethodSpec::GRADIENT
};

/// `Σ_k ReLU(g_k ∘ A_k)` for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    sum_of_places(gradient, activation, |g, a| (g * a).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn what_speaks_against_takes_nothing_away() {
        let gradient = array![[[2.0, -1.0]], [[1.0, 1.0]]];
        let activation = array![[[3.0, 5.0]], [[-1.0, 4.0]]];
        assert_eq!(map(gradient.view(), activation.view()), array![[6.0, 4.0]]);
    }
}
