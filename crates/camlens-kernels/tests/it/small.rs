//! Every kernel at sizes that are small enough for Miri, which finds undefined behaviour in what
//! `unsafe` blocks do: reads and writes outside a buffer, of memory that another thread writes, or
//! through a pointer that a later reference has made invalid. `make miri` runs these.

use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, BoundExpression, ChainOutput, DepthwiseConv, Direction, Executor, Expression,
    FeatureMaps, Matrix, NCHWC_BLOCKS, Op, RunOptions, ScopedThreads, Serial, Step, Tensor, Window,
    gemv, gemv_transposed,
};

use crate::conv_chain::check;
use crate::reference::{assert_close, chain, noise};

fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut next = noise(seed);
    (0..len).map(|_| next()).collect()
}

/// Both schedules of Winograd's algorithm, direct convolution, copied regions, and pooling of maps
/// with odd sides, on two threads.
#[test]
fn chains_match_direct_convolution() {
    check(&[1, 9, 17], 0b1101, [2, 5, 7], |_, y, x| y > 1 || x > 2, &ScopedThreads(2));
    check(&[9, 9], 0b10, [1, 1, 6], |_, _, _| false, &Serial);
    check(&[9, 9], 0b11, [1, 9, 1], |_, y, _| y > 0, &ScopedThreads(2));
}

