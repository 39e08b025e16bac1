//! Eigen-Grad-CAM, as the library pytorch-grad-cam has it.
//!
//! Eigen-CAM of `g ∘ A` in place of `A`, so that the class counts: the first principal
//! component of what each channel and place does for the class. The library is the only
//! source; its formula, with each channel's mean taken off first, stands under
//! every convention. The sign is chosen as in [`eigencam`](super::eigencam), by
//! what `g ∘ A` sums up to in each place: the map is high where the sum speaks for the class.

use ndarray::{Array2, ArrayView3};

use super::methods::MethodSpec;
use super::options::Method;
use super::principal::{Centre, project};

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::EigenGradCam,
    name: "eigengradcam",
    title: "Eigen-Grad-CAM",
    maps: |stage| stage.of_gradients(map),
    ..MethodSpec::GRADIENT
};

/// The projection of `g ∘ A`, gradient and activation `[C, h, w]`.
#[must_use]
pub fn map(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    project((&gradient * &activation).view(), Centre::Channels)
}
