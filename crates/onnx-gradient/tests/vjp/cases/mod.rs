//! Small networks that exercise every vjp: one row a case.
//!
//! A case builds a network from a tensor `layer` `[N, 3, 6, 5]` to a tensor with the batch first.
//! [`model`] makes it a model whose score is a weighted sum of all elements of that tensor.
//!
//! Each file is one call of the macro `cases!`, which the including test defines: it declares the
//! table `CASES`, and may turn each row into a test of its own.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod fused;
mod indexing;
mod linear;
mod normalization;
mod pooling;
mod reduction;
mod shape;
mod trigonometric;

use onnx_gradient::proto::{AttributeProto, ModelProto, NodeProto};

use super::network::{Network, int, ints};

pub(crate) const HEIGHT: usize = 6;
pub(crate) const WIDTH: usize = 5;
/// Elements of the layer of one image.
pub(crate) const ELEMENTS: usize = 3 * HEIGHT * WIDTH;

/// A network that exercises an operator.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Type of the operator.
    pub(crate) op: &'static str,
    /// Range of the layer's elements.
    pub(crate) range: (f32, f32),
    /// Writes the network and returns the name of its result.
    pub(crate) build: fn(&mut Network) -> String,
}

/// The tables of standard operators, one a family.
const STANDARD: &[&[Case]] = &[
    activation::CASES,
    arithmetic::CASES,
    convolution::CASES,
    indexing::CASES,
    linear::CASES,
    normalization::CASES,
    pooling::CASES,
    reduction::CASES,
    shape::CASES,
    trigonometric::CASES,
];

/// The cases of operators that have a vjp of their own.
pub(crate) fn standard() -> impl Iterator<Item = &'static Case> {
    STANDARD.iter().copied().flatten()
}

/// All cases, including those of operators that are decomposed.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    standard().chain(attention::CASES).chain(fused::CASES)
}

/// The model of a network: the input `x` times one is `layer`, and `scores` `[N, 2]` are a weighted
/// sum of all elements of the network's result, and its negative.
///
/// The result itself, flattened, is a second output. It shows whether a rewritten model still
/// computes the same, element by element.
pub(crate) fn model(build: impl FnOnce(&mut Network) -> String) -> ModelProto {
    let mut n = Network::default();
    let one = n.scalar(1.0);
    n.nodes.push(NodeProto::new("Mul", &["x", &one], &["layer"]));
    let y = build(&mut n);
    let rows = n.int64s(&[0, -1]);
    let flat = n.op("Reshape", &[&y, &rows]);
    let shape = n.op("Shape", &[&flat]);
    let (axis, start, step) = (n.int64(1), n.int64(0), n.int64(1));
    let size = n.op("Gather", &[&shape, &axis]);
    let count = n.op("Range", &[&start, &size, &step]);
    let count = n.to_float(&count);
    // Element i has the weight sin(1.7·i + 0.3).
    let (stretch, shift) = (n.scalar(1.7), n.scalar(0.3));
    let angle = n.mul(&count, &stretch);
    let angle = n.add(&angle, &shift);
    let weights = n.op("Sin", &[&angle]);
    let weighted = n.mul(&flat, &weights);
    let axes = n.int64s(&[1]);
    let score = n.op("ReduceSum", &[&weighted, &axes]);
    let other = n.op("Neg", &[&score]);
    n.named_op("scores", "Concat", &[&score, &other], [int("axis", 1)]);
    let opset = n.nodes.iter().map(oldest_opset).max().unwrap_or(20);
    n.model([3, HEIGHT, WIDTH], &["scores", &flat], opset)
}

/// The opset of a case: 20, or the first one that has the operator.
fn oldest_opset(node: &NodeProto) -> i64 {
    match node.op() {
        "SpaceToDepth" if node.attribute("mode").is_some() => 28,
        "Swish" => 24,
        "RMSNormalization" => 23,
        "Attention" if node.is_standard() => 23,
        _ => 20,
    }
}

/// The elements of one layer `[1, 3, HEIGHT, WIDTH]`: distinct values on a grid much coarser than
/// the step of the finite differences, none near a kink at 0, ±1, ±3 or 6.
pub(crate) fn image((low, high): (f32, f32)) -> Vec<f32> {
    let value = |index: usize| {
        let shuffled = (index * 37) % ELEMENTS;
        low + (high - low) * (shuffled as f32 + 0.37) / ELEMENTS as f32
    };
    (0..ELEMENTS).map(value).collect()
}

/// The layer as `[N, 6, 15]` tokens.
pub(crate) fn tokens(n: &mut Network) -> String {
    let transposed = n.transpose("layer", [0, 2, 1, 3]);
    n.reshape(&transposed, &[0, 6, 15])
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto::float(name, value)
}

fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto::string(name, value)
}
