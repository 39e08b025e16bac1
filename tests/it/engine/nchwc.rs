//! The NCHWc layout: maps whose channels are stored in blocks, throughout small networks of
//! inverted residuals, with and without camlens's kernels.

use camlens::engine::{Model, PassRequest, Settings};
use ndarray::Array4;
use onnx_gradient::proto::AttributeProto;
use tempfile::TempDir;

use crate::net::{Net, int, ints};
use crate::support::{
    difference, load, logit_gradients, relative_difference, run, settings, write,
};

/// Largest difference of two gradients, relative to the largest value.
const TOLERANCE: f32 = 1e-5;

/// Weights that roughly preserve the scale of their input.
fn scaled(n: &mut Net, dims: &[i64]) -> String {
    let inputs: i64 = dims[1..].iter().product();
    let count = dims.iter().product::<i64>();
    let offset = n.initializers.len() as f32;
    let scale = (3.0 / inputs as f32).sqrt();
    let values: Vec<f32> =
        (0..count).map(|index| scale * (index as f32 * 1.37 + offset * 0.71).sin()).collect();
    n.float32s(dims, &values)
}

fn convolution(n: &mut Net, input: &str, dims: [i64; 4], others: Vec<AttributeProto>) -> String {
    let weights = scaled(n, &dims);
    let bias: Vec<f32> = (0..dims[0]).map(|index| (index as f32 * 0.9).sin() / 4.0).collect();
    let bias = n.floats(&bias);
    n.with("Conv", &[input, &weights, &bias], others)
}

#[derive(Clone, Copy)]
enum Activation {
    Relu,
    HardSwish,
    Silu,
    /// Its derivative has a division.
    Softsign,
}

fn activated(n: &mut Net, x: &str, activation: Activation) -> String {
    match activation {
        Activation::Relu => n.op("Relu", &[x]),
        Activation::HardSwish => n.op("HardSwish", &[x]),
        Activation::Softsign => n.op("Softsign", &[x]),
        Activation::Silu => {
            let gate = n.op("Sigmoid", &[x]);
            n.op("Mul", &[x, &gate])
        }
    }
}

struct Block {
    channels: [i64; 3],
    kernel: i64,
    stride: i64,
    dilation: i64,
    activation: Activation,
    squeezes: bool,
}

/// An inverted residual block, as in MobileNet and EfficientNet.
fn inverted(n: &mut Net, x: &str, block: &Block) -> String {
    let Block { channels: [before, wide, after], kernel, stride, dilation, activation, squeezes } =
        *block;
    let expanded = convolution(n, x, [wide, before, 1, 1], vec![]);
    let expanded = activated(n, &expanded, activation);
    let window = vec![
        int("group", wide),
        ints("strides", &[stride; 2]),
        ints("dilations", &[dilation; 2]),
        ints("pads", &[kernel / 2 * dilation; 4]),
    ];
    let filtered = convolution(n, &expanded, [wide, 1, kernel, kernel], window);
    let mut filtered = activated(n, &filtered, activation);
    if squeezes {
        let mean = n.op("GlobalAveragePool", &[&filtered]);
        let few = convolution(n, &mean, [6, wide, 1, 1], vec![]);
        let few = n.op("Relu", &[&few]);
        let gates = convolution(n, &few, [wide, 6, 1, 1], vec![]);
        let gates = n.op("HardSigmoid", &[&gates]);
        filtered = n.op("Mul", &[&gates, &filtered]);
    }
    let projected = convolution(n, &filtered, [after, wide, 1, 1], vec![]);
    if before == after && stride == 1 { n.op("Add", &[x, &projected]) } else { projected }
}

