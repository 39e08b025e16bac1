//! Every gradient rule against finite differences.
//!
//! A case is a small network from a layer `[N, 3, H, W]` to a tensor with the batch in front. Its
//! score is a sum of all numbers with weights that look like nothing. camlens differentiates it,
//! and so do we: every number of the layer is moved a little up and down, and the model run on
//! each.

mod attention;
mod fused;
mod integers;

use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest, Settings};
use camlens::graph::explain_graph::GradientOf;
use camlens::model::ModelFolder;
use ndarray::{Array4, Axis};
use onnx_gradient::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use onnx_gradient::vjp;
use prost::Message;

use crate::net::{Net, int, ints};
use crate::support::{relative_difference, settings};

const HEIGHT: usize = 6;
const WIDTH: usize = 5;
/// How far a number is moved. No kink lies nearer to any number than this.
const STEP: f32 = 4e-3;
/// Largest difference, as a part of the largest derivative: 32-bit differences are no better.
const TOLERANCE: f32 = 5e-3;
/// The same of two gradients that differ by rounding alone.
const SAME: f32 = 1e-5;

/// The network as a model: `x` is the layer itself, times one.
fn model(build: impl FnOnce(&mut Net) -> String) -> ModelProto {
    let mut net = Net::default();
    let one = net.float(1.0);
    net.nodes.push(NodeProto::new("Mul", &["x", &one], &["layer"]));
    let y = build(&mut net);
    let rows = net.ints(&[0, -1]);
    let flat = net.op("Reshape", &[&y, &rows]);
    let shape = net.op("Shape", &[&flat]);
    let (axis, start, step) = (net.int(1), net.int(0), net.int(1));
    let size = net.op("Gather", &[&shape, &axis]);
    let count = net.op("Range", &[&start, &size, &step]);
    let count = net.with("Cast", &[&count], vec![int("to", 1)]);
    let (stretch, shift) = (net.float(1.7), net.float(0.3));
    let angle = net.op("Mul", &[&count, &stretch]);
    let angle = net.op("Add", &[&angle, &shift]);
    let weights = net.op("Sin", &[&angle]);
    let weighted = net.op("Mul", &[&flat, &weights]);
    let axes = net.ints(&[1]);
    let score = net.op("ReduceSum", &[&weighted, &axes]);
    let other = net.op("Neg", &[&score]);
    net.nodes.push(NodeProto::new("Concat", &[&score, &other], &["scores"]).with(int("axis", 1)));

    // Operators that are younger than the opset of all other cases.
    let youngest = |node: &NodeProto| match node.op() {
        "SpaceToDepth" if node.attribute("mode").is_some() => 28,
        "Swish" => 24,
        "RMSNormalization" => 23,
        "Attention" if node.is_standard() => 23,
        _ => 20,
    };
    let opset = net.nodes.iter().map(youngest).max().unwrap_or(20);
    // All numbers are an output, too: what is rewritten at load is held against the file number by
    // number.
    net.model([3, HEIGHT, WIDTH], &["scores", &flat], opset)
}

/// Distinct numbers on a grid much coarser than a step, none near a kink at 0, ±1, ±3 or 6.
fn image(low: f32, high: f32) -> Array4<f32> {
    let count = 3 * HEIGHT * WIDTH;
    let values = (0..count).map(|index| {
        let shuffled = (index * 37) % count;
        low + (high - low) * (shuffled as f32 + 0.37) / count as f32
    });
    Array4::from_shape_vec((1, 3, HEIGHT, WIDTH), values.collect())
        .expect("as many numbers as places")
}

/// The model of a network, whose layer is the default one.
fn load(case: &str, build: impl FnOnce(&mut Net) -> String) -> Model {
    load_with(case, &settings(), build)
}

fn load_with(case: &str, settings: &Settings, build: impl FnOnce(&mut Net) -> String) -> Model {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("case.onnx"), model(build).encode_to_vec())
        .expect("the model");
    let manifest = "file = \"case.onnx\"\ndefault_layer = \"probe\"\n[layers]\nprobe = \"layer\"\n[output]\nname = \"scores\"\n";
    std::fs::write(folder.path().join("model.toml"), manifest).expect("a manifest");
    ModelRegistry::load_one(ModelFolder::read(folder.path()).expect("the folder"), settings)
        .unwrap_or_else(|error| panic!("{case}: {error:?}"))
}

/// camlens's gradient of the score for this layer.
fn differentiate(case: &str, model: &Model, x: Array4<f32>) -> Array4<f32> {
    assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None, "{case}");
    let pass = PassRequest {
        targets: vec![0],
        gradient_of: GradientOf::Logit,
        activation: true,
        ..PassRequest::new(x)
    };
    model
        .run(model.default_layer(), pass, &CancellationToken::default())
        .expect("a pass")
        .gradients
        .remove(0)
}

fn gradient_of(x: Array4<f32>, build: impl FnOnce(&mut Net) -> String) -> Array4<f32> {
    differentiate("one", &load("one", build), x)
}

fn check(case: &str, low: f32, high: f32, build: fn(&mut Net) -> String) {
    let model = load(case, build);
    let x = image(low, high);
    let found = differentiate(case, &model, x.clone());

    // What camlens's own kernels compute of it, the runtime computes alike.
    let plain = load_with(case, &Settings { fast_kernels: false, ..settings() }, build);
    let plain = differentiate(case, &plain, x.clone());
    let off = relative_difference(&found.clone().into_dyn(), &plain.into_dyn());
    assert!(off <= SAME, "{case}: the kernels' gradient is {off} from the runtime's");

    let count = x.len();
    let moved = |by: f32| {
        let mut batch = x.broadcast((count, 3, HEIGHT, WIDTH)).expect("one image").to_owned();
        for (index, mut image) in batch.outer_iter_mut().enumerate() {
            image.as_slice_mut().expect("contiguous")[index] += by;
        }
        // Models that take no batches are run image by image.
        let size = if model.batch() > 1 { count } else { 1 };
        let mut scores = Vec::with_capacity(count);
        for chunk in batch.axis_chunks_iter(Axis(0), size) {
            let outcome =
                model.forward(chunk.to_owned(), &CancellationToken::default()).expect("a pass");
            scores.extend(outcome.scores.column(0).iter().copied());
        }
        scores
    };
    let expected: Vec<f32> =
        moved(STEP).iter().zip(moved(-STEP)).map(|(up, down)| (up - down) / (2.0 * STEP)).collect();
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 1e-3, "{case}: the score does not depend on the layer");
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs() / largest;
        assert!(
            difference <= TOLERANCE,
            "{case}, place {place}: {found}, by differences {expected}"
        );
    }
}

