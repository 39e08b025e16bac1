//! Depthwise convolutions, there and back: every channel has a filter of its own, so there is no product of matrices.
//!
//! A channel is copied into a frame of zeros and split by the stride, so that what one weight multiplies
//! lies side by side; then the whole channel is one long row, and the convolution a sum of that row at a few
//! offsets, each times a weight. What the row holds between the lines is computed and thrown away.
//!
//! Back ([`Direction::Back`]) is the transposed convolution: each of the places that one step of the stride covers is such
//! a sum for itself.

use crate::lanes::Lanes;
use crate::pool::{Pool, Shared};
use crate::simd::{Portable, Processor, Simd};

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

/// A weight's place in the filter, and where what it multiplies lies in the source, seen from the result.
#[derive(Clone, Copy, Debug)]
struct Tap {
    weight: usize,
    offset: usize,
}

/// One axis, whichever way: where the source's numbers go and where the result's come from.
#[derive(Debug)]
struct Axis {
    /// Interleaved parts of the source, and of the result; one of both is 1.
    sources: usize,
    results: usize,
    /// Zeros before the first number of the source.
    before: usize,
    /// The longest that a part of the framed source gets.
    len: usize,
    /// For each part of the result: (place in the filter, part of the source, offset).
    taps: Vec<Vec<(usize, usize, usize)>>,
}

impl Axis {
    fn new(window: Window, axis: usize, direction: Direction, source: usize, result: usize) -> Self {
        let [kernel, stride, dilation, pad] =
            [window.kernel, window.strides, window.dilations, window.pads].map(|of| of[axis]);
        match direction {
            Direction::There => {
                let taps = (0..kernel).map(|k| (k, k * dilation % stride, k * dilation / stride)).collect();
                let framed = (source + pad).max((result.max(1) - 1) * stride + (kernel - 1) * dilation + 1);
                Self {
                    sources: stride,
                    results: 1,
                    before: pad,
                    len: framed.div_ceil(stride),
                    taps: vec![taps],
                }
            }
            Direction::Back => {
                // Place y = stride·j + part of the result meets place o of the source where o·stride + k·dilation = y + pad.
                let reach = (kernel - 1) * dilation;
                let before = reach.div_ceil(stride);
                let places = |part: usize| {
                    let seen = |k: usize| {
                        let steps = (before * stride + part + pad).checked_sub(k * dilation)?;
                        steps.is_multiple_of(stride).then_some((k, 0, steps / stride))
                    };
                    (0..kernel).filter_map(seen).collect::<Vec<_>>()
                };
                let taps: Vec<_> = (0..stride).map(places).collect();
                let farthest = taps.iter().flatten().map(|tap| tap.2).max().unwrap_or(0);
                let len = (before + source).max(result.div_ceil(stride) + farthest);
                Self { sources: 1, results: stride, before, len, taps }
            }
        }
    }
}

/// What is the same for every channel.
#[derive(Debug)]
struct Plan {
    axes: [Axis; 2],
    /// For each part of the result, rows first.
    taps: Vec<Vec<Tap>>,
    filter: usize,
}

impl Plan {
    fn new(
        window: Window,
        direction: Direction,
        source: [usize; 2],
        result: [usize; 2],
    ) -> Result<Self, String> {
        let Window { kernel, strides, dilations, .. } = window;
        if [kernel, strides, dilations].concat().contains(&0) {
            return Err(format!("{window:?} is no window"));
        }
        let [rows, columns] =
            [0, 1].map(|axis| Axis::new(window, axis, direction, source[axis], result[axis]));
        let (pitch, part) = (columns.len, rows.len * columns.len);
        let mut taps = Vec::new();
        for in_rows in &rows.taps {
            for in_columns in &columns.taps {
                let both = in_rows.iter().flat_map(|row| in_columns.iter().map(move |column| (row, column)));
                let tap = |(&(ky, part_y, y), &(kx, part_x, x)): (
                    &(usize, usize, usize),
                    &(usize, usize, usize),
                )| Tap {
                    weight: ky * kernel[1] + kx,
                    offset: (part_y * columns.sources + part_x) * part + y * pitch + x,
                };
                taps.push(both.map(tap).collect());
            }
        }
        Ok(Self { axes: [rows, columns], taps, filter: kernel[0] * kernel[1] })
    }

    /// Numbers in the framed source, all its parts.
    fn frame(&self) -> usize {
        let [rows, columns] = &self.axes;
        rows.sources * columns.sources * rows.len * columns.len
    }
}

struct Job<'a> {
    input: Maps<'a>,
    weights: &'a [f32],
    plan: Plan,
    /// Of the result.
    size: [usize; 2],
}

/// `sums[i] = Σ source[i + tap.offset] · weight`.
///
/// # Safety
/// The processor can do it, and `source` has as many numbers behind every tap's offset as all of `sums`.
type Correlate = unsafe fn(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]);

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