/// A strided convolution followed by these blocks. `pools` puts a max-pooling after the first
/// block, which stays in the ordinary layout.
fn network(blocks: &[Block], pools: bool) -> Net {
    let mut n = Net::default();
    let stem = [blocks[0].channels[0], 3, 3, 3];
    let window = vec![ints("strides", &[2, 2]), ints("pads", &[1; 4])];
    let mut x = convolution(&mut n, "x", stem, window);
    for (index, block) in blocks.iter().enumerate() {
        x = inverted(&mut n, &x, block);
        if index == 0 && pools {
            x = n.with(
                "MaxPool",
                &[&x],
                vec![ints("kernel_shape", &[2, 2]), ints("strides", &[1, 1])],
            );
        }
    }
    let mean = n.op("GlobalAveragePool", &[&x]);
    let flat = n.op("Flatten", &[&mean]);
    let head = scaled(&mut n, &[blocks[blocks.len() - 1].channels[2], 5]);
    let scores = n.op("MatMul", &[&flat, &head]);
    n.op("Identity", &[&scores]);
    n
}

/// The same model with and without camlens's kernels, and the folder of its weights.
fn load_both(net: Net) -> (TempDir, [Model; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let scores = net.nodes.last().unwrap().output[0].clone();
    let first = net.nodes[0].output[0].clone();
    let model = net.model([3, 37, 29], &[&scores], 18);
    write(folder.path(), &model, &format!("default_layer = \"{first}\"\n"));
    let models = [true, false]
        .map(|fast_kernels| load(folder.path(), &Settings { fast_kernels, ..settings() }).unwrap());
    (folder, models)
}

/// Compares the gradients, activations and scores of every layer. Returns how many convolutions of
/// the default layer's program use the blocked layout.
fn assert_same_gradients(net: Net) -> usize {
    let (_folder, [fast, plain]) = load_both(net);
    let images = Array4::from_shape_fn((2, 3, 37, 29), |(n, c, y, x)| {
        ((n * 31 + c * 17 + y * 5 + x * 3) as f32 * 0.37).sin()
    });
    for layer in plain.layers() {
        let run = |model: &Model| {
            let layer = model.layer(Some(&layer.name)).unwrap();
            let pass = logit_gradients(images.clone(), &[1, 4]);
            let output = run(model, layer, PassRequest { activation: true, ..pass });
            let mut arrays = output.gradients;
            arrays.push(output.activation.unwrap());
            (output.scores, arrays)
        };
        let ((fast_scores, found), (scores, expected)) = (run(&fast), run(&plain));
        assert!(difference(&fast_scores, &scores) < 1e-4);
        for (found, expected) in found.iter().zip(&expected) {
            let difference = relative_difference(found, expected);
            assert!(difference < TOLERANCE, "{}: {difference}", layer.name);
        }
    }
    fast.fusion_report().nchwc
}

/// ONNX Runtime stores channels in blocks on x86: of 16 with AVX-512, of 8 without.
const HAS_NCHWC: bool = cfg!(target_arch = "x86_64");

/// Blocks that are strided, dilated, or neither; with and without a residual connection,
/// squeeze-and-excitation, and a number of channels that fills the layout's blocks.
fn blocks(activation: Activation, wide: i64) -> [Block; 3] {
    let block = |channels, kernel, [stride, dilation]: [i64; 2], squeezes| Block {
        channels,
        kernel,
        stride,
        dilation,
        activation,
        squeezes,
    };
    [
        block([20, wide, 20], 3, [1, 1], false),
        block([20, wide, 24], 5, [2, 1], true),
        block([24, wide + 4, 24], 3, [1, 2], true),
    ]
}

#[test]
fn gradients_of_inverted_residuals_are_the_same_in_nchwc() {
    for (activation, wide) in [
        (Activation::Relu, 36),
        (Activation::HardSwish, 48),
        (Activation::HardSwish, 20),
        (Activation::Silu, 44),
    ] {
        let count = assert_same_gradients(network(&blocks(activation, wide), false));
        assert_eq!(count > 0, HAS_NCHWC);
    }
}

#[test]
fn an_operator_in_the_ordinary_layout_between_others_is_reordered() {
    let count = assert_same_gradients(network(&blocks(Activation::HardSwish, 32), true));
    assert_eq!(count > 0, HAS_NCHWC);
}

#[test]
fn padding_channels_of_an_incomplete_block_never_cause_nan() {
    for wide in [36, 44] {
        assert_same_gradients(network(&blocks(Activation::Softsign, wide), false));
    }
}
