//! Eigen-CAM (Muhammad and Yeasin, arXiv 2008.00299).
//!
//! No class and no gradient: the activation, written as a matrix `O` of places by
//! channels `[h·w, C]`, is projected onto its first right singular vector, `M = O·v₁` with
//! `O = U·Σ·Vᵀ` (equation 4). It shows what the layer sees most of all.
//!
//! - `Paper`: `O` as it is.
//! - `PytorchGradCam`: each channel's mean is taken from it first.
//!
//! A singular vector's sign is nobody's: `v₁` and `−v₁` solve the same equation, and the
//! library leaves the choice to its linear algebra, so that its map is now and then the
//! other one, cut at 0 on the other side. Here the projection has the sign under which it
//! grows with the layer's summed activation; see [`principal`](super::principal).

use ndarray::{Array2, ArrayView3};

use super::methods::{MethodSpec, Needs};
use super::options::{Convention, Method};
use super::principal::{Centre, project};

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::EigenCam,
    name: "eigencam",
    title: "Eigen-CAM",
    needs: Needs::Nothing,
    class_discriminative: false,
    maps: |stage| stage.of_activation(map(stage.activation, stage.options.convention)),
    ..MethodSpec::GRADIENT
};

/// `O·v₁` for an activation `[C, h, w]`.
#[must_use]
pub fn map(activation: ArrayView3<'_, f32>, convention: Convention) -> Array2<f32> {
    let centre = match convention {
        Convention::PytorchGradCam => Centre::Channels,
        _ => Centre::Nothing,
    };
    project(activation, centre)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Channels that are multiples of one pattern have it as their only component.
    #[test]
    fn what_all_channels_share_is_the_map() {
        let activation = array![[[1.0, 2.0, 0.0]], [[2.0, 4.0, 0.0]], [[2.0, 4.0, 0.0]]];
        let found = map(activation.view(), Convention::Paper);
        let expected = array![[3.0, 6.0, 0.0]];
        assert!(
            found.iter().zip(&expected).all(|(a, b): (&f32, &f32)| (a - b).abs() < 1e-5),
            "{found}"
        );
        let centred = map(activation.view(), Convention::PytorchGradCam);
        let expected = array![[0.0, 3.0, -3.0]];
        assert!(
            centred.iter().zip(&expected).all(|(a, b): (&f32, &f32)| (a - b).abs() < 1e-5),
            "{centred}"
        );
    }
}