/// The first image, times one, and two columns of it: `places` fix the batch, so it is run one by
/// one.
fn one_image(n: &mut Net, places: &str) -> (String, String) {
    let updates = n.with("GatherElements", &["layer", places], vec![int("axis", 3)]);
    (n.op("Identity", &["layer"]), updates)
}

/// An operator with a network that exercises it: range of the input, then the network.
type Case = (&'static str, f32, f32, fn(&mut Net) -> String);

fn all_agree(cases: &[Case]) {
    let failed = |&&(case, low, high, build): &&Case| {
        std::panic::catch_unwind(|| check(case, low, high, build)).is_err()
    };
    let failed: Vec<_> = cases.iter().filter(failed).map(|(case, ..)| *case).collect();
    assert!(failed.is_empty(), "these say above what is wrong: {failed:?}");
}

/// Each rule with the networks that exercise it.
const CASES: &[Case] = &[
    ("Abs", -2.0, 2.0, |n| n.op("Abs", &["layer"])),
    ("Celu", -2.0, 2.0, |n| n.with("Celu", &["layer"], vec![AttributeProto::float("alpha", 0.7)])),
    ("Clip", -2.0, 8.0, |n| {
        let (low, high) = (n.float(0.0), n.float(6.0));
        n.op("Clip", &["layer", &low, &high])
    }),
    ("Clip", -2.0, 2.0, |n| {
        let high = n.float(1.0);
        n.op("Clip", &["layer", "", &high])
    }),
    ("Acos", -0.9, 0.9, |n| n.op("Acos", &["layer"])),
    ("Acosh", 1.2, 3.0, |n| n.op("Acosh", &["layer"])),
    ("Asin", -0.9, 0.9, |n| n.op("Asin", &["layer"])),
    ("Asinh", -2.0, 2.0, |n| n.op("Asinh", &["layer"])),
    ("Atan", -2.0, 2.0, |n| n.op("Atan", &["layer"])),
    ("Atanh", -0.9, 0.9, |n| n.op("Atanh", &["layer"])),
    ("Cos", -2.0, 2.0, |n| n.op("Cos", &["layer"])),
    ("Cosh", -2.0, 2.0, |n| n.op("Cosh", &["layer"])),
    ("Elu", -2.0, 2.0, |n| n.with("Elu", &["layer"], vec![AttributeProto::float("alpha", 1.3)])),
    ("Erf", -2.0, 2.0, |n| n.op("Erf", &["layer"])),
    ("Exp", -2.0, 1.0, |n| n.op("Exp", &["layer"])),
    ("Gelu", -3.0, 3.0, |n| n.op("Gelu", &["layer"])),
    ("Gelu", -3.0, 3.0, |n| {
        n.with("Gelu", &["layer"], vec![AttributeProto::string("approximate", "tanh")])
    }),
    ("HardSigmoid", -4.0, 4.0, |n| n.op("HardSigmoid", &["layer"])),
    ("HardSwish", -5.0, 5.0, |n| n.op("HardSwish", &["layer"])),
    ("LeakyRelu", -2.0, 2.0, |n| {
        n.with("LeakyRelu", &["layer"], vec![AttributeProto::float("alpha", 0.2)])
    }),
    ("Log", 0.5, 3.0, |n| n.op("Log", &["layer"])),
    ("Mish", -3.0, 3.0, |n| n.op("Mish", &["layer"])),
    ("Neg", -2.0, 2.0, |n| n.op("Neg", &["layer"])),
    ("PRelu", -2.0, 2.0, |n| {
        let slope = n.weights(&[3, 1, 1]);
        n.op("PRelu", &["layer", &slope])
    }),
    ("Reciprocal", 0.5, 3.0, |n| n.op("Reciprocal", &["layer"])),
    ("Relu", -2.0, 2.0, |n| n.op("Relu", &["layer"])),
    ("Selu", -2.0, 2.0, |n| n.op("Selu", &["layer"])),
    ("Sigmoid", -3.0, 3.0, |n| n.op("Sigmoid", &["layer"])),
    ("Shrink", -2.0, 2.0, |n| {
        n.with(
            "Shrink",
            &["layer"],
            vec![AttributeProto::float("lambd", 0.7), AttributeProto::float("bias", 0.2)],
        )
    }),
    ("Sin", -2.0, 2.0, |n| n.op("Sin", &["layer"])),
    ("Sinh", -2.0, 2.0, |n| n.op("Sinh", &["layer"])),
    ("Swish", -3.0, 3.0, |n| {
        n.with("Swish", &["layer"], vec![AttributeProto::float("alpha", 1.3)])
    }),
    ("Softplus", -3.0, 3.0, |n| n.op("Softplus", &["layer"])),
    ("Softsign", -3.0, 3.0, |n| n.op("Softsign", &["layer"])),
    ("Sqrt", 0.5, 3.0, |n| n.op("Sqrt", &["layer"])),
    ("Tan", -1.2, 1.2, |n| n.op("Tan", &["layer"])),
    ("Tanh", -2.0, 2.0, |n| n.op("Tanh", &["layer"])),
    ("ThresholdedRelu", -2.0, 2.0, |n| n.op("ThresholdedRelu", &["layer"])),
    ("Add", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Add", &["layer", &mean])
    }),
    ("Sub", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Sub", &[&mean, "layer"])
    }),
    ("Mod", 0.75, 1.35, |n| {
        // Between one and two times the divisor; at its multiples there is a cliff.
        let divisor = n.float(0.7);
        let rest = n.with("Mod", &["layer", &divisor], vec![int("fmod", 1)]);
        n.op("Mul", &[&rest, &rest])
    }),
    ("Mul", -2.0, 2.0, |n| {
        // Squeeze and excite: the gate is broadcast over the places.
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Mul", &["layer", &mean])
    }),
    ("Mul", -2.0, 2.0, |n| n.op("Mul", &["layer", "layer"])),
    ("Div", 1.0, 3.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Div", &["layer", &mean])
    }),
    ("Pow", 0.5, 2.0, |n| {
        let exponent = n.float(2.5);
        n.op("Pow", &["layer", &exponent])
    }),
    ("Pow", 0.5, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Pow", &["layer", &mean])
    }),
    ("Pow", -2.0, 2.0, |n| {
        // 0⁰ of what a ReLU shuts: 0 times infinity, on the way back.
        let (positive, exponents) =
            (n.op("Relu", &["layer"]), n.constant(&[3, 1, 1], &[0.0, 1.0, 2.0]));
        n.op("Pow", &[&positive, &exponents])
    }),
    ("Pow", 0.5, 2.0, |n| {
        let bases = n.constant(&[3, 1, 1], &[0.0, 0.5, 2.0]);
        n.op("Pow", &[&bases, "layer"])
    }),
    ("Sum", -2.0, 2.0, |n| {
        let bias = n.weights(&[3, 1, 1]);
        n.op("Sum", &["layer", &bias, "layer"])
    }),
    ("Mean", -2.0, 2.0, |n| {
        let bias = n.weights(&[3, 1, 1]);
        n.op("Mean", &["layer", &bias, "layer"])
    }),
    ("Max", -2.0, 2.0, |n| {
        let bound = n.weights(&[3, 1, 1]);
        n.op("Max", &["layer", &bound])
    }),
    ("Min", -2.0, 2.0, |n| {
        let bound = n.weights(&[3, 1, 1]);
        n.op("Min", &[&bound, "layer"])
    }),
    ("Max", -2.0, 2.0, |n| {
        let (bound, other) = (n.weights(&[3, 1, 1]), n.weights(&[5]));
        n.op("Max", &["layer", &bound, &other])
    }),
    ("Where", -2.0, 2.0, |n| {
        let (bound, other) = (n.weights(&[3, 1, 1]), n.weights(&[1]));
        let doubled = n.op("Add", &["layer", "layer"]);
        let chosen = n.op("Greater", &["layer", &bound]);
        let first = n.op("Where", &[&chosen, &doubled, &other]);
        let second = n.op("Where", &[&chosen, &other, &doubled]);
        let half = n.float(0.3);
        let second = n.op("Mul", &[&second, &half]);
        n.op("Add", &[&first, &second])
    }),
    ("Conv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[4, 3, 3, 3]), n.weights(&[4]));
        n.with("Conv", &["layer", &weight, &bias], vec![ints("pads", &[1, 1, 1, 1])])
    }),
    ("Conv", -1.0, 1.0, |n| {
        // Stride, dilation, lopsided padding, a kernel that is not square.
        let weight = n.weights(&[4, 3, 2, 3]);
        let window =
            vec![ints("strides", &[2, 1]), ints("dilations", &[1, 2]), ints("pads", &[1, 2, 0, 1])];
        n.with("Conv", &["layer", &weight], window)
    }),
    ("Conv", -1.0, 1.0, |n| {
        // Depthwise, SAME_UPPER, stride 2.
        let weight = n.weights(&[3, 1, 3, 3]);
        let same = AttributeProto::string("auto_pad", "SAME_UPPER");
        n.with("Conv", &["layer", &weight], vec![int("group", 3), ints("strides", &[2, 2]), same])
    }),
    ("Conv", -1.0, 1.0, |n| {
        // Depthwise, dilated, stride 1, lopsided.
        let weight = n.weights(&[3, 1, 2, 3]);
        let window = vec![int("group", 3), ints("dilations", &[2, 1]), ints("pads", &[1, 2, 0, 1])];
        n.with("Conv", &["layer", &weight], window)
    }),
    ("Conv", -1.0, 1.0, between_activations),
    ("Conv", -1.0, 1.0, behind_a_pooling),
    ("Conv", -1.0, 1.0, |n| {
        // Groups of several channels, stride 1, the last rows and columns out of every window's
        // reach.
        let up = n.weights(&[6, 3, 1, 1]);
        let wide = n.with("Conv", &["layer", &up], vec![]);
        let weight = n.weights(&[4, 3, 3, 1]);
        n.with("Conv", &[&wide, &weight], vec![int("group", 2), ints("pads", &[0, 1, 2, 0])])
    }),
    ("Conv", -1.0, 1.0, |n| {
        let weight = n.weights(&[2, 3, 2, 2]);
        n.with("Conv", &["layer", &weight], vec![ints("strides", &[3, 3])])
    }),
    ("Conv", -1.0, 1.0, |n| {
        // Weights and bias made of the layer; the last column lies behind every window.
        let [kernel, vector] = made_weights(n, [&[3, 3, 2, 2], &[3]]);
        let window =
            vec![ints("strides", &[1, 2]), ints("dilations", &[2, 1]), ints("pads", &[1, 0, 0, 0])];
        n.with("Conv", &["layer", &kernel, &vector], window)
    }),
    ("Conv", -1.0, 1.0, |n| {
        // Weights of two groups made of the layer, for several images, with padding all around.
        let maps = n.ints(&[5, 6, 3, 1]);
        let images = n.op("Reshape", &["layer", &maps]);
        let [kernel, _] = made_weights(n, [&[4, 3, 1, 1], &[3]]);
        let spread = n.ints(&[4, 3, 3, 1]);
        let kernel = n.op("Expand", &[&kernel, &spread]);
        let maps =
            n.with("Conv", &[&images, &kernel], vec![int("group", 2), ints("pads", &[1, 0, 1, 0])]);
        let row = n.ints(&[1, -1]);
        n.op("Reshape", &[&maps, &row])
    }),
    ("ConvTranspose", -1.0, 1.0, |n| {
        let weight = n.weights(&[3, 2, 3, 3]);
        let window = vec![
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
            ints("output_padding", &[1, 0]),
        ];
        n.with("ConvTranspose", &["layer", &weight], window)
    }),
    ("ConvTranspose", -1.0, 1.0, |n| {
        // Weights and bias made of the layer.
        let [kernel, vector] = made_weights(n, [&[3, 1, 3, 2], &[3]]);
        let window = vec![int("group", 3), ints("strides", &[2, 1]), ints("pads", &[1, 0, 0, 1])];
        n.with("ConvTranspose", &["layer", &kernel, &vector], window)
    }),
    ("Concat", -2.0, 2.0, |n| {
        let doubled = n.op("Mul", &["layer", "layer"]);
        n.with("Concat", &["layer", &doubled, "layer"], vec![int("axis", -3)])
    }),
    ("Concat", -2.0, 2.0, |n| {
        // Along the first axis, which is the batch: here of the same images twice, taken apart
        // again.
        let doubled = n.op("Mul", &["layer", "layer"]);
        let both = n.with("Concat", &["layer", &doubled], vec![int("axis", 0)]);
        let shape = n.ints(&[2, -1, 3, HEIGHT as i64, WIDTH as i64]);
        let both = n.op("Reshape", &[&both, &shape]);
        n.with("Transpose", &[&both], vec![ints("perm", &[1, 0, 2, 3, 4])])
    }),
    ("CumSum", -2.0, 2.0, |n| {
        let axis = n.int(2);
        let once = n.op("CumSum", &["layer", &axis]);
        let axis = n.int(-1);
        n.with("CumSum", &[&once, &axis], vec![int("exclusive", 1), int("reverse", 1)])
    }),
    ("Gather", -2.0, 2.0, |n| {
        // One place: from the front and from behind, as a number and as a vector of one.
        let (first, last, axes) = (n.ints(&[1]), n.int(-2), n.ints(&[3]));
        let row = n.with("Gather", &["layer", &first], vec![int("axis", 2)]);
        let column = n.with("Gather", &["layer", &last], vec![int("axis", -1)]);
        let column = n.op("Unsqueeze", &[&column, &axes]);
        n.op("Mul", &[&row, &column])
    }),
    ("Gather", -2.0, 2.0, |n| {
        // Along an axis before the batch, as q, k and v are taken apart.
        let shape = n.ints(&[0, 3, 1, -1]);
        let rows = n.op("Reshape", &["layer", &shape]);
        let turned = n.with("Transpose", &[&rows], vec![ints("perm", &[1, 0, 2, 3])]);
        let (first, last) = (n.int(0), n.int(2));
        let a = n.op("Gather", &[&turned, &first]);
        let b = n.op("Gather", &[&turned, &last]);
        n.op("Mul", &[&a, &b])
    }),
    ("Gather", -2.0, 2.0, |n| {
        let places = n.ints(&[2, 0, 2]);
        n.with("Gather", &["layer", &places], vec![int("axis", 1)])
    }),
    ("GatherElements", -2.0, 2.0, |n| {
        let rows = n.with("Flatten", &["layer"], vec![int("axis", 1)]);
        let shape = n.op("Shape", &[&rows]);
        let first = n.int(0);
        let count = n.op("Gather", &[&shape, &first]);
        let places = n.ints(&[5, 7, 5]);
        let axes = n.ints(&[0]);
        let places = n.op("Unsqueeze", &[&places, &axes]);
        let width = n.ints(&[3]);
        let count = n.op("Unsqueeze", &[&count, &axes]);
        let wanted = n.with("Concat", &[&count, &width], vec![int("axis", 0)]);
        let places = n.op("Expand", &[&places, &wanted]);
        n.with("GatherElements", &[&rows, &places], vec![int("axis", 1)])
    }),
    ("GatherND", -2.0, 2.0, |n| {
        // Rows and columns of every channel of every image, with the channels counted as batch.
        let order = ints("perm", &[2, 3, 0, 1]);
        let places_first = n.with("Transpose", &["layer"], vec![order]);
        let flat = n.ints(&[1, 2, 3, 3, 5, 0, 1, 2]);
        let pairs = n.ints(&[4, 2]);
        let places = n.op("Reshape", &[&flat, &pairs]);
        let picked = n.op("GatherND", &[&places_first, &places]);
        n.with("Transpose", &[&picked], vec![ints("perm", &[1, 2, 0])])
    }),
    ("Pad", -2.0, 2.0, |n| {
        let pads = n.ints(&[0, 0, 1, 2, 0, 0, 0, 1]);
        n.op("Pad", &["layer", &pads])
    }),
    ("Pad", -2.0, 2.0, |n| {
        let pads = n.ints(&[0, 0, 1, 2, 0, 0, 3, 1]);
        n.with("Pad", &["layer", &pads], vec![AttributeProto::string("mode", "reflect")])
    }),
    ("Pad", -2.0, 2.0, |n| {
        // Pads that the graph computes from a shape; one side is cut.
        let shape = n.op("Shape", &["layer"]);
        let three = n.ints(&[3]);
        let width = n.op("Gather", &[&shape, &three]);
        let two = n.ints(&[2]);
        let less = n.op("Sub", &[&two, &width]);
        let (pads, axes) = (n.with("Concat", &[&two, &less], vec![int("axis", 0)]), n.ints(&[-2]));
        n.op("Pad", &["layer", &pads, "", &axes])
    }),
    ("ScatterElements", -2.0, 2.0, |n| {
        let flat = n.ints(&[0, 2]);
        let shape = n.ints(&[1, 3, HEIGHT as i64, 2]);
        let places = n.op("Expand", &[&flat, &shape]);
        let (rows, updates) = one_image(n, &places);
        let data = n.op("Mul", &[&rows, &rows]);
        n.with("ScatterElements", &[&data, &places, &updates], vec![int("axis", 3)])
    }),
    ("ScatterElements", -2.0, 2.0, |n| {
        let flat = n.ints(&[1, 1]);
        let shape = n.ints(&[1, 3, HEIGHT as i64, 2]);
        let places = n.op("Expand", &[&flat, &shape]);
        let (rows, updates) = one_image(n, &places);
        let data = n.op("Mul", &[&rows, &rows]);
        let add = AttributeProto::string("reduction", "add");
        n.with("ScatterElements", &[&data, &places, &updates], vec![int("axis", 3), add])
    }),
    ("ScatterND", -2.0, 2.0, |n| {
        // Two columns of every row of every channel of one image take what two other columns hold.
        let order = ints("perm", &[3, 0, 1, 2]);
        let columns = n.with("Transpose", &["layer"], vec![order]);
        let (flat, shape) = (n.ints(&[4, 1]), n.ints(&[2, 1]));
        let places = n.op("Reshape", &[&flat, &shape]);
        let two = n.ints(&[0, 3]);
        let updates = n.op("Gather", &[&columns, &two]);
        let data = n.op("Mul", &[&columns, &columns]);
        let scattered = n.op("ScatterND", &[&data, &places, &updates]);
        n.with("Transpose", &[&scattered], vec![ints("perm", &[1, 2, 3, 0])])
    }),
    ("Slice", -2.0, 2.0, |n| {
        // All images, and some columns: the first axis is named though nothing of it is cut.
        let (from, to) = (n.ints(&[0, 2]), n.ints(&[i64::MAX, 4]));
        let (axes, steps) = (n.ints(&[0, 3]), n.ints(&[1, 1]));
        n.op("Slice", &["layer", &from, &to, &axes, &steps])
    }),
    ("TopK", -2.0, 2.0, |n| {
        let count = n.ints(&[2]);
        n.nodes.push(
            NodeProto::new("TopK", &["layer", &count], &["largest", "places"]).with(int("axis", 2)),
        );
        n.op("Mul", &["largest", "largest"])
    }),
    ("Trilu", -2.0, 2.0, |n| {
        let diagonal = n.int(-1);
        n.with("Trilu", &["layer", &diagonal], vec![int("upper", 0)])
    }),
    ("Slice", -2.0, 2.0, |n| {
        let (from, to, axes) = (n.ints(&[1, -4]), n.ints(&[i64::MAX, -1]), n.ints(&[2, 3]));
        n.op("Slice", &["layer", &from, &to, &axes])
    }),
    ("Slice", -2.0, 2.0, |n| {
        // Every second column, from behind.
        let (from, to, axes, step) =
            (n.ints(&[-1]), n.ints(&[i64::MIN]), n.ints(&[3]), n.ints(&[-2]));
        n.op("Slice", &["layer", &from, &to, &axes, &step])
    }),
    ("Split", -2.0, 2.0, |n| {
        // One part is not used.
        let sizes = n.ints(&[2, 1, 3]);
        let names = ["part0", "part1", "part2"];
        n.nodes.push(NodeProto::new("Split", &["layer", &sizes], &names).with(int("axis", 2)));
        let first = n.op("Mul", &["part0", "part0"]);
        n.with("Concat", &[&first, "part2"], vec![int("axis", 2)])
    }),
    ("Tile", -2.0, 2.0, |n| {
        let repeats = n.ints(&[1, 2, 1, 3]);
        n.op("Tile", &["layer", &repeats])
    }),
    ("Gemm", -1.0, 1.0, |n| {
        let rows = n.with("Flatten", &["layer"], vec![int("axis", 1)]);
        let (weight, bias) = (n.weights(&[(3 * HEIGHT * WIDTH) as i64, 7]), n.weights(&[7]));
        let scale = AttributeProto::float("alpha", 0.7);
        let hidden = n.with("Gemm", &[&rows, &weight, &bias], vec![scale]);
        let weight = n.weights(&[4, 7]);
        n.with("Gemm", &[&hidden, &weight], vec![int("transB", 1)])
    }),
    ("Gemm", -1.0, 1.0, |n| {
        // Both sides and the bias depend on the layer; run one by one, as the batch is turned.
        let shape = n.ints(&[-1, 6]);
        let rows = n.op("Reshape", &["layer", &shape]);
        let both = n.with("Gemm", &[&rows, &rows], vec![int("transA", 1)]);
        let other =
            n.with("Gemm", &[&rows, &both, &rows], vec![AttributeProto::float("beta", 0.5)]);
        let weight = n.weights(&[3, 6]);
        let last = n.with("Gemm", &[&weight, &other], vec![int("transB", 1)]);
        let turned = n.with("Gemm", &[&other, &weight], vec![int("transB", 1)]);
        let shape = n.ints(&[1, -1]);
        let (last, turned) =
            (n.op("Reshape", &[&last, &shape]), n.op("Reshape", &[&turned, &shape]));
        n.with("Concat", &[&last, &turned], vec![int("axis", 1)])
    }),
    ("Einsum", -1.0, 1.0, |n| {
        // Attention's two products.
        let equation = |text: &str| vec![AttributeProto::string("equation", text)];
        let scores = n.with("Einsum", &["layer", "layer"], equation("bchw, bcvw -> bchv"));
        n.with("Einsum", &[&scores, "layer"], equation("bchv,bcvw->bhcw"))
    }),
    ("Einsum", -1.0, 1.0, |n| {
        // A letter of one input alone is summed over.
        let weight = n.weights(&[3, 4]);
        n.with(
            "Einsum",
            &["layer", &weight],
            vec![AttributeProto::string("equation", "bchw,ck->bkw")],
        )
    }),
    ("MatMul", -1.0, 1.0, |n| {
        let weight = n.weights(&[WIDTH as i64]);
        n.op("MatMul", &["layer", &weight])
    }),
    ("MatMul", -1.0, 1.0, |n| {
        let weight = n.weights(&[WIDTH as i64, 4]);
        n.op("MatMul", &["layer", &weight])
    }),
    ("MatMul", -1.0, 1.0, |n| {
        // Attention's product of a tensor with itself, and a weight that is broadcast from the
        // left.
        let turned = n.with("Transpose", &["layer"], vec![ints("perm", &[0, 1, 3, 2])]);
        let product = n.op("MatMul", &["layer", &turned]);
        let weight = n.weights(&[4, HEIGHT as i64]);
        n.op("MatMul", &[&weight, &product])
    }),
    ("BatchNormalization", -2.0, 2.0, |n| {
        let (scale, bias, mean) = (n.weights(&[3]), n.weights(&[3]), n.weights(&[3]));
        let variance = n.positive(&[3]);
        n.op("BatchNormalization", &["layer", &scale, &bias, &mean, &variance])
    }),
    ("GroupNormalization", -2.0, 2.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let wide = n.with("Concat", &["layer", &squared, "layer", "layer"], vec![int("axis", 1)]);
        let (scale, bias) = (n.weights(&[2]), n.weights(&[2]));
        n.with("GroupNormalization", &[&wide, &scale, &bias], vec![int("num_groups", 2)])
    }),
    ("InstanceNormalization", -2.0, 2.0, |n| {
        let (scale, bias) = (n.weights(&[3]), n.weights(&[3]));
        n.op("InstanceNormalization", &["layer", &scale, &bias])
    }),
    ("LayerNormalization", -2.0, 2.0, |n| {
        let (scale, bias) = (n.weights(&[WIDTH as i64]), n.weights(&[WIDTH as i64]));
        n.op("LayerNormalization", &["layer", &scale, &bias])
    }),
    ("LRN", -2.0, 2.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let wide = n.with("Concat", &["layer", &squared], vec![int("axis", 1)]);
        let (alpha, beta) =
            (AttributeProto::float("alpha", 0.5), AttributeProto::float("beta", 0.6));
        let bias = AttributeProto::float("bias", 1.3);
        n.with("LRN", &[&wide], vec![int("size", 3), alpha, beta, bias])
    }),
    ("LpNormalization", -2.0, 2.0, |n| n.with("LpNormalization", &["layer"], vec![int("axis", 1)])),
    ("LpNormalization", 0.5, 2.0, |n| {
        n.with("LpNormalization", &["layer"], vec![int("p", 1), int("axis", -1)])
    }),
    ("MeanVarianceNormalization", -2.0, 2.0, |n| {
        n.with("MeanVarianceNormalization", &["layer"], vec![ints("axes", &[2, 3])])
    }),
    ("RMSNormalization", -2.0, 2.0, |n| {
        let scale = n.weights(&[WIDTH as i64]);
        n.op("RMSNormalization", &["layer", &scale])
    }),
    ("Softmax", -2.0, 2.0, |n| n.with("Softmax", &["layer"], vec![int("axis", 1)])),
    ("LogSoftmax", -2.0, 2.0, |n| n.with("LogSoftmax", &["layer"], vec![int("axis", -1)])),
    ("AveragePool", -2.0, 2.0, |n| {
        let window = vec![
            ints("kernel_shape", &[3, 2]),
            ints("strides", &[2, 1]),
            ints("pads", &[1, 0, 1, 1]),
        ];
        n.with("AveragePool", &["layer"], window)
    }),
    ("AveragePool", -2.0, 2.0, |n| {
        let window = vec![
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
            int("count_include_pad", 1),
        ];
        n.with("AveragePool", &["layer"], window)
    }),
    ("AveragePool", -2.0, 2.0, |n| {
        let window =
            vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), int("ceil_mode", 1)];
        n.with("AveragePool", &["layer"], window)
    }),
    // All of it, said by a kernel that is larger than any map.
    ("AveragePool", -2.0, 2.0, |n| {
        let window = vec![
            ints("kernel_shape", &[2560, 2560]),
            ints("strides", &[2560, 2560]),
            int("ceil_mode", 1),
            int("count_include_pad", 1),
        ];
        n.with("AveragePool", &["layer"], window)
    }),
    ("GlobalAveragePool", -2.0, 2.0, |n| n.op("GlobalAveragePool", &["layer"])),
    ("GlobalMaxPool", -2.0, 2.0, |n| n.op("GlobalMaxPool", &["layer"])),
    ("MaxPool", -2.0, 2.0, |n| {
        n.with("MaxPool", &["layer"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
    }),
    ("MaxPool", -2.0, 2.0, |n| {
        let window = vec![
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
        ];
        n.with("MaxPool", &["layer"], [window, vec![int("ceil_mode", 1)]].concat())
    }),
    ("MaxPool", -2.0, 2.0, |n| {
        n.with(
            "MaxPool",
            &["layer"],
            vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
        )
    }),
    ("ReduceL2", 0.5, 2.0, |n| {
        let axes = n.ints(&[-1]);
        n.with("ReduceL2", &["layer", &axes], vec![int("keepdims", 0)])
    }),
    ("ReduceL1", -2.0, 2.0, |n| {
        let axes = n.ints(&[1]);
        n.op("ReduceL1", &["layer", &axes])
    }),
    ("ReduceLogSum", 0.5, 2.0, |n| {
        let axes = n.ints(&[-1]);
        n.with("ReduceLogSum", &["layer", &axes], vec![int("keepdims", 0)])
    }),
    ("ReduceLogSumExp", -2.0, 2.0, |n| {
        let axes = n.ints(&[2, 3]);
        n.op("ReduceLogSumExp", &["layer", &axes])
    }),
    ("ReduceMin", -2.0, 2.0, |n| {
        let axes = n.ints(&[1]);
        n.with("ReduceMin", &["layer", &axes], vec![int("keepdims", 0)])
    }),
    ("ReduceProd", -1.5, 1.5, |n| {
        let axes = n.ints(&[3]);
        n.with("ReduceProd", &["layer", &axes], vec![int("keepdims", 0)])
    }),
    ("ReduceSumSquare", -2.0, 2.0, |n| {
        let axes = n.ints(&[2, 3]);
        n.op("ReduceSumSquare", &["layer", &axes])
    }),
    ("Resize", -2.0, 2.0, |n| {
        let scales = n.floats(&[1.0, 1.0, 2.0, 2.0]);
        let nearest = [("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")];
        let attributes = nearest.map(|(name, value)| AttributeProto::string(name, value));
        n.with("Resize", &["layer", "", &scales], attributes.to_vec())
    }),
    ("Resize", -2.0, 2.0, |n| {
        let sizes = n.ints(&[4, 9]);
        let linear = vec![AttributeProto::string("mode", "linear"), ints("axes", &[2, 3])];
        n.with("Resize", &["layer", "", "", &sizes], linear)
    }),
    ("Resize", -2.0, 2.0, |n| {
        // The output is rounded down, so that the scale is not the ratio of the sizes.
        let scales = n.floats(&[1.0, 1.0, 1.3, 0.7]);
        n.with("Resize", &["layer", "", &scales], vec![AttributeProto::string("mode", "linear")])
    }),
    ("Resize", -2.0, 2.0, |n| {
        let scales = n.floats(&[1.0, 1.0, 2.0, 3.0]);
        let align = AttributeProto::string("coordinate_transformation_mode", "align_corners");
        n.with(
            "Resize",
            &["layer", "", &scales],
            vec![AttributeProto::string("mode", "cubic"), align],
        )
    }),
    ("ReduceMax", -2.0, 2.0, |n| {
        let axes = n.ints(&[2, 3]);
        n.op("ReduceMax", &["layer", &axes])
    }),
    ("ReduceMean", -2.0, 2.0, |n| {
        let axes = n.ints(&[2, -1]);
        n.with("ReduceMean", &["layer", &axes], vec![int("keepdims", 0)])
    }),
    ("ReduceMean", -2.0, 2.0, |n| {
        // A list of no axes means all of them.
        let (flat, none) = (n.with("Flatten", &["layer"], vec![int("axis", 1)]), n.ints(&[]));
        let turned = n.op("Transpose", &[&flat]);
        let all = n.op("ReduceMean", &[&turned, &none]);
        n.op("Mul", &[&flat, &all])
    }),
    ("ReduceL1", -2.0, 2.0, |n| n.op("ReduceL1", &["layer"])),
    ("ReduceSum", -2.0, 2.0, |n| {
        let axes = n.ints(&[1]);
        let squared = n.op("Mul", &["layer", "layer"]);
        n.op("ReduceSum", &[&squared, &axes])
    }),
    ("Cast", -2.0, 2.0, |n| {
        let wide = n.with("Cast", &["layer"], vec![int("to", 11)]);
        let squared = n.op("Mul", &[&wide, &wide]);
        n.with("Cast", &[&squared], vec![int("to", 1)])
    }),
    ("CastLike", -2.0, 2.0, |n| {
        let wide = n.with("Cast", &["layer"], vec![int("to", 11)]);
        let squared = n.op("Mul", &[&wide, &wide]);
        n.op("CastLike", &[&squared, "layer"])
    }),
    ("Col2Im", -2.0, 2.0, |n| {
        let (up, flat) = (n.weights(&[8, 3, 1, 1]), n.ints(&[0, 8, -1]));
        let wide = n.op("Conv", &["layer", &up]);
        let columns = n.op("Reshape", &[&wide, &flat]);
        // As many windows as places: two rows apart, and half outside at the sides.
        let (image, block) = (n.ints(&[2 * HEIGHT as i64, WIDTH as i64 - 1]), n.ints(&[2, 2]));
        n.with(
            "Col2Im",
            &[&columns, &image, &block],
            vec![ints("strides", &[2, 1]), ints("pads", &[0, 1, 0, 1])],
        )
    }),
    ("DepthToSpace", -2.0, 2.0, |n| {
        let weight = n.weights(&[8, 3, 1, 1]);
        let wide = n.op("Conv", &["layer", &weight]);
        n.with("DepthToSpace", &[&wide], vec![int("blocksize", 2)])
    }),
    ("DepthToSpace", -2.0, 2.0, |n| {
        let weight = n.weights(&[8, 3, 1, 1]);
        let wide = n.op("Conv", &["layer", &weight]);
        n.with(
            "DepthToSpace",
            &[&wide],
            vec![int("blocksize", 2), AttributeProto::string("mode", "CRD")],
        )
    }),
    ("Dropout", -2.0, 2.0, |n| n.op("Dropout", &["layer"])),
    ("Expand", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        let shape = n.ints(&[1, 3, 4, 2]);
        n.op("Expand", &[&mean, &shape])
    }),
    ("Flatten", -2.0, 2.0, |n| n.with("Flatten", &["layer"], vec![int("axis", 1)])),
    ("Identity", -2.0, 2.0, |n| n.op("Identity", &["layer"])),
    ("Reshape", -2.0, 2.0, |n| {
        let shape = n.ints(&[0, 5, -1]);
        n.op("Reshape", &["layer", &shape])
    }),
    ("SpaceToDepth", -2.0, 2.0, |n| {
        let (from, to, axes) = (n.ints(&[0]), n.ints(&[4]), n.ints(&[3]));
        let even = n.op("Slice", &["layer", &from, &to, &axes]);
        n.with("SpaceToDepth", &[&even], vec![int("blocksize", 2)])
    }),
    ("SpaceToDepth", -2.0, 2.0, |n| {
        let weight = n.weights(&[4, 3, 1, 2]);
        let even = n.op("Conv", &["layer", &weight]);
        let mode = AttributeProto::string("mode", "CRD");
        n.with("SpaceToDepth", &[&even], vec![int("blocksize", 2), mode])
    }),
    ("Squeeze", -2.0, 2.0, |n| {
        let axes = n.ints(&[2, 3]);
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Squeeze", &[&mean, &axes])
    }),
    ("Transpose", -2.0, 2.0, |n| {
        n.with("Transpose", &["layer"], vec![ints("perm", &[0, 2, 3, 1])])
    }),
    ("Unsqueeze", -2.0, 2.0, |n| {
        let axes = n.ints(&[-1, 1]);
        n.op("Unsqueeze", &["layer", &axes])
    }),
];

