//! Benchmarks of every kernel: `cargo bench -p camlens-kernels`. Convolutions and products are
//! VGG16's layers; expressions and depthwise convolutions are those of small networks' backward
//! passes.
//!
//! Multiply-adds are counted as for direct convolution, so a convolution's rate may exceed the
//! processor's peak: Winograd's algorithm needs a quarter of them. Compare a product's byte rate
//! with the machine's memory bandwidth.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, BoundExpression, ChainOutput, ConvChain, ConvLayer, ConvWeights, DepthwiseConv,
    Direction, Expression, FeatureMaps, Matrix, Op, RunOptions, ScopedThreads, Serial, Step,
    Tensor, Window, gemv, gemv_transposed,
};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Input channels, output channels and map side of VGG16's convolutions. Max pooling follows where
/// the side halves.
const LAYERS: [(usize, usize, usize); 13] = [
    (3, 64, 224),
    (64, 64, 224),
    (64, 128, 112),
    (128, 128, 112),
    (128, 256, 56),
    (256, 256, 56),
    (256, 256, 56),
    (256, 512, 28),
    (512, 512, 28),
    (512, 512, 28),
    (512, 512, 14),
    (512, 512, 14),
    (512, 512, 14),
];

fn main() {
    divan::main();
}

/// Pseudo-random values between −1 and 1.
fn noise(index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn all_cores() -> ScopedThreads {
    ScopedThreads(std::thread::available_parallelism().map_or(1, Into::into))
}

/// A layer whose weights keep activations from vanishing or exploding.
fn conv_layer(layer: usize) -> ConvLayer {
    let (ins, outs, side) = LAYERS[layer];
    let scale = 2.0 * (2.0 / (9.0 * ins as f32)).sqrt();
    let weights: Vec<f32> = (0..ins * outs * 9).map(|index| scale * noise(index)).collect();
    let weights = ConvWeights::new(&weights, None, outs, ins).expect("weights of a valid shape");
    let max_pool = LAYERS.get(layer + 1).is_none_or(|&(_, _, next)| next < side);
    ConvLayer { weights: Arc::new(weights), relu: true, max_pool }
}

/// Times layers `first` to `last` as one chain.
fn bench_chain(bencher: Bencher<'_, '_>, [first, last]: [usize; 2], images: usize) {
    let chain = ConvChain::new((first..=last).map(conv_layer).collect()).expect("a valid chain");
    let (ins, _, side) = LAYERS[first];
    let data: Vec<f32> = (0..images * ins * side * side).map(noise).collect();
    let request = ChainOutput { layer: last - first, pooled: true };
    let shape = chain.output_shape(request, side, side).expect("the last layer");
    let mut output = vec![0.0; images * shape.iter().product::<usize>()];
    let multiply_adds = (LAYERS[first..=last].iter())
        .map(|&(ins, outs, side)| images * ins * outs * 9 * side * side)
        .sum::<usize>();
    let cancel = AtomicBool::new(false);
    bencher.counter(ItemsCount::new(multiply_adds)).bench_local(|| {
        let batch = Batch { data: &data, images, height: side, width: side };
        let options = RunOptions {
            cancel: &cancel,
            skip_zero_regions: false,
            equal_patches: false,
            settle_near_ties: None,
        };
        chain.run(black_box(batch), &mut [(request, &mut output)], &all_cores(), options)
    });
}

#[divan::bench(args = 0..LAYERS.len(), sample_count = 15)]
fn conv_chain_one_layer(bencher: Bencher<'_, '_>, layer: usize) {
    bench_chain(bencher, [layer, layer], 1);
}

#[divan::bench(args = [1, 8], sample_count = 15)]
fn conv_chain_all_layers(bencher: Bencher<'_, '_>, images: usize) {
    bench_chain(bencher, [0, LAYERS.len() - 1], images);
}

/// VGG16's first fully connected layer, `[inputs, outputs]`.
const FULLY_CONNECTED: (usize, usize) = (25088, 4096);

/// Times a product with that layer's matrix, of `images` inputs in which the fraction `density` of
/// channels is non-zero; VGG16's channels have 49 positions.
fn bench_gemv(bencher: Bencher<'_, '_>, images: usize, density: f32, transposed: bool) {
    let (ins, outs) = FULLY_CONNECTED;
    let bytes: Vec<u8> = (0..ins * outs).flat_map(|index| noise(index).to_ne_bytes()).collect();
    let is_nonzero = |index: usize| noise(index % ins / 49).abs() < density;
    let input: Vec<f32> =
        (0..images * ins).map(|index| if is_nonzero(index) { noise(index) } else { 0.0 }).collect();
    let mut output = vec![0.0; images * outs];
    let (rows, columns) = if transposed { (outs, ins) } else { (ins, outs) };
    let multiply = if transposed { gemv_transposed } else { gemv };
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let matrix = Matrix { bytes: &bytes, rows, columns };
        multiply(black_box(&input), matrix, None, &mut output, &all_cores())
    });
}

