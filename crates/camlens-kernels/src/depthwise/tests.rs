//! Depthwise convolutions against their definition, over windows, sizes, layouts and instruction
//! sets.

use proptest::prelude::*;

use super::conv::DepthwiseConv;
use super::correlate::correlate_for;
use super::nchwc::row_kernel_for;
use super::types::{Direction, FeatureMaps, Window};
use crate::block16::NCHWC_BLOCKS;
use crate::elementwise::{BoundExpression, Expression, Op, Step, Tensor};
use crate::executor::{ScopedThreads, Serial};
use crate::simd::Isa;

/// The convolution or its transpose, computed from the definition in 64 bits.
fn reference(
    input: &[f32],
    weights: &[f32],
    channels: usize,
    (window, direction): (Window, Direction),
    [from, to]: [[usize; 2]; 2],
) -> Vec<f64> {
    let (in_area, out_area) = (from[0] * from[1], to[0] * to[1]);
    let planes = input.len() / in_area;
    let mut output = vec![0.0; planes * out_area];
    // The window's positions are those of the output forward, and of the input transposed.
    let (positions, map) = if direction == Direction::Forward { (to, from) } else { (from, to) };
    for index in 0..planes {
        for position in 0..positions[0] * positions[1] {
            for k in 0..window.kernel[0] * window.kernel[1] {
                let at = |axis: usize, o: usize, k: usize| {
                    (o * window.strides[axis] + k * window.dilations[axis])
                        .checked_sub(window.pads[axis])
                        .filter(|&at| at < map[axis])
                };
                let [y, x] = [
                    at(0, position / positions[1], k / window.kernel[1]),
                    at(1, position % positions[1], k % window.kernel[1]),
                ];
                let (Some(y), Some(x)) = (y, x) else { continue };
                let weight =
                    f64::from(weights[index % channels * window.kernel[0] * window.kernel[1] + k]);
                let (source, result) = match direction {
                    Direction::Forward => {
                        (index * in_area + y * from[1] + x, index * out_area + position)
                    }
                    Direction::Transposed => {
                        (index * in_area + position, index * out_area + y * to[1] + x)
                    }
                };
                output[result] += weight * f64::from(input[source]);
            }
        }
    }
    output
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

fn check(window: Window, direction: Direction, [from, to]: [[usize; 2]; 2], channels: usize) {
    let input = values(2 * channels * from[0] * from[1]);
    let weights = values(channels * window.kernel[0] * window.kernel[1]);
    let expected = reference(&input, &weights, channels, (window, direction), [from, to]);
    let maps = FeatureMaps { data: &input, channels, size: from };
    for isa in Isa::available() {
        let job = DepthwiseConv { input: maps, ..job(&weights, (window, direction), to) };
        let mut output = vec![f32::NAN; expected.len()];
        job.run_with(correlate_for(isa), &mut output, &ScopedThreads(2)).unwrap();
        for (index, (&got, &expected)) in output.iter().zip(&expected).enumerate() {
            assert!(
                (f64::from(got) - expected).abs() < 1e-5,
                "{isa:?} {window:?} {direction:?} {from:?} {to:?}: element {index} is {got} \
                 instead of {expected}"
            );
        }
    }
}

/// Reorders `[N, C, ..]` to `[N, C/c, .., c]`, with zeros in missing channels; `area` is the
/// product of the dimensions after C.
fn to_nchwc(values: &[f32], channels: usize, area: usize, lanes: usize) -> Vec<f32> {
    let blocks = channels.div_ceil(lanes);
    let mut all = vec![0.0; values.len() / channels * blocks * lanes];
    for (index, &value) in values.iter().enumerate() {
        let (image, channel, position) =
            (index / area / channels, index / area % channels, index % area);
        let block = image * blocks + channel / lanes;
        all[(block * area + position) * lanes + channel % lanes] = value;
    }
    all
}

fn check_nchwc(
    window: Window,
    direction: Direction,
    [from, to]: [[usize; 2]; 2],
    [channels, lanes]: [usize; 2],
) {
    let input = values(2 * channels * from[0] * from[1]);
    let filter = window.kernel[0] * window.kernel[1];
    let weights = values(channels * filter);
    let expected = reference(&input, &weights, channels, (window, direction), [from, to]);
    let expected: Vec<f32> = expected.iter().map(|&value| crate::rounding::to_f32(value)).collect();
    let expected = to_nchwc(&expected, channels, to[0] * to[1], lanes);
    let input = to_nchwc(&input, channels, from[0] * from[1], lanes);
    let weights = to_nchwc(&weights, channels, filter, lanes);
    let padded = channels.next_multiple_of(lanes);
    // The prologue doubles its input, a few lines at a time.
    let twice = Step { op: Op::Add, operands: [0, 0, 0] };
    let (half, twice) = (
        input.iter().map(|value| value / 2.0).collect::<Vec<_>>(),
        Expression::new(1, vec![], vec![twice]).unwrap(),
    );
    let shape = [2, padded / lanes, from[0], from[1], lanes];
    let prologue =
        BoundExpression::new(&twice, None, &[Tensor { data: &half, shape: &shape }], &shape)
            .unwrap();
    for (isa, prologue) in
        Isa::available().into_iter().flat_map(|isa| [(isa, None), (isa, Some(&prologue))])
    {
        let maps = FeatureMaps {
            data: if prologue.is_some() { &[] } else { &input },
            channels: padded,
            size: from,
        };
        let job = DepthwiseConv { input: maps, prologue, ..job(&weights, (window, direction), to) };
        let mut output = vec![f32::NAN; expected.len()];
        let kernel = row_kernel_for(isa, lanes).unwrap();
        job.run_nchwc_with((kernel, lanes), &mut output, &ScopedThreads(2)).unwrap();
        for (index, (&got, &expected)) in output.iter().zip(&expected).enumerate() {
            assert!(
                (got - expected).abs() < 1e-5,
                "{isa:?} {window:?} {direction:?} {from:?} {to:?}: element {index} is {got} \
                 instead of {expected}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }))]
    #[test]
    fn any_window_forward_and_transposed_matches_the_reference(
        kernel in [1..6_usize, 1..6],
        strides in [1..4_usize, 1..4],
        dilations in [1..3_usize, 1..3],
        pads in [0..4_usize, 0..4],
        size in [1..24_usize, 1..40],
        cut in [0..4_usize, 0..4],
        channels in 1..4_usize,
    ) {
        let window = Window { kernel, strides, dilations, pads };
        // As many positions as symmetric padding gives, or up to 3 fewer.
        let positions: [usize; 2] = std::array::from_fn(|axis| {
            let reach = (kernel[axis] - 1) * dilations[axis] + 1;
            let room = (size[axis] + 2 * pads[axis]).saturating_sub(reach);
            (room / strides[axis] + 1).saturating_sub(cut[axis]).max(1)
        });
        check(window, Direction::Forward, [size, positions], channels);
        check(window, Direction::Transposed, [positions, size], channels);
        for lanes in NCHWC_BLOCKS {
            check_nchwc(window, Direction::Forward, [size, positions], [channels, lanes]);
            let more = lanes + channels;
            check_nchwc(window, Direction::Transposed, [positions, size], [more, lanes]);
        }
    }
}

/// A convolution whose input is still to be set.
fn job(
    weights: &[f32],
    (window, direction): (Window, Direction),
    output_size: [usize; 2],
) -> DepthwiseConv<'_> {
    let input = FeatureMaps { data: &[], channels: 2, size: [4, 4] };
    DepthwiseConv { input, prologue: None, weights, window, direction, output_size, epilogue: None }
}

const SAME: Window = Window { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1] };

#[test]
fn a_fused_prologue_and_epilogue_equal_separate_passes() {
    let step = |op, operands| Step { op, operands };
    let (x, gate, weights) = (values(64), values(2), values(18));
    let shape = [2, 2, 4, 4];
    let gated = Expression::new(2, vec![], vec![step(Op::Mul, [0, 1, 0])]).unwrap();
    // x · y − y, where y is the streamed input.
    let steps = vec![step(Op::Mul, [0, 1, 0]), step(Op::Sub, [2, 1, 0])];
    let combine = Expression::new(2, vec![], steps).unwrap();
    let whole = Tensor { data: &x, shape: &shape };
    let gates = Tensor { data: &gate, shape: &[2, 1, 1] };
    let prologue = BoundExpression::new(&gated, None, &[whole, gates], &shape).unwrap();
    let epilogue = BoundExpression::new(&combine, Some(1), &[whole], &shape).unwrap();
    let plain = job(&weights, (SAME, Direction::Transposed), [4, 4]);
    let fused = DepthwiseConv { prologue: Some(&prologue), epilogue: Some(&epilogue), ..plain };
    let mut output = [f32::NAN; 64];
    fused.run(&mut output, &ScopedThreads(2)).unwrap();

    let gated: Vec<f32> = x.iter().enumerate().map(|(at, x)| x * gate[at / 16 % 2]).collect();
    let input = FeatureMaps { data: &gated, ..plain.input };
    let mut separate = [f32::NAN; 64];
    DepthwiseConv { input, ..plain }.run(&mut separate, &Serial).unwrap();
    assert!(output.iter().enumerate().all(|(at, &got)| got == x[at] * separate[at] - separate[at]));
}

#[test]
fn wrong_lengths_and_zero_strides_are_rejected() {
    let data = [1.0; 32];
    let run = |window, weights: &[f32], len: usize| {
        let input = FeatureMaps { data: &data, channels: 2, size: [4, 4] };
        let mut output = vec![0.0; len];
        DepthwiseConv { input, ..job(weights, (window, Direction::Forward), [4, 4]) }
            .run(&mut output, &Serial)
    };
    assert!(run(SAME, &[1.0; 18], 32).is_ok());
    assert!(run(SAME, &[1.0; 17], 32).is_err());
    assert!(run(SAME, &[1.0; 18], 31).is_err());
    assert!(run(Window { strides: [0, 1], ..SAME }, &[1.0; 18], 32).is_err());
}