/// What a thread needs for one channel.
struct Scratch {
    /// The framed source, part by part; what is no place of the source stays zero.
    source: Vec<f32>,
    /// The result, part by part, each as long rows with the source's pitch.
    sums: Vec<Vec<Lanes>>,
}

impl Scratch {
    fn new(plan: &Plan, size: [usize; 2]) -> Self {
        let [rows, columns] = &plan.axes;
        let lines = size[0].div_ceil(rows.results);
        let blocks = ((lines - 1) * columns.len + size[1].div_ceil(columns.results)).div_ceil(Lanes::COUNT);
        // The last block may reach behind the last line.
        let farthest = plan.taps.iter().flatten().map(|tap| tap.offset).max().unwrap_or(0);
        let source = plan.frame().max(farthest + blocks * Lanes::COUNT);
        Self { source: vec![0.0; source], sums: vec![vec![Lanes::ZERO; blocks]; plan.taps.len()] }
    }

    /// Copies a channel with rows of `width` into its frame.
    fn fill(&mut self, plan: &Plan, plane: &[f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in plane.chunks_exact(width).enumerate() {
            let (part_y, row) = ((y + rows.before) % rows.sources, (y + rows.before) / rows.sources);
            let part = |x: usize| (part_y * columns.sources + x) * rows.len * columns.len + row * columns.len;
            if columns.sources == 1 {
                self.source[part(0)..][columns.before..][..width].copy_from_slice(line);
                continue;
            }
            for x in 0..columns.sources.min(width) {
                let (part_x, column) =
                    ((x + columns.before) % columns.sources, (x + columns.before) / columns.sources);
                let to = self.source[part(part_x) + column..].iter_mut();
                to.zip(line[x..].iter().step_by(columns.sources)).for_each(|(to, &value)| *to = value);
            }
        }
    }

    fn convolve(&mut self, correlate: Correlate, plan: &Plan, filter: &[f32]) {
        for (sums, taps) in self.sums.iter_mut().zip(&plan.taps) {
            let taps: Vec<(usize, f32)> = taps.iter().map(|tap| (tap.offset, filter[tap.weight])).collect();
            // SAFETY: `new` made the source long enough for every tap.
            unsafe { correlate(sums, self.source.as_ptr(), &taps) };
        }
    }

    /// Copies the result to where it belongs, rows of `width`.
    fn hand_out(&self, plan: &Plan, output: &mut [f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in output.chunks_exact_mut(width).enumerate() {
            let from = y / rows.results * columns.len;
            let part = |x: usize| &Lanes::numbers(&self.sums[y % rows.results * columns.results + x])[from..];
            match columns.results {
                1 => line.copy_from_slice(&part(0)[..width]),
                // Two at once is what the compiler makes vector code of.
                2 => {
                    let (even, odd) = (part(0), part(1));
                    let (pairs, last) = line.as_chunks_mut::<2>();
                    let count = pairs.len();
                    for ((pair, &even), &odd) in pairs.iter_mut().zip(even).zip(odd) {
                        *pair = [even, odd];
                    }
                    last.iter_mut().for_each(|last| *last = even[count]);
                }
                step => {
                    for x in 0..step.min(width) {
                        line[x..].iter_mut().step_by(step).zip(part(x)).for_each(|(to, &value)| *to = value);
                    }
                }
            }
        }
    }
}

const fn correlate_of(processor: Processor) -> Correlate {
    match processor {
        Processor::Portable => correlate::<Portable>,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Processor::Neon => correlate::<crate::simd::arm::Neon>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<crate::simd::x86::Avx2>(sums, source, taps) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<crate::simd::x86::Avx512>(sums, source, taps) }
}

/// Blocks that are summed up at once: as many sums as keep the processor's adders busy.
const AT_ONCE: usize = 4;

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn correlate<S: Simd>(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise: the source reaches as far from every tap as the sums.
    unsafe {
        let (many, few) = sums.as_chunks_mut::<AT_ONCE>();
        let done = many.len() * AT_ONCE * Lanes::COUNT;
        for (index, sums) in many.iter_mut().enumerate() {
            blocks::<S, AT_ONCE>(sums, source.add(index * AT_ONCE * Lanes::COUNT), taps);
        }
        for (index, sum) in few.iter_mut().enumerate() {
            blocks::<S, 1>(std::array::from_mut(sum), source.add(done + index * Lanes::COUNT), taps);
        }
    }
}

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn blocks<S: Simd, const N: usize>(sums: &mut [Lanes; N], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = [S::splat(0.0); N];
        for &(offset, weight) in taps {
            let weight = S::splat(weight);
            for (index, value) in values.iter_mut().enumerate() {
                let numbers = S::load_bytes(source.add(offset + index * Lanes::COUNT).cast());
                *value = S::mul_add(numbers, weight, *value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            S::store(sum, value);
        }
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
