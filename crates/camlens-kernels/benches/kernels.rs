//! How long the kernels take, one by one: `cargo bench -p camlens-kernels`. Convolutions and products are
//! VGG16's layers; expressions and depthwise convolutions, those of small networks on the way back.
//!
//! Multiply-adds are counted as the layer is written, so that a convolution's rate may
//! be above what the processor can do: Winograd's algorithm needs a quarter of them.
//! A product's rate of bytes is to be held against the machine's memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, Chain, Depthwise, Direction, Expression, Inline, Link, Maps, Matrix, Op, Scoped, Serial,
    Settings, Step, Tap, Tensor, Weights, Window, product, product_transposed,
};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Input channels, output channels and side of VGG16's convolutions; a pooling follows where the
/// side halves.
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

/// Numbers between −1 and 1.
fn noise(index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn threads() -> Scoped {
    Scoped(std::thread::available_parallelism().map_or(1, Into::into))
}

/// A layer with weights that neither let the maps die nor explode.
fn link(layer: usize) -> Link {
    let (ins, outs, side) = LAYERS[layer];
    let scale = 2.0 * (2.0 / (9.0 * ins as f32)).sqrt();
    let weights: Vec<f32> = (0..ins * outs * 9).map(|index| scale * noise(index)).collect();
    let weights = Weights::new(&weights, None, outs, ins).expect("a layer's weights");
    let pool = LAYERS.get(layer + 1).is_none_or(|&(_, _, next)| next < side);
    Link { weights: Arc::new(weights), relu: true, pool }
}

/// Times the layers from `first` to `last` as one chain.
fn chain(bencher: Bencher<'_, '_>, [first, last]: [usize; 2], images: usize) {
    let chain = Chain::new((first..=last).map(link).collect()).expect("a chain");
    let (ins, _, side) = LAYERS[first];
    let data: Vec<f32> = (0..images * ins * side * side).map(noise).collect();
    let tap = Tap { link: last - first, is_pooled: true };
    let mut output = vec![0.0; images * chain.shape(tap, side, side).iter().product::<usize>()];
    let multiply_adds = (LAYERS[first..=last].iter())
        .map(|&(ins, outs, side)| images * ins * outs * 9 * side * side)
        .sum::<usize>();
    let stop = AtomicBool::new(false);
    bencher.counter(ItemsCount::new(multiply_adds)).bench_local(|| {
        let batch = Batch { data: &data, images, height: side, width: side };
        let settings = Settings { stop: &stop, skip_rest: false };
        chain.run(black_box(batch), &mut [(tap, &mut output)], &threads(), settings)
    });
}

#[divan::bench(args = 0..LAYERS.len(), sample_count = 15)]
fn layer(bencher: Bencher<'_, '_>, layer: usize) {
    chain(bencher, [layer, layer], 1);
}

#[divan::bench(args = [1, 8], sample_count = 15)]
fn all_layers(bencher: Bencher<'_, '_>, images: usize) {
    chain(bencher, [0, LAYERS.len() - 1], images);
}

/// VGG16's first fully connected layer, `[inputs, outputs]`.
const CONNECTED: (usize, usize) = (25088, 4096);

/// Times a product with that layer's matrix, of `images` inputs of which the part `density` of all
/// channels is not zero; VGG16's channels have 49 places.
fn connected(bencher: Bencher<'_, '_>, images: usize, density: f32, transposed: bool) {
    let (ins, outs) = CONNECTED;
    let bytes: Vec<u8> = (0..ins * outs).flat_map(|index| noise(index).to_ne_bytes()).collect();
    let is_live = |index: usize| noise(index % ins / 49).abs() < density;
    let input: Vec<f32> =
        (0..images * ins).map(|index| if is_live(index) { noise(index) } else { 0.0 }).collect();
    let mut output = vec![0.0; images * outs];
    let (rows, columns) = if transposed { (outs, ins) } else { (ins, outs) };
    let multiply = if transposed { product_transposed } else { product };
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let matrix = Matrix { bytes: &bytes, rows, columns };
        multiply(black_box(&input), matrix, None, &mut output, &threads());
    });
}

#[divan::bench(args = [(1, 1.0), (1, 0.5), (8, 1.0), (8, 0.5)], sample_count = 15)]
fn connected_by_outputs(bencher: Bencher<'_, '_>, (images, density): (usize, f32)) {
    connected(bencher, images, density, true);
}

#[divan::bench(args = [(1, 1.0), (1, 0.5), (8, 1.0), (8, 0.5)], sample_count = 15)]
fn connected_by_inputs(bencher: Bencher<'_, '_>, (images, density): (usize, f32)) {
    connected(bencher, images, density, false);
}

