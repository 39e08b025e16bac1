//! The methods, each in a file named after it: pure maths on arrays.
//!
//! [`explain`], [`compare`] and [`predict`] run one request from picture to map:
//! they prepare the input, ask the engine for a forward pass with activation and
//! gradient, and hand the arrays to the method. They block; the edge calls them
//! from threads that may.

pub mod gradcam;
pub mod gradcam_plus_plus;
pub mod normalize;
pub mod options;
pub mod result;
mod run;
pub mod scorecam;
mod watch;

pub use result::{Explanation, Passes, Prediction, Predictions, Timing};
pub use run::{compare, explain, explain_input, predict};
pub use watch::Watch;

use ndarray::{Array2, ArrayView1, ArrayView3, Axis, Zip};

/// `ReLU(Σ_k w_k A_k)`, the map that all three methods end in: weights `[C]`, activation `[C, h, w]`,
/// map `[h, w]`.
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
    sum.mapv(|value| value.max(0.0) as f32)
}
