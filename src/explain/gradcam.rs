//! Grad-CAM (Selvaraju et al., arXiv 1610.02391).
//!
//! The weight of a channel is the mean of the score's gradient over it
//! (equation 1), the map is the weighted sum of the channels, of which only what
//! speaks for the class is kept (equation 2). The conventions agree on all of this;
//! they differ in the score that was differentiated and in the normalisation.

use ndarray::{Array1, ArrayView3, Axis};

use super::methods::MethodSpec;
use super::options::{Convention, Method};
use super::total;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::GradCam,
    name: "gradcam",
    title: "Grad-CAM",
    supports_signed: true,
    conventions: &[Convention::Paper, Convention::Article, Convention::PytorchGradCam],
    maps: |stage| stage.of_weights(|gradient, _| weights(gradient)),
    ..MethodSpec::GRADIENT
};

/// `w_k = mean_xy g_k` for a gradient `[C, h, w]`.
#[must_use]
pub fn weights(gradient: ArrayView3<'_, f32>) -> Array1<f32> {
    let places = (gradient.len_of(Axis(1)) * gradient.len_of(Axis(2))) as f64;
    gradient.axis_iter(Axis(0)).map(|channel| (total(channel) / places) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::weighted_sum;
    use ndarray::array;

    #[test]
    fn channels_weigh_by_their_mean_gradient() {
        let gradient = array![[[1.0, 3.0]], [[-1.0, -1.0]]];
        let activation = array![[[1.0, 0.0]], [[0.0, 5.0]]];
        let weights = weights(gradient.view());
        assert_eq!(weights, array![2.0, -1.0]);
        assert_eq!(weighted_sum(weights.view(), activation.view()), array![[2.0, -5.0]]);
    }
}