/// The layer as `[N, 6, 15]` tokens.
fn tokens(n: &mut Net) -> String {
    let turned = n.with("Transpose", &["layer"], vec![ints("perm", &[0, 2, 1, 3])]);
    let shape = n.ints(&[0, 6, 15]);
    n.op("Reshape", &[&turned, &shape])
}

/// Numbers of the layer as the weights of something else.
fn made_weights<const COUNT: usize>(n: &mut Net, shapes: [&[i64]; COUNT]) -> [String; COUNT] {
    let flat = n.ints(&[-1]);
    let numbers = n.op("Reshape", &["layer", &flat]);
    shapes.map(|shape| {
        let (start, end) = (n.ints(&[7]), n.ints(&[7 + shape.iter().product::<i64>()]));
        let taken = n.op("Slice", &[&numbers, &start, &end]);
        let shape = n.ints(shape);
        n.op("Reshape", &[&taken, &shape])
    })
}

/// A depthwise convolution with an activation function before it and another behind.
fn between_activations(n: &mut Net) -> String {
    let weight = n.weights(&[3, 1, 3, 3]);
    let before = n.op("HardSwish", &["layer"]);
    let window = vec![int("group", 3), ints("strides", &[2, 1]), ints("pads", &[1, 1, 1, 1])];
    let maps = n.with("Conv", &[&before, &weight], window);
    let gate = n.op("Sigmoid", &[&maps]);
    n.op("Mul", &[&maps, &gate])
}

