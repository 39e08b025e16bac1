//! Depthwise convolutions, there and back: every channel has a filter of its own, so there is no product of matrices.
//!
//! A channel is copied into a frame of zeros and split by the stride, so that what one weight multiplies
//! lies side by side; then the whole channel is one long row, and the convolution a sum of that row at a few
//! offsets, each times a weight. What the row holds between the lines is computed and thrown away.
//!
//! Back ([`Direction::Back`]) is the transposed convolution: each of the places that one step of the stride covers is such
//! a sum for itself.

mod loops;
mod plan;
mod scratch;

use loops::{Correlate, correlate_of};
use plan::Plan;
use scratch::Scratch;

use crate::pool::{Pool, Shared};
use crate::simd::Processor;

/// How a filter goes over a map: for each axis, rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size of the filter.
    pub kernel: [usize; 2],
    /// Step from one place to the next.
    pub strides: [usize; 2],
    /// Distance of the filter's places.
    pub dilations: [usize; 2],
    /// Zeros before the first row and column. How many come after follows from the sizes of both maps.
    pub pads: [usize; 2],
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The convolution: from maps to what the window sees at each of its places.
    There,
    /// Its transpose, which carries gradients back.
    Back,
}

/// Maps that are read: `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// The numbers, row-major.
    pub data: &'a [f32],
    /// How many channels there are, C.
    pub channels: usize,
    /// H and W.
    pub size: [usize; 2],
}

/// Convolves every channel of `input` with its filter out of `weights` `[C, kh, kw]`; `output` is `[N, C, h, w]` with
/// `size` as h and w.
///
/// # Errors
/// When a slice is not as long as its shape says, or a stride or dilation is 0.
pub fn depthwise(
    input: Maps<'_>,
    weights: &[f32],
    (window, direction): (Window, Direction),
    (size, output): ([usize; 2], &mut [f32]),
    threads: &dyn Pool,
) -> Result<(), String> {
    let job = Job { input, weights, plan: Plan::new(window, direction, input.size, size)?, size };
    job.run(correlate_of(Processor::detect()), output, threads)
}

struct Job<'a> {
    input: Maps<'a>,
    weights: &'a [f32],
    plan: Plan,
    /// Of the result.
    size: [usize; 2],
}

