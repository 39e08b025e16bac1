//! The methods, each in a file named after it: pure maths on arrays.
//!
//! [`explain`], [`compare`] and [`predict`] run one request from picture to map:
//! they prepare the input, ask the engine for a forward pass with activation and
//! gradient, and hand the arrays to the method. They block; the edge calls them
//! from threads that may. [`methods`] is the table of all methods.

pub mod ablationcam;
pub mod chance;
pub mod eigencam;
pub mod eigengradcam;
pub mod estimate;
pub mod fusion;
pub mod goal;
pub mod gradcam;
pub mod gradcam_elementwise;
pub mod gradcam_plus_plus;
pub mod groupcam;
pub mod hirescam;
mod job;
pub mod layercam;
pub mod methods;
pub mod names;
pub mod normalize;
pub mod options;
mod possible;
mod predict;
pub mod principal;
pub mod random;
pub mod reciprocam;
pub mod result;
mod run;
pub mod scorecam;
pub mod scorecam_estimate;
pub mod smoothgradcam_plus_plus;
mod stage;
mod watch;
pub mod xgradcam;

pub use job::targets;
pub use predict::predict;
pub use result::{Explanation, Passes, Prediction, Predictions, Timing};
pub use run::{compare, explain, explain_input};
pub use stage::Stage;
pub use watch::Watch;

use ndarray::{Array2, ArrayView1, ArrayView3, Axis, Zip};

/// `Σ_k w_k A_k`, the map that many methods end in: weights `[C]`, activation `[C, h, w]`, map `[h, w]`.
/// What is below 0 is still there; it is cut off when the map is normalised.
#[must_use]
pub fn weighted_sum(weights: ArrayView1<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    let (_, height, width) = activation.dim();
    // Hundreds of channels of mixed sign cancel; the sum is kept in 64 bits.
    let mut sum = Array2::<f64>::zeros((height, width));
    for (&weight, channel) in weights.iter().zip(activation.axis_iter(Axis(0))) {
        if weight != 0.0 {
            Zip::from(&mut sum)
                .and(&channel)
                .for_each(|sum, &value| *sum += f64::from(weight) * f64::from(value));
        }
    }
    sum.mapv(|value| value as f32)
}

/// `Σ_k f(g_k, A_k)` for each place: gradient and activation `[C, h, w]`, map `[h, w]`.
#[must_use]
pub fn sum_of_places(
    gradient: ArrayView3<'_, f32>,
    activation: ArrayView3<'_, f32>,
    f: impl Fn(f64, f64) -> f64,
) -> Array2<f32> {
    let (_, height, width) = activation.dim();
    let mut sum = Array2::<f64>::zeros((height, width));
    for (gradient, activation) in gradient.axis_iter(Axis(0)).zip(activation.axis_iter(Axis(0))) {
        Zip::from(&mut sum)
            .and(&gradient)
            .and(&activation)
            .for_each(|sum, &g, &a| *sum += f(f64::from(g), f64::from(a)));
    }
    sum.mapv(|value| value as f32)
}