/// A depthwise convolution of means: its way back goes on to more numbers than it gives.
fn behind_a_pooling(n: &mut Net) -> String {
    let weight = n.weights(&[3, 1, 1, 1]);
    let mean = n.op("GlobalAveragePool", &["layer"]);
    let gates = n.with("Conv", &[&mean, &weight], vec![int("group", 3)]);
    n.op("Mul", &[&gates, "layer"])
}

#[test]
fn a_depthwise_convolution_takes_what_stands_around_it_on_the_way_back() {
    let joined = |build: fn(&mut Net) -> String| load("around", build).fusion_report().joined;
    assert_eq!((joined(between_activations), joined(behind_a_pooling)), (2, 1));
}

/// Rounding has no differences to speak of; these have tests of their own, here, in `integers` and
/// in `zoo.rs`.
const STRAIGHT_THROUGH: &[&str] = &["DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"];

#[test]
fn rounding_passes_the_gradient_of_what_it_does_not_clip() {
    // One step a channel: the ranges end at 1.27, 0.635 and 2.54, so that only some of the second
    // is clipped.
    let x = image(-1.2, 1.2);
    let steps = [0.01, 0.005, 0.02];
    let found = gradient_of(x.clone(), |n| {
        let (scale, name) = (n.floats(&steps), n.fresh());
        let zeros: Vec<u8> = vec![0; 3];
        n.constants.push(TensorProto {
            name: Some(name.clone()),
            dims: vec![3],
            data_type: Some(3),
            raw_data: Some(zeros.into()),
            ..Default::default()
        });
        let rounded = n.with("QuantizeLinear", &["layer", &scale, &name], vec![int("axis", 1)]);
        n.with("DequantizeLinear", &[&rounded, &scale, &name], vec![int("axis", -3)])
    });
    let mut clipped = 0;
    for (place, (&found, &x)) in found.iter().zip(&x).enumerate() {
        let step = steps[place / (HEIGHT * WIDTH)];
        let open = (-128.0..=127.0).contains(&(x / step).round());
        // The score weighs number i by sin(1.7·i + 0.3).
        let expected = if open { (1.7 * place as f32 + 0.3).sin() } else { 0.0 };
        assert!((found - expected).abs() < 1e-4, "place {place}: {found}, not {expected}");
        clipped += usize::from(!open);
    }
    assert!((10..20).contains(&clipped), "{clipped}");
}

