//! Sums over the channels of activations and gradients, `[C, h, w]`.

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis, Zip};

/// The sum of a channel `[h, w]`, accumulated in 64 bits.
#[must_use]
pub fn channel_sum(channel: ArrayView2<'_, f32>) -> f64 {
    let Some(values) = channel.as_slice_memory_order() else {
        return channel.iter().copied().map(f64::from).sum();
    };
    // Eight accumulators: with one, each addition would wait for the one before.
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().chain(rest.iter().copied().map(f64::from)).sum()
}

/// `Σ_k w_k A_k`, the last step of many methods: weights `[C]`, activation `[C, h, w]`, map
/// `[h, w]`. Negative values stay; the ReLU belongs to the normalisation.
#[must_use]
pub fn weighted_sum(weights: ArrayView1<'_, f32>, activation: ArrayView3<'_, f32>) -> Array2<f32> {
    let (_, height, width) = activation.dim();
    // Hundreds of channels of mixed sign cancel, so accumulate in 64 bits.
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

/// `Σ_k f(g_k, A_k)` at each position: gradient and activation `[C, h, w]`, map `[h, w]`.
#[must_use]
pub fn sum_over_channels(
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

/// The smallest and the largest value of a map.
#[must_use]
pub fn min_max(map: ArrayView2<'_, f32>) -> (f32, f32) {
    map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
        (low.min(value), high.max(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_sum_does_not_depend_on_the_memory_order() {
        // 0, 1, .. 34, and a value so large that in 32 bits the others would be rounded off.
        let mut channel = Array2::from_shape_fn((5, 7), |(y, x)| (7 * y + x) as f32);
        channel[[4, 6]] = 1e9;
        let expected = 1e9 + f64::from(33 * 34 / 2);
        assert_eq!(channel_sum(channel.view()), expected);
        assert_eq!(channel_sum(channel.t()), expected);
        // Two columns that are not contiguous: y·7 and y·7 + 3.
        assert_eq!(
            channel_sum(channel.slice(ndarray::s![.., 0..6;3])),
            f64::from(2 * 7 * 10 + 5 * 3)
        );
    }
}