impl Job<'_> {
    fn run(&self, correlate: Correlate, output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        let Self { input, weights, plan, size } = self;
        let (plane, made) = (input.size[0] * input.size[1], size[0] * size[1]);
        let channels = input.channels;
        if channels == 0 || plane == 0 || made == 0 {
            return if output.is_empty() { Ok(()) } else { Err("maps without numbers".into()) };
        }
        let planes = input.data.len() / plane;
        if input.data.len() != planes * plane
            || !planes.is_multiple_of(channels)
            || output.len() != planes * made
            || weights.len() != channels * plan.filter
        {
            return Err("a depthwise convolution's arrays are not as long as their shapes".into());
        }
        let pieces = planes.min(4 * threads.threads().max(1));
        let output = Shared::new(output);
        threads.run(pieces, &|piece| {
            let mut scratch = Scratch::new(plan, *size);
            for index in planes * piece / pieces..planes * (piece + 1) / pieces {
                // SAFETY: every piece has planes of its own, inside the output.
                let to = unsafe { std::slice::from_raw_parts_mut(output.get().add(index * made), made) };
                let channel = index % channels;
                let filter = &weights[channel * plan.filter..][..plan.filter];
                scratch.fill(plan, &input.data[index * plane..][..plane], input.size[1]);
                scratch.convolve(correlate, plan, filter);
                scratch.hand_out(plan, to, size[1]);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Scoped, Serial};
    use proptest::prelude::*;

    /// The convolution as written, and its transpose, in 64 bits.
    fn plain(
        input: &[f32],
        weights: &[f32],
        channels: usize,
        (window, direction): (Window, Direction),
        [from, to]: [[usize; 2]; 2],
    ) -> Vec<f64> {
        let (plane, made) = (from[0] * from[1], to[0] * to[1]);
        let planes = input.len() / plane;
        let mut output = vec![0.0; planes * made];
        // There, places of the result are the window's; back, places of the source are.
        let (places, map) = if direction == Direction::There { (to, from) } else { (from, to) };
        for index in 0..planes {
            for place in 0..places[0] * places[1] {
                for k in 0..window.kernel[0] * window.kernel[1] {
                    let at = |axis: usize, o: usize, k: usize| {
                        (o * window.strides[axis] + k * window.dilations[axis])
                            .checked_sub(window.pads[axis])
                            .filter(|&at| at < map[axis])
                    };
                    let [y, x] = [
                        at(0, place / places[1], k / window.kernel[1]),
                        at(1, place % places[1], k % window.kernel[1]),
                    ];
                    let (Some(y), Some(x)) = (y, x) else { continue };
                    let weight =
                        f64::from(weights[index % channels * window.kernel[0] * window.kernel[1] + k]);
                    let (source, result) = match direction {
                        Direction::There => (index * plane + y * from[1] + x, index * made + place),
                        Direction::Back => (index * plane + place, index * made + y * to[1] + x),
                    };
                    output[result] += weight * f64::from(input[source]);
                }
            }
        }
        output
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index * 37 % 101) as f32 / 101.0 - 0.5).collect()
    }

    fn check(window: Window, direction: Direction, [from, to]: [[usize; 2]; 2], channels: usize) {
        let input = numbers(2 * channels * from[0] * from[1]);
        let weights = numbers(channels * window.kernel[0] * window.kernel[1]);
        let expected = plain(&input, &weights, channels, (window, direction), [from, to]);
        let maps = Maps { data: &input, channels, size: from };
        for processor in Processor::all() {
            let mut output = vec![f32::NAN; expected.len()];
            let plan = Plan::new(window, direction, from, to).unwrap();
            let job = Job { input: maps, weights: &weights, plan, size: to };
            job.run(correlate_of(processor), &mut output, &Scoped(2)).unwrap();
            for (index, (&got, &expected)) in output.iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(got) - expected).abs() < 1e-5,
                    "{processor:?} {window:?} {direction:?} {from:?} {to:?}: {index}: {got} for {expected}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }))]
        #[test]
        fn any_window_there_and_back_is_the_convolution_as_written(
            kernel in [1..6_usize, 1..6], strides in [1..4_usize, 1..4], dilations in [1..3_usize, 1..3],
            pads in [0..4_usize, 0..4], size in [1..24_usize, 1..40], cut in [0..4_usize, 0..4], channels in 1..4_usize,
        ) {
            let window = Window { kernel, strides, dilations, pads };
            // As many places as there are with the same padding behind, and perhaps fewer.
            let places: [usize; 2] = std::array::from_fn(|axis| {
                let room = (size[axis] + 2 * pads[axis]).saturating_sub((kernel[axis] - 1) * dilations[axis] + 1);
                (room / strides[axis] + 1).saturating_sub(cut[axis]).max(1)
            });
            check(window, Direction::There, [size, places], channels);
            check(window, Direction::Back, [places, size], channels);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let window = Window { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1] };
        let maps = Maps { data: &[1.0; 32], channels: 2, size: [4, 4] };
        let run = |window, weights: &[f32], len: usize| {
            let mut output = vec![0.0; len];
            depthwise(maps, weights, (window, Direction::There), ([4, 4], &mut output), &Serial)
        };
        assert!(run(window, &[1.0; 18], 32).is_ok());
        assert!(run(window, &[1.0; 17], 32).is_err());
        assert!(run(window, &[1.0; 18], 31).is_err());
        assert!(run(Window { strides: [0, 1], ..window }, &[1.0; 18], 32).is_err());
    }
}
