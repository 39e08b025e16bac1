//! Eigen-Grad-CAM, as implemented in pytorch-grad-cam.
//!
//! Eigen-CAM of `g ∘ A` instead of `A`, which makes it class-discriminative: the map is the first
//! principal component of the contributions to the class. The library is the only source. Its
//! formula, with each channel's mean subtracted first, is used under every convention. The sign is
//! chosen as in [`eigencam`](super::eigencam), by the sum of `g ∘ A` over the channels: the map is
//! high where that sum supports the class.

use ndarray::{Array2, ArrayView3};

use crate::explain::math::pca::{Centering, project};
use crate::explain::method::Method;
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::EigenGradCam,
    name: "eigengradcam",
    title: "Eigen-Grad-CAM",
    maps: |context, _| context.gradient_maps(map),
    ..MethodSpec::GRADIENT
};

/// The projection of `g ∘ A`, `[h, w]`, for gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    project((&gradient * &activation).view(), Centering::PerChannel)
}
