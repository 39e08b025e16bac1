//! Depthwise convolutions, there and back: every channel has a filter of its own, so there is no
//! product of matrices.
//!
//! A channel is copied into a frame of zeros and split by the stride, so that what one weight
//! multiplies lies side by side; then the whole channel is one long row, and the convolution a sum
//! of that row at a few offsets, each times a weight. What the row holds between the lines is
//! computed and thrown away.
//!
//! Back ([`Direction::Back`]) is the transposed convolution: each of the places that one step of
//! the stride covers is such a sum for itself.

mod blocks;
mod loops;
mod plan;
mod scratch;

use loops::{Correlate, correlate_of};
use plan::Plan;
use scratch::Scratch;

use crate::elementwise::Inline;
use crate::pool::{Pool, Shared, share};
use crate::simd::Processor;

/// So many numbers are worth a run of an expression.
const AT_ONCE: usize = 1024;

/// How a filter goes over a map: for each axis, rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size of the filter.
    pub kernel: [usize; 2],
    /// Step from one place to the next.
    pub strides: [usize; 2],
    /// Distance of the filter's places.
    pub dilations: [usize; 2],
    /// Zeros before the first row and column. How many come after follows from the sizes of both
    /// maps.
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

/// A depthwise convolution, and what is done with its numbers while they are in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// What is convolved. With `before`, its numbers are that expression's, and `data` is not
    /// read.
    pub input: Maps<'a>,
    /// What is convolved, where it has to be worked out first.
    pub before: Option<&'a Inline<'a>>,
    /// A filter for every channel, `[C, kh, kw]`.
    pub weights: &'a [f32],
    /// How the filters go over the maps.
    pub window: Window,
    /// Which way.
    pub direction: Direction,
    /// h and w of the result, `[N, C, h, w]`.
    pub size: [usize; 2],
    /// What is made of the result, which it is handed.
    pub after: Option<&'a Inline<'a>>,
}

