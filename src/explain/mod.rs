//! The methods, each in a file named after it: pure maths on arrays.
//!
//! [`methods`] is the table of all methods.

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
pub mod layercam;
pub mod methods;
pub mod normalize;
pub mod options;
pub mod principal;
pub mod random;
pub mod reciprocam;
pub mod result;
pub mod scorecam;
pub mod scorecam_estimate;
pub mod smoothgradcam_plus_plus;
pub mod stage;
mod watch;
pub mod xgradcam;

pub use result::{Explanation, Passes, Prediction, Predictions, Timing};
pub use stage::MethodContext;
pub use watch::ProgressObserver;

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis, Zip};

/// The sum of a channel, kept in 64 bits.
#[must_use]
pub fn total(channel: ArrayView2<'_, f32>) -> f64 {
    let Some(numbers) = channel.as_slice_memory_order() else {
        return channel.iter().copied().map(f64::from).sum();
    };
    // Eight sums: in one, each addition would wait for the one before.
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, &number)| *sum += f64::from(number));
    }
    sums.into_iter().chain(rest.iter().copied().map(f64::from)).sum()
}

/// `Σ_k w_k A_k`, the map that many methods end in: weights `[C]`, activation `[C, h, w]`, map `[h,
/// w]`. What is below 0 is still there; it is cut off when the map is normalised.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_s_total_is_its_sum_in_whatever_order_its_numbers_lie() {
        // 0, 1, .. 34, and a large number that 32 bits would round the others off against.
        let mut channel = Array2::from_shape_fn((5, 7), |(y, x)| (7 * y + x) as f32);
        channel[[4, 6]] = 1e9;
        let expected = 1e9 + f64::from(33 * 34 / 2);
        assert_eq!(total(channel.view()), expected);
        assert_eq!(total(channel.t()), expected);
        // Two columns, whose numbers do not lie side by side: y·7 and y·7 + 3.
        assert_eq!(total(channel.slice(ndarray::s![.., 0..6;3])), f64::from(2 * 7 * 10 + 5 * 3));
    }
}