/// Why a network has no gradient.
fn unsupported_reason(build: fn(&mut Net) -> String) -> String {
    let model = load("obstacle", build);
    model.gradient_unsupported_reason(model.default_layer()).expect("an obstacle").to_owned()
}

#[test]
fn what_a_rule_does_not_cover_is_no_zero() {
    // The score reads the mean that the normalisation hands out, too.
    let of_mean = unsupported_reason(|n| {
        let (x, scale) = (tokens(n), n.weights(&[15]));
        let normal = n.op("LayerNormalization", &[&x, &scale]);
        let mean = format!("{normal}/mean");
        n.nodes.last_mut().expect("just written").output.extend([String::new(), mean.clone()]);
        n.op("Add", &[&normal, &mean])
    });
    assert!(
        of_mean.contains("LayerNormalization") && of_mean.contains("another output"),
        "{of_mean}"
    );
    // Of a one-hot the numbers that it writes may depend on the layer.
    let written = unsupported_reason(|n| {
        let (places, depth) = (n.ints(&[0, 2]), n.int(3));
        let (one, row) = (n.ints(&[1]), n.ints(&[1, 6]));
        let mean = n.op("ReduceMean", &["layer"]);
        let mean = n.op("Reshape", &[&mean, &one]);
        let both = n.with("Concat", &[&mean, &mean], vec![int("axis", 0)]);
        let hot = n.op("OneHot", &[&places, &depth, &both]);
        n.op("Reshape", &[&hot, &row])
    });
    assert!(written.contains("OneHot") && written.contains("no gradient rule"), "{written}");
    let filled = unsupported_reason(|n| {
        let (pads, one) = (n.ints(&[0, 0, 1, 1, 0, 0, 1, 1]), n.ints(&[1]));
        let mean = n.op("ReduceMean", &["layer"]);
        let mean = n.op("Reshape", &[&mean, &one]);
        n.op("Pad", &["layer", &pads, &mean])
    });
    assert!(filled.contains("Pad") && filled.contains("depends on the layer"), "{filled}");
    let scaled = unsupported_reason(|n| {
        let (statistics, three) = (n.positive(&[3]), n.ints(&[3]));
        let scale = n.op("GlobalAveragePool", &["layer"]);
        let scale = n.op("Reshape", &[&scale, &three]);
        n.op("BatchNormalization", &["layer", &scale, &statistics, &statistics, &statistics])
    });
    assert!(scaled.contains("BatchNormalization") && scaled.contains("its input 1,"), "{scaled}");
}

#[test]
fn every_rule_has_a_case() {
    let missing: Vec<_> = vjp::TABLE
        .iter()
        .map(|(op, _)| *op)
        .filter(|op| !CASES.iter().any(|(case, ..)| case == op) && !STRAIGHT_THROUGH.contains(op))
        .collect();
    assert!(missing.is_empty(), "rules without a case: {missing:?}");
}

#[test]
fn every_rule_agrees_with_finite_differences() {
    all_agree(CASES);
}
