//! Maps that are nothing but rounding.
//!
//! Where terms of both signs cancel exactly, as the gradient before a normalisation or before an
//! attention's softmax does in its mean over positions, 32-bit arithmetic leaves a map of noise.
//! Normalised, it would look like any other.

use ndarray::{Array2, ArrayView3, Axis, Zip};

use super::method::Method;

/// Terms of 32 bits that cancel leave about 10⁻⁷ of their size.
const ROUNDING: f32 = 1e-6;

/// True if a map `[h, w]` is so much smaller than the terms that it is the sum of, from activation
/// and gradient `[C, h, w]`, that only their rounding is left. False for methods whose terms have
/// one sign.
#[must_use]
pub fn is_rounding(
    method: Method,
    map: &Array2<f32>,
    activation: ArrayView3<'_, f32>,
    gradient: ArrayView3<'_, f32>,
) -> bool {
    let Some(terms) = terms(method, activation, gradient) else { return false };
    let largest = |map: &Array2<f32>| map.fold(0.0_f32, |max, value| max.max(value.abs()));
    let found = largest(map);
    found > 0.0 && found <= ROUNDING * largest(&terms)
}

/// The map of the terms' absolute values: `Σ_k mean|g_k|·|A_k|` for Grad-CAM, with the mean weighted
/// by the activation for XGrad-CAM, and `Σ_k |g_k ∘ A_k|` for HiResCAM.
fn terms(
    method: Method,
    activation: ArrayView3<'_, f32>,
    gradient: ArrayView3<'_, f32>,
) -> Option<Array2<f32>> {
    let mut terms = Array2::zeros((activation.len_of(Axis(1)), activation.len_of(Axis(2))));
    for (activation, gradient) in activation.outer_iter().zip(gradient.outer_iter()) {
        let sum = |zip: &dyn Fn(f32, f32) -> f32| {
            let pairs = activation.iter().zip(&gradient);
            pairs.map(|(&a, &g)| f64::from(zip(a, g))).sum::<f64>()
        };
        let weight = match method {
            Method::GradCam => sum(&|_, g| g.abs()) / activation.len() as f64,
            Method::XGradCam => match sum(&|a, _| a) {
                0.0 => 0.0,
                total => sum(&|a, g| (a * g).abs()) / total.abs(),
            },
            Method::HiResCam => {
                Zip::from(&mut terms)
                    .and(&activation)
                    .and(&gradient)
                    .for_each(|term, &a, &g| *term += (a * g).abs());
                continue;
            }
            _ => return None,
        };
        Zip::from(&mut terms)
            .and(&activation)
            .for_each(|term, &a| *term += weight as f32 * a.abs());
    }
    Some(terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn what_cancels_is_rounding_and_what_is_small_is_not() {
        let activation: Array3<f32> = array![[[1.0, 2.0, 3.0]]];
        let cancelling: Array3<f32> = array![[[0.5, -0.25, -0.250_000_03]]];
        let weight = cancelling.sum() / 3.0;
        let map = activation.index_axis(Axis(0), 0).mapv(|a| a * weight);
        assert!(weight != 0.0);
        let is_rounding = |map: &Array2<f32>, gradient: &Array3<f32>| {
            is_rounding(Method::GradCam, map, activation.view(), gradient.view())
        };
        assert!(is_rounding(&map, &cancelling));
        let small = cancelling.mapv(|g| g.abs() * 1e-20);
        assert!(!is_rounding(&(&map * 1e-9), &small));
        assert!(!is_rounding(&Array2::zeros((1, 3)), &cancelling));
    }

    #[test]
    fn each_position_of_hirescam_is_a_sum_over_channels() {
        let activation: Array3<f32> = array![[[1.0]], [[1.0]]];
        let gradient: Array3<f32> = array![[[0.5]], [[-0.499_999_97]]];
        let map = array![[3e-8]];
        let of = |method| is_rounding(method, &map, activation.view(), gradient.view());
        assert!(of(Method::HiResCam));
        assert!(!of(Method::LayerCam));
    }
}
