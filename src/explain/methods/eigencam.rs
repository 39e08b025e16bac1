//! Eigen-CAM (Muhammad and Yeasin, arXiv 2008.00299).
//!
//! Neither class nor gradient is used. The activation, as a matrix `O` of positions by channels
//! `[h·w, C]`, is projected onto its first right singular vector: `M = O·v₁` with `O = U·Σ·Vᵀ`
//! (equation 4). The map shows what dominates the layer.
//!
//! - `Paper`: `O` as it is.
//! - `PytorchGradCam`: each channel's mean is subtracted first.
//!
//! The sign of a singular vector is arbitrary: `v₁` and `−v₁` solve the same equation. The library
//! leaves the choice to its linear algebra routine, so its map is sometimes the negated one, with
//! the other half removed by the ReLU. Here the sign is chosen so that the projection grows with
//! the layer's activation summed over channels; see [`pca`](crate::explain::math::pca).

use ndarray::{Array2, ArrayView3};

use crate::explain::math::pca::{Centering, project};
use crate::explain::method::Method;
use crate::explain::parameters::Convention;
use crate::explain::spec::{MethodSpec, Needs};

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::EigenCam,
    name: "eigencam",
    title: "Eigen-CAM",
    needs: Needs::ActivationOnly,
    class_discriminative: false,
    maps: |context, _| context.shared_map(map(context.activation, context.parameters.convention)),
    ..MethodSpec::GRADIENT
};

/// `O·v₁` as a map `[h, w]`, for an activation `[C, h, w]`.
#[must_use]
pub fn map(activation: ArrayView3<'_, f32>, convention: Convention) -> Array2<f32> {
    let centering = match convention {
        Convention::PytorchGradCam => Centering::PerChannel,
        _ => Centering::None,
    };
    project(activation, centering)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Channels that are multiples of one pattern have that pattern as their only component.
    #[test]
    fn the_map_is_the_pattern_that_all_channels_share() {
        let activation = array![[[1.0, 2.0, 0.0]], [[2.0, 4.0, 0.0]], [[2.0, 4.0, 0.0]]];
        let is_close = |found: &Array2<f32>, expected: Array2<f32>| {
            found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        let plain = map(activation.view(), Convention::Paper);
        assert!(is_close(&plain, array![[3.0, 6.0, 0.0]]), "{plain}");
        let centred = map(activation.view(), Convention::PytorchGradCam);
        assert!(is_close(&centred, array![[0.0, 3.0, -3.0]]), "{centred}");
    }
}