#[divan::bench(args = [(1, 1.0), (1, 0.5), (8, 1.0), (8, 0.5)], sample_count = 15)]
fn gemv_transposed_fully_connected(bencher: Bencher<'_, '_>, (images, density): (usize, f32)) {
    bench_gemv(bencher, images, density, true);
}

#[divan::bench(args = [(1, 1.0), (1, 0.5), (8, 1.0), (8, 0.5)], sample_count = 15)]
fn gemv_fully_connected(bencher: Bencher<'_, '_>, (images, density): (usize, f32)) {
    bench_gemv(bencher, images, density, false);
}

/// Times an expression of two maps of EfficientNet-B0's largest size and the constant 1, on one
/// thread.
fn bench_expression(bencher: Bencher<'_, '_>, steps: &[(Op, [usize; 3])]) {
    const SHAPE: [usize; 4] = [1, 96, 112, 112];
    let len = SHAPE.iter().product();
    let steps = steps.iter().map(|&(op, operands)| Step { op, operands }).collect();
    let expression = Expression::new(2, vec![1.0], steps).expect("a valid expression");
    let [a, b]: [Vec<f32>; 2] =
        [0, 1].map(|seed| (0..len).map(|index| noise(index + seed)).collect());
    let inputs = [Tensor { data: &a, shape: &SHAPE }, Tensor { data: &b, shape: &SHAPE }];
    let mut output = vec![0.0; len];
    bencher.counter(BytesCount::of_many::<f32>(3 * len)).bench_local(|| {
        let bound = BoundExpression::new(&expression, None, black_box(&inputs), &SHAPE)
            .expect("matching shapes");
        bound.run(&mut output, &Serial).expect("an output of the right length");
    });
}

/// `dy·[x > 0]`.
#[divan::bench(sample_count = 30)]
fn relu_gradient(bencher: Bencher<'_, '_>) {
    bench_expression(
        bencher,
        &[(Op::Sub, [2, 2, 0]), (Op::Greater, [0, 3, 0]), (Op::Mul, [4, 1, 0])],
    );
}

/// `dy·s + dy·x·s·(1 − s)` with `s = σ(x)`.
#[divan::bench(sample_count = 30)]
fn silu_gradient(bencher: Bencher<'_, '_>) {
    let steps = [
        (Op::Sigmoid, [0, 0, 0]),
        (Op::Mul, [1, 3, 0]),
        (Op::Mul, [1, 0, 0]),
        (Op::Sub, [2, 3, 0]),
        (Op::Mul, [3, 6, 0]),
        (Op::Mul, [5, 7, 0]),
        (Op::Add, [4, 8, 0]),
    ];
    bench_expression(bencher, &steps);
}