#[test]
fn near_ties_are_settled_on_two_threads() {
    for ins in [1, 9] {
        let (chain, reference) = chain(&[ins, 17], 0b11, 5);
        let bytes: Vec<_> = reference[0].weights.iter().map(|value| value.to_ne_bytes()).collect();
        // Two rows that repeat, and two that nearly do.
        let mut data = vec![0.5; ins * 6 * 6];
        data[ins * 36 - 1] += 3e-7;
        let options = RunOptions {
            cancel: &AtomicBool::new(false),
            skip_zero_regions: false,
            equal_patches: true,
            settle_near_ties: Some(&[bytes.as_slice()]),
        };
        let batch = Batch { data: &data, images: 1, height: 6, width: 6 };
        let mut output = vec![f32::NAN; 17 * 36];
        let request = ChainOutput { layer: 0, pooled: false };
        chain.run(batch, &mut [(request, &mut output)], &ScopedThreads(2), options).unwrap();
        assert!(output.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn products_match_sums_in_64_bits() {
    for (count, rows, columns) in [(1, 5, 37), (9, 6, 16), (2, 17, 3)] {
        let matrix = values(rows * columns, 1);
        // At an odd address.
        let bytes: Vec<u8> =
            [0].into_iter().chain(matrix.iter().flat_map(|v| v.to_ne_bytes())).collect();
        let operand = Matrix { bytes: &bytes[1..], rows, columns };
        for transposed in [false, true] {
            let (ins, outs) = if transposed { (columns, rows) } else { (rows, columns) };
            let (mut input, bias) = (values(count * ins, 2), values(outs, 3));
            input.iter_mut().step_by(3).for_each(|value| *value = 0.0);
            let mut output = vec![f32::NAN; count * outs];
            let multiply = if transposed { gemv_transposed } else { gemv };
            multiply(&input, operand, Some(&bias), &mut output, &ScopedThreads(2)).unwrap();
            let weight = |i: usize, o: usize| {
                if transposed { matrix[o * columns + i] } else { matrix[i * columns + o] }
            };
            let sum = |n: usize, o: usize| -> f64 {
                let terms =
                    (0..ins).map(|i| f64::from(input[n * ins + i]) * f64::from(weight(i, o)));
                terms.sum::<f64>() + f64::from(bias[o])
            };
            let expected: Vec<f32> =
                (0..count * outs).map(|index| sum(index / outs, index % outs) as f32).collect();
            assert_close(&expected, &output, "a product");
        }
    }
}

/// A channel's convolution, position by position.
fn convolved(
    plane: &[f32],
    size: [usize; 2],
    filter: &[f32],
    window: Window,
    out: [usize; 2],
) -> Vec<f32> {
    let Window { kernel, strides, dilations, pads } = window;
    let at = |y: usize, x: usize| {
        let (y, x) = (y.checked_sub(pads[0]), x.checked_sub(pads[1]));
        let inside = y.zip(x).filter(|&(y, x)| y < size[0] && x < size[1]);
        inside.map_or(0.0, |(y, x)| plane[y * size[1] + x])
    };
    let sum = |index: usize| -> f32 {
        let (y, x) = (index / out[1] * strides[0], index % out[1] * strides[1]);
        let tap = |tap: usize| {
            let (row, column) = (tap / kernel[1], tap % kernel[1]);
            filter[tap] * at(y + row * dilations[0], x + column * dilations[1])
        };
        (0..kernel[0] * kernel[1]).map(tap).sum()
    };
    (0..out[0] * out[1]).map(sum).collect()
}

/// `[C, positions]` as `[C/block, positions, block]`.
fn blocked(planes: &[f32], positions: usize, block: usize) -> Vec<f32> {
    let at = |index: usize| {
        let (lane, position) = (index % block, index / block % positions);
        planes[(index / block / positions * block + lane) * positions + position]
    };
    (0..planes.len()).map(at).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn depthwise_convolutions_match_sums_and_their_transpose_is_one() {
    const CHANNELS: usize = 16;
    let base = Window { kernel: [3, 2], strides: [1, 1], dilations: [1, 1], pads: [1, 1] };
    for (window, size, out) in [
        (base, [3, 5], [3, 6]),
        (Window { strides: [2, 3], ..base }, [5, 7], [3, 3]),
        (Window { dilations: [2, 1], pads: [2, 0], ..base }, [4, 1], [4, 1]),
    ] {
        let (in_area, out_area) = (size[0] * size[1], out[0] * out[1]);
        let input = values(CHANNELS * in_area, 1);
        let weights = values(CHANNELS * 6, 2);
        let expected: Vec<f32> = (0..CHANNELS)
            .flat_map(|channel| {
                let plane = &input[channel * in_area..][..in_area];
                convolved(plane, size, &weights[channel * 6..][..6], window, out)
            })
            .collect();
        let conv = DepthwiseConv {
            input: FeatureMaps { data: &input, channels: CHANNELS, size },
            prologue: None,
            weights: &weights,
            window,
            direction: Direction::Forward,
            output_size: out,
            epilogue: None,
        };
        let mut output = vec![f32::NAN; CHANNELS * out_area];
        conv.run(&mut output, &ScopedThreads(2)).unwrap();
        assert_close(&expected, &output, "a convolution");
        let gradient = values(output.len(), 3);
        let back = DepthwiseConv {
            input: FeatureMaps { data: &gradient, channels: CHANNELS, size: out },
            direction: Direction::Transposed,
            output_size: size,
            ..conv
        };
        let mut transposed = vec![f32::NAN; input.len()];
        back.run(&mut transposed, &ScopedThreads(2)).unwrap();
        // ⟨conv(x), g⟩ = ⟨x, convᵀ(g)⟩.
        assert!((dot(&output, &gradient) - dot(&input, &transposed)).abs() < 1e-4);
        for block in NCHWC_BLOCKS {
            let [data, back_data] =
                [blocked(&input, in_area, block), blocked(&gradient, out_area, block)];
            let weights = blocked(&weights, 6, block);
            let runs = [
                (DepthwiseConv { weights: &weights, ..conv }, &data, &output, out_area),
                (DepthwiseConv { weights: &weights, ..back }, &back_data, &transposed, in_area),
            ];
            for (conv, data, expected, area) in runs {
                let input = FeatureMaps { data, ..conv.input };
                let mut found = vec![f32::NAN; expected.len()];
                let conv = DepthwiseConv { input, ..conv };
                conv.run_nchwc(block, &mut found, &ScopedThreads(2)).unwrap();
                assert_close(&blocked(expected, area, block), &found, "a blocked convolution");
            }
        }
    }
}

/// A prologue, an epilogue, broadcast inputs, and sums of channels.
#[test]
fn expressions_run_alone_and_around_a_convolution() {
    let step = |op, operands| Step { op, operands };
    let scale = Expression::new(2, vec![], vec![step(Op::Mul, [0, 1, 0])]).unwrap();
    let shape = [1, 2, 3, 5, 8];
    let (x, gate) = (values(240, 1), values(16, 2));
    let inputs =
        [Tensor { data: &x, shape: &shape }, Tensor { data: &gate, shape: &[1, 2, 1, 1, 8] }];
    let scaled = BoundExpression::new(&scale, None, &inputs, &shape).unwrap();
    let expected: Vec<f32> =
        (0..240).map(|index| x[index] * gate[index / 120 * 8 + index % 8]).collect();
    let mut output = vec![f32::NAN; 240];
    scaled.run(&mut output, &ScopedThreads(2)).unwrap();
    assert_eq!(output, expected);
    let mut sums = [f32::NAN; 16];
    scaled.channel_sums([15, 8], &mut sums, &ScopedThreads(2)).unwrap();
    for (index, sum) in sums.iter().enumerate() {
        let of_channel = expected[index / 8 * 120..][..120].iter().skip(index % 8).step_by(8);
        assert!((sum - of_channel.sum::<f32>()).abs() < 1e-5);
    }
    let threads: &dyn Executor = &ScopedThreads(2);
    let epilogue = BoundExpression::new(&scale, Some(0), &inputs[1..], &shape).unwrap();
    let conv = DepthwiseConv {
        input: FeatureMaps { data: &[], channels: 16, size: [3, 5] },
        prologue: Some(&scaled),
        weights: &[1.0; 16],
        window: Window { kernel: [1; 2], strides: [1; 2], dilations: [1; 2], pads: [0; 2] },
        direction: Direction::Forward,
        output_size: [3, 5],
        epilogue: Some(&epilogue),
    };
    conv.run_nchwc(8, &mut output, threads).unwrap();
    for (index, value) in output.iter().enumerate() {
        assert_eq!(*value, expected[index] * gate[index / 120 * 8 + index % 8]);
    }
}