/// Times an expression of two maps as large as EfficientNet-B0's largest, and the constant 1, on
/// one thread.
fn expression(bencher: Bencher<'_, '_>, steps: &[(Op, [usize; 3])]) {
    const SHAPE: [usize; 4] = [1, 96, 112, 112];
    let len = SHAPE.iter().product();
    let steps = steps.iter().map(|&(op, operands)| Step { op, operands }).collect();
    let expression = Expression::new(2, vec![1.0], steps).expect("an expression");
    let [a, b]: [Vec<f32>; 2] =
        [0, 1].map(|seed| (0..len).map(|index| noise(index + seed)).collect());
    let inputs = [Tensor { data: &a, shape: &SHAPE }, Tensor { data: &b, shape: &SHAPE }];
    let mut output = vec![0.0; len];
    bencher.counter(BytesCount::of_many::<f32>(3 * len)).bench_local(|| {
        let inline =
            Inline::new(&expression, None, black_box(&inputs), &SHAPE).expect("shapes that fit");
        inline.run(&mut output, &Serial).expect("an output that fits");
    });
}

/// `dy·[x > 0]`.
#[divan::bench(sample_count = 30)]
fn relu_back(bencher: Bencher<'_, '_>) {
    expression(bencher, &[(Op::Sub, [2, 2, 0]), (Op::Greater, [0, 3, 0]), (Op::Mul, [4, 1, 0])]);
}

/// `dy·s + dy·x·s·(1 − s)` with `s = σ(x)`.
#[divan::bench(sample_count = 30)]
fn silu_back(bencher: Bencher<'_, '_>) {
    let steps = [
        (Op::Sigmoid, [0, 0, 0]),
        (Op::Mul, [1, 3, 0]),
        (Op::Mul, [1, 0, 0]),
        (Op::Sub, [2, 3, 0]),
        (Op::Mul, [3, 6, 0]),
        (Op::Mul, [5, 7, 0]),
        (Op::Add, [4, 8, 0]),
    ];
    expression(bencher, &steps);
}

/// 5×5 at EfficientNet-B0's 56 places: stride 1 and, on the way back, 2.
#[divan::bench(args = [1, 2], sample_count = 30)]
fn depthwise_back(bencher: Bencher<'_, '_>, stride: usize) {
    let (channels, side) = (144, 56);
    let window = Window { kernel: [5; 2], strides: [stride; 2], dilations: [1; 2], pads: [2; 2] };
    let (size, made) = ([side / stride; 2], [side; 2]);
    let input: Vec<f32> = (0..channels * size[0] * size[1]).map(noise).collect();
    let weights: Vec<f32> = (0..channels * 25).map(noise).collect();
    let mut output = vec![0.0; channels * side * side];
    bencher.counter(ItemsCount::new(input.len() * 25)).bench_local(|| {
        let maps = Maps { data: black_box(&input), channels, size };
        let (weights, direction) = (&weights[..], Direction::Back);
        let job = Depthwise {
            input: maps,
            before: None,
            weights,
            window,
            direction,
            size: made,
            after: None,
        };
        job.run(&mut output, &Serial).expect("it fits");
    });
}

/// `dy` times the slope of HardSwish at `x`, as a backward pass writes it: steps on `x`, `dy` and
/// the constants 1/3, 1/2, −3 and 3.
const HARD_SWISH_BACK: [(Op, [usize; 3]); 9] = [
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

/// One of MobileNet v3's convolutions on the way back in blocks of 8 channels, between two slopes
/// of HardSwish: channels, side of the result, size of the filter, and stride.
#[divan::bench(args = [(672, 14, 5, 1), (960, 7, 5, 1), (240, 28, 3, 2)], sample_count = 50)]
fn inverted_residual_back(
    bencher: Bencher<'_, '_>,
    (channels, side, kernel, stride): (usize, usize, usize, usize),
) {
    let pads = [kernel / 2; 2];
    let window = Window { kernel: [kernel; 2], strides: [stride; 2], dilations: [1; 2], pads };
    let (from, to) = (side / stride, side);
    let [[x, dy], [before_x, _]] = [to, from].map(|side| {
        [1, 2].map(|seed| {
            (0..channels * side * side).map(|i| 4.0 * noise(i + seed)).collect::<Vec<_>>()
        })
    });
    let dy = &dy[..channels * from * from];
    let weights: Vec<f32> = (0..channels * kernel * kernel).map(noise).collect();
    let steps: Vec<Step> =
        HARD_SWISH_BACK.iter().map(|&(op, operands)| Step { op, operands }).collect();
    let slope = Expression::new(2, vec![1.0 / 3.0, 0.5, -3.0, 3.0], steps).expect("an expression");
    let shape = |side: usize| [1, channels / 8, side, side, 8];
    let mut output = vec![0.0; x.len()];
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| {
        let (wide, narrow) = (shape(to), shape(from));
        let inputs = [&before_x, dy].map(|data| Tensor { data, shape: &narrow });
        let before = Inline::new(&slope, None, &inputs, &narrow).expect("shapes that fit");
        let inputs = [Tensor { data: &x, shape: &wide }];
        let after = Inline::new(&slope, Some(1), &inputs, &wide).expect("shapes that fit");
        let job = Depthwise {
            input: Maps { data: &[], channels, size: [from; 2] },
            before: Some(&before),
            weights: &weights,
            window,
            direction: Direction::Back,
            size: [to; 2],
            after: Some(&after),
        };
        job.run_in_blocks(8, &mut output, &Serial).expect("it fits");
    });
}