/// A transposed 5×5 convolution at EfficientNet-B0's 56×56 positions, with strides 1 and 2.
#[divan::bench(args = [1, 2], sample_count = 30)]
fn depthwise_transposed(bencher: Bencher<'_, '_>, stride: usize) {
    let (channels, side) = (144, 56);
    let window = Window { kernel: [5; 2], strides: [stride; 2], dilations: [1; 2], pads: [2; 2] };
    let (size, output_size) = ([side / stride; 2], [side; 2]);
    let input: Vec<f32> = (0..channels * size[0] * size[1]).map(noise).collect();
    let weights: Vec<f32> = (0..channels * 25).map(noise).collect();
    let mut output = vec![0.0; channels * side * side];
    bencher.counter(ItemsCount::new(input.len() * 25)).bench_local(|| {
        let maps = FeatureMaps { data: black_box(&input), channels, size };
        let (weights, direction) = (&weights[..], Direction::Transposed);
        let conv = DepthwiseConv {
            input: maps,
            prologue: None,
            weights,
            window,
            direction,
            output_size,
            epilogue: None,
        };
        conv.run(&mut output, &Serial).expect("matching lengths");
    });
}

/// The gradient of HardSwish as a backward pass contains it: steps on `x`, `dy` and the constants
/// 1/3, 1/2, −3 and 3.
const HARD_SWISH_GRADIENT: [(Op, [usize; 3]); 9] = [
    (Op::Mul, [0, 2, 0]),
    (Op::Add, [6, 3, 0]),
    (Op::Greater, [0, 4, 0]),
    (Op::Greater, [5, 0, 0]),
    (Op::And, [8, 9, 0]),
    (Op::Mul, [10, 7, 0]),
    (Op::GreaterOrEqual, [0, 5, 0]),
    (Op::Add, [11, 12, 0]),
    (Op::Mul, [1, 13, 0]),
];

/// One of MobileNet v3's convolutions in a backward pass, in NCHWc with blocks of 8 channels,
/// between two gradients of HardSwish: channels, side of the output, size of the filter, and
/// stride.
#[divan::bench(args = [(672, 14, 5, 1), (960, 7, 5, 1), (240, 28, 3, 2)], sample_count = 50)]
fn inverted_residual_gradient(
    bencher: Bencher<'_, '_>,
    (channels, side, kernel, stride): (usize, usize, usize, usize),
) {
    let pads = [kernel / 2; 2];
    let window = Window { kernel: [kernel; 2], strides: [stride; 2], dilations: [1; 2], pads };
    let (from, to) = (side / stride, side);
    let [[x, dy], [input_x, _]] = [to, from].map(|side| {
        [1, 2].map(|seed| {
            (0..channels * side * side).map(|i| 4.0 * noise(i + seed)).collect::<Vec<_>>()
        })
    });
    let dy = &dy[..channels * from * from];
    let weights: Vec<f32> = (0..channels * kernel * kernel).map(noise).collect();
    let steps: Vec<Step> =
        HARD_SWISH_GRADIENT.iter().map(|&(op, operands)| Step { op, operands }).collect();
    let gradient =
        Expression::new(2, vec![1.0 / 3.0, 0.5, -3.0, 3.0], steps).expect("a valid expression");
    let shape = |side: usize| [1, channels / 8, side, side, 8];
    let mut output = vec![0.0; x.len()];
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| {
        let (wide, narrow) = (shape(to), shape(from));
        let inputs = [&input_x, dy].map(|data| Tensor { data, shape: &narrow });
        let prologue =
            BoundExpression::new(&gradient, None, &inputs, &narrow).expect("matching shapes");
        let inputs = [Tensor { data: &x, shape: &wide }];
        let epilogue =
            BoundExpression::new(&gradient, Some(1), &inputs, &wide).expect("matching shapes");
        let conv = DepthwiseConv {
            input: FeatureMaps { data: &[], channels, size: [from; 2] },
            prologue: Some(&prologue),
            weights: &weights,
            window,
            direction: Direction::Transposed,
            output_size: [to; 2],
            epilogue: Some(&epilogue),
        };
        conv.run_nchwc(8, &mut output, &Serial).expect("matching lengths");
    });
}