impl Depthwise<'_> {
    /// Convolves, into `output` `[N, C, h, w]`.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, or a stride or dilation is 0.
    pub fn run(&self, output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        self.run_with(correlate_of(Processor::detect()), output, threads)
    }

    fn run_with(
        &self,
        correlate: Correlate,
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let Self { input, before, weights, window, direction, size, after } = *self;
        let plan = Plan::new(window, direction, input.size, size)?;
        let (plane, made) = (input.size[0] * input.size[1], size[0] * size[1]);
        let channels = input.channels;
        if channels == 0 || plane == 0 || made == 0 {
            return if output.is_empty() { Ok(()) } else { Err("maps without numbers".into()) };
        }
        let read = before.map_or(input.data.len(), Inline::len);
        let planes = read / plane;
        if read != planes * plane
            || !planes.is_multiple_of(channels)
            || output.len() != planes * made
            || after.is_some_and(|after| after.len() != output.len())
            || weights.len() != channels * plan.filter
        {
            return Err("a depthwise convolution's arrays are not as long as their shapes".into());
        }
        let output = Shared::new(output);
        // Small planes are worked out several at once: an expression takes its time for every run.
        let together = AT_ONCE.div_ceil(plane.max(made));
        let work = || {
            let (before, after) = (before.map(Inline::work), after.map(Inline::work));
            let source = vec![0.0; if before.is_some() { together * plane } else { 0 }];
            let result = vec![0.0; if after.is_some() { together * made } else { 0 }];
            (Scratch::new(&plan, size), before, after, source, result)
        };
        share(threads, planes, planes.div_ceil(together), work, |work, turn| {
            let (scratch, before, after, source, result) = work;
            let first = turn * together;
            let count = together.min(planes - first);
            let source = match before {
                Some(before) => {
                    before.run(first * plane, &[], &mut source[..count * plane]);
                    &source[..]
                }
                None => &input.data[first * plane..],
            };
            // SAFETY: every turn has planes of its own, inside the output.
            let output = unsafe {
                std::slice::from_raw_parts_mut(output.get().add(first * made), count * made)
            };
            let to = if after.is_some() { &mut result[..count * made] } else { &mut *output };
            for (index, (from, to)) in
                source.chunks_exact(plane).zip(to.chunks_exact_mut(made)).enumerate()
            {
                let channel = (first + index) % channels;
                scratch.fill(&plan, from, input.size[1]);
                scratch.convolve(
                    correlate,
                    &plan,
                    &weights[channel * plan.filter..][..plan.filter],
                );
                scratch.hand_out(&plan, to, size[1]);
            }
            if let Some(after) = after {
                after.run(first * made, &result[..count * made], output);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BLOCKS;
    use crate::elementwise::{Expression, Op, Step, Tensor};
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
                    let weight = f64::from(
                        weights[index % channels * window.kernel[0] * window.kernel[1] + k],
                    );
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
            let job = Depthwise { input: maps, ..job(&weights, (window, direction), to) };
            let mut output = vec![f32::NAN; expected.len()];
            job.run_with(correlate_of(processor), &mut output, &Scoped(2)).unwrap();
            for (index, (&got, &expected)) in output.iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(got) - expected).abs() < 1e-5,
                    "{processor:?} {window:?} {direction:?} {from:?} {to:?}: {index}: {got} for {expected}"
                );
            }
        }
    }

    /// `[N, C, ..]` as `[N, C/L, .., L]`, with zeros in the channels that are not there; `places`
    /// is how many follow C.
    fn in_blocks(numbers: &[f32], channels: usize, places: usize, lanes: usize) -> Vec<f32> {
        let blocks = channels.div_ceil(lanes);
        let mut all = vec![0.0; numbers.len() / channels * blocks * lanes];
        for (index, &number) in numbers.iter().enumerate() {
            let (image, channel, place) =
                (index / places / channels, index / places % channels, index % places);
            let block = image * blocks + channel / lanes;
            all[(block * places + place) * lanes + channel % lanes] = number;
        }
        all
    }

    fn check_blocks(
        window: Window,
        direction: Direction,
        [from, to]: [[usize; 2]; 2],
        [channels, lanes]: [usize; 2],
    ) {
        let input = numbers(2 * channels * from[0] * from[1]);
        let filter = window.kernel[0] * window.kernel[1];
        let weights = numbers(channels * filter);
        let expected = plain(&input, &weights, channels, (window, direction), [from, to]);
        let expected: Vec<f32> = expected.iter().map(|&number| number as f32).collect();
        let expected = in_blocks(&expected, channels, to[0] * to[1], lanes);
        let input = in_blocks(&input, channels, from[0] * from[1], lanes);
        let weights = in_blocks(&weights, channels, filter, lanes);
        let padded = channels.next_multiple_of(lanes);
        // What is worked out first is worked out on a few lines at a time.
        let twice = Step { op: Op::Add, operands: [0, 0, 0] };
        let (half, twice) = (
            input.iter().map(|number| number / 2.0).collect::<Vec<_>>(),
            Expression::new(1, vec![], vec![twice]).unwrap(),
        );
        let shape = [2, padded / lanes, from[0], from[1], lanes];
        let before =
            Inline::new(&twice, None, &[Tensor { data: &half, shape: &shape }], &shape).unwrap();
        for (processor, before) in
            Processor::all().into_iter().flat_map(|it| [(it, None), (it, Some(&before))])
        {
            let maps = Maps {
                data: if before.is_some() { &[] } else { &input },
                channels: padded,
                size: from,
            };
            let job = Depthwise { input: maps, before, ..job(&weights, (window, direction), to) };
            let mut output = vec![f32::NAN; expected.len()];
            let sum = blocks::sum_of(processor, lanes).unwrap();
            job.run_in_blocks_with((sum, lanes), &mut output, &Scoped(2)).unwrap();
            for (index, (&got, &expected)) in output.iter().zip(&expected).enumerate() {
                assert!(
                    (got - expected).abs() < 1e-5,
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
            for lanes in BLOCKS {
                check_blocks(window, Direction::There, [size, places], [channels, lanes]);
                check_blocks(window, Direction::Back, [places, size], [lanes + channels, lanes]);
            }
        }
    }

    /// A convolution of nothing yet.
    fn job(
        weights: &[f32],
        (window, direction): (Window, Direction),
        size: [usize; 2],
    ) -> Depthwise<'_> {
        let input = Maps { data: &[], channels: 2, size: [4, 4] };
        Depthwise { input, before: None, weights, window, direction, size, after: None }
    }

    const SAME: Window =
        Window { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1] };

    #[test]
    fn what_comes_before_and_after_gives_what_it_gives_alone() {
        let step = |op, operands| Step { op, operands };
        let (x, gate, weights) = (numbers(64), numbers(2), numbers(18));
        let shape = [2, 2, 4, 4];
        let gated = Expression::new(2, vec![], vec![step(Op::Mul, [0, 1, 0])]).unwrap();
        // x · y − y, of the y that is handed over.
        let steps = vec![step(Op::Mul, [0, 1, 0]), step(Op::Sub, [2, 1, 0])];
        let rest = Expression::new(2, vec![], steps).unwrap();
        let whole = Tensor { data: &x, shape: &shape };
        let gates = Tensor { data: &gate, shape: &[2, 1, 1] };
        let before = Inline::new(&gated, None, &[whole, gates], &shape).unwrap();
        let after = Inline::new(&rest, Some(1), &[whole], &shape).unwrap();
        let plain = job(&weights, (SAME, Direction::Back), [4, 4]);
        let joined = Depthwise { before: Some(&before), after: Some(&after), ..plain };
        let mut output = [f32::NAN; 64];
        joined.run(&mut output, &Scoped(2)).unwrap();

        let worked: Vec<f32> = x.iter().enumerate().map(|(at, x)| x * gate[at / 16 % 2]).collect();
        let input = Maps { data: &worked, ..plain.input };
        let mut alone = [f32::NAN; 64];
        Depthwise { input, ..plain }.run(&mut alone, &Serial).unwrap();
        assert!(output.iter().enumerate().all(|(at, &got)| got == x[at] * alone[at] - alone[at]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = [1.0; 32];
        let run = |window, weights: &[f32], len: usize| {
            let input = Maps { data: &data, channels: 2, size: [4, 4] };
            let mut output = vec![0.0; len];
            Depthwise { input, ..job(weights, (window, Direction::There), [4, 4]) }
                .run(&mut output, &Serial)
        };
        assert!(run(SAME, &[1.0; 18], 32).is_ok());
        assert!(run(SAME, &[1.0; 17], 32).is_err());
        assert!(run(SAME, &[1.0; 18], 31).is_err());
        assert!(run(Window { strides: [0, 1], ..SAME }, &[1.0; 18], 32).is_err());
    }
}
