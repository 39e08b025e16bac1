//! Where a layer begins and where it ends.
//!
//! A layer begins at an operator that mixes positions or channels, and its output is the tensor
//! after the normalisation and activation that follow, also where these work on a view of it in
//! other axes. Where that tensor is quantised, the layer's output is the dequantised tensor.

use std::collections::HashSet;

use super::elementwise::{Elementwise, Role};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::QuantizedOp;

/// Whether a layer begins at a node. An integer operator is passed as its float equivalent.
/// `of_image` holds the tensors that depend on the image.
pub(super) fn starts_layer(
    graph_index: &GraphIndex<'_>,
    node: &NodeProto,
    of_image: &HashSet<&str>,
) -> bool {
    match node.op() {
        "Conv" | "MaxPool" | "AveragePool" | "Concat" | "LayerNormalization"
        | "RMSNormalization" => true,
        // A residual sum joins two tensors that depend on the image; a bias, even a computed one,
        // does not.
        "Add" | "Sum" => {
            node.input.len() > 1 && node.input.iter().all(|input| of_image.contains(input.as_str()))
        }
        // Layer normalisation before opset 17: (x − mean) / √(var + ε).
        "Div" => {
            node.input_name(1).and_then(|root| graph_index.producer(root)).is_some_and(|root| {
                root.op() == "Sqrt"
                    && node
                        .input_name(0)
                        .and_then(|centred| graph_index.producer(centred))
                        .is_some_and(|centred| centred.op() == "Sub")
            })
        }
        _ => false,
    }
}

/// The output of a node as floats: of an integer operator the dequantised output, if it is
/// dequantised.
pub(super) fn float_output<'g>(
    graph_index: &GraphIndex<'g>,
    node: &'g NodeProto,
) -> Option<&'g str> {
    let own = node.output.first()?.as_str();
    let Some(quantized) = QuantizedOp::from_node(node) else { return Some(own) };
    let consumer = graph_index.sole_consumer(own)?;
    let floats = consumer.output.first()?.as_str();
    match (consumer.op(), &quantized.result) {
        ("DequantizeLinear", Some(_)) => Some(floats),
        // Exact sums are cast to floats and then scaled.
        ("Cast", None) => match graph_index.sole_consumer(floats) {
            Some(scaled) if scaled.op() == "Mul" => scaled.output.first().map(String::as_str),
            _ => Some(floats),
        },
        _ => Some(own),
    }
}

/// The node that names a layer: the producer of its output, or of what was quantised there.
pub(super) fn layer_node<'g>(graph_index: &GraphIndex<'g>, tensor: &str) -> Option<&'g NodeProto> {
    let last = graph_index.producer(tensor)?;
    let input_producer = |node: &NodeProto| graph_index.producer(node.input_name(0)?);
    let quantizer = Some(last).filter(|node| node.is("DequantizeLinear")).and_then(input_producer);
    let quantized = quantizer.filter(|node| node.is("QuantizeLinear")).and_then(input_producer);
    Some(quantized.unwrap_or(last))
}

/// How far the walk from a layer's first tensor has come.
enum Stage {
    /// Before the activation.
    Linear,
    /// After an activation that is limited as stated. `is_gate` is true when it was written with
    /// several operators: then a constant factor may be part of it.
    Activated { lower: bool, upper: bool, is_gate: bool },
}

/// A tensor at which a layer may end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LayerEnd<'g> {
    pub(super) tensor: &'g str,
    /// Whether an activation lies before it.
    pub(super) is_activated: bool,
}

/// A layer, from its first tensor through its normalisation and activation.
#[derive(Debug)]
pub(super) struct LayerWalk<'g> {
    /// Where the layer may end, in order of computation. It ends at the last of them that holds
    /// maps.
    pub(super) ends: Vec<LayerEnd<'g>>,
    /// Tensors within an activation that is written with several operators; no layer begins there.
    pub(super) inside: HashSet<&'g str>,
}

/// Follows the layer that begins with `first`. The walk does not step onto the tensor `score`.
pub(super) fn walk_layer<'g>(
    operators: Elementwise<'_, 'g>,
    first: &'g str,
    score: &str,
) -> LayerWalk<'g> {
    let graph_index = operators.graph_index;
    let mut walk = LayerWalk {
        ends: vec![LayerEnd { tensor: first, is_activated: false }],
        inside: HashSet::new(),
    };
    let mut cursor = first;
    let mut stage = Stage::Linear;
    // A normalisation or bias in other axes is part of the layer where an activation follows or
    // the axes return. (Tokens with positions added to them are no longer the convolution's.)
    let mut is_open = false;
    loop {
        let Some(consumer) = operators.sole_reader(cursor) else {
            if !matches!(stage, Stage::Linear) {
                return walk;
            }
            let gate = operators.gate(cursor);
            let output = gate.as_ref().map(|gate| gate.output);
            let output = output.or_else(|| gated(graph_index, cursor));
            let Some(output) = output.filter(|output| *output != score) else { return walk };
            walk.inside.extend(gate.into_iter().flat_map(|gate| gate.inside));
            cursor = output;
            stage = Stage::Activated { lower: true, upper: false, is_gate: true };
            walk.ends.push(LayerEnd { tensor: cursor, is_activated: true });
            continue;
        };
        let Some(output) = consumer.output.first().filter(|output| *output != score) else {
            return walk;
        };
        // A quantiser leaves out an activation that the integers' range clips as well, so the
        // layer's output is the dequantised tensor. In a model of integer operators, the
        // activation itself may read the integers.
        if consumer.is("QuantizeLinear") && matches!(stage, Stage::Linear) {
            // Copies are only part of the layer if something that changes values follows.
            let is_copied = walk.ends.last().is_none_or(|end| end.tensor != cursor);
            match dequantized(graph_index, output) {
                Some(floats) => cursor = floats,
                None => {
                    let activated = integer_activation(graph_index, output);
                    walk.ends
                        .extend(activated.map(|tensor| LayerEnd { tensor, is_activated: true }));
                    return walk;
                }
            }
            if !is_copied {
                walk.ends.push(LayerEnd { tensor: cursor, is_activated: false });
            }
            continue;
        }
        let Some(role) = operators.role(consumer, cursor) else { return walk };
        cursor = output;
        let is_part = match (&mut stage, role) {
            (Stage::Linear, Role::Copy) => {
                let is_closed = is_open && operators.have_same_sizes(first, cursor);
                is_open &= !is_closed;
                is_closed
            }
            (Stage::Activated { .. }, Role::Copy) => false,
            (Stage::Linear, Role::Linear { .. }) => {
                is_open = !operators.have_same_sizes(first, cursor);
                !is_open
            }
            (Stage::Linear, Role::Activation) => {
                stage = Stage::Activated { lower: true, upper: false, is_gate: false };
                true
            }
            (Stage::Linear, Role::Clamp { lower, upper }) => {
                stage = Stage::Activated { lower: lower.is_some(), upper, is_gate: false };
                true
            }
            (Stage::Activated { is_gate, .. }, Role::Linear { is_scalar }) => {
                match *is_gate && is_scalar {
                    true => true,
                    false if matches!(consumer.op(), "Identity" | "Dropout") => false,
                    false => return walk,
                }
            }
            (Stage::Activated { .. }, Role::Activation) => return walk,
            // ReLU6 as Relu → Min → Max: the last changes no value, but the gradient at 0. A
            // positive lower limit, as generalised mean pooling has, is no part of an activation.
            (Stage::Activated { lower, upper, .. }, Role::Clamp { lower: below, upper: above }) => {
                let is_part =
                    below.is_some_and(|limit| limit <= 0.0 || !*lower) || above && !*upper;
                (*lower, *upper) = (*lower || below.is_some(), *upper || above);
                is_part
            }
        };
        if is_part {
            let is_activated = matches!(stage, Stage::Activated { .. });
            walk.ends.push(LayerEnd { tensor: cursor, is_activated });
        }
    }
}

/// The dequantised form of an integer tensor, if it has no other consumer.
fn dequantized<'g>(graph_index: &GraphIndex<'g>, integers: &'g str) -> Option<&'g str> {
    let consumer =
        graph_index.sole_consumer(integers).filter(|node| node.is("DequantizeLinear"))?;
    consumer.output.first().map(String::as_str)
}

/// The float output of an integer activation that reads `integers`, or of their product with it
/// (SiLU).
fn integer_activation<'g>(graph_index: &GraphIndex<'g>, integers: &'g str) -> Option<&'g str> {
    let consumers: Vec<_> = graph_index.consumers(integers).collect();
    let product = match consumers.as_slice() {
        [only] if only.op() == "QLinearLeakyRelu" => return float_output(graph_index, only),
        [gate, product] if gate.op() == "QLinearSigmoid" && product.op() == "QLinearMul" => product,
        _ => return None,
    };
    let gate =
        graph_index.sole_consumer(float_output(graph_index, consumers[0])?)?.output.first()?;
    let gate_consumer = graph_index.sole_consumer(gate)?;
    if std::ptr::eq(gate_consumer, *product) { float_output(graph_index, product) } else { None }
}

/// The output of a gate that is not elementwise, such as a short channel attention: `x · f(x)`, so
/// `x` has two consumers.
fn gated<'g>(graph_index: &GraphIndex<'g>, tensor: &'g str) -> Option<&'g str> {
    let consumers: Vec<_> = graph_index.consumers(tensor).collect();
    let [first, second] = consumers.as_slice() else { return None };
    let (gate, product) = if second.op() == "Mul" { (first, second) } else { (second, first) };
    if product.op() != "Mul" {
        return None;
    }
    let mut end = gate.output.first()?.as_str();
    // The gate may be a chain: GlobalAveragePool → Conv → HardSigmoid.
    for _ in 0..4 {
        let consumer = graph_index.sole_consumer(end)?;
        if std::ptr::eq(consumer, *product) {
            return product.output.first().map(String::as_str);
        }
        end = consumer.output.first()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::facts::TensorFacts;
    use onnx_gradient::proto::GraphProto;

    /// The output of the layer that begins at the first node, and the operator that names it.
    fn end(nodes: &[(&str, &[&str], &str)]) -> (String, String) {
        let node =
            |(op, inputs, output): &(&str, &[&str], &str)| NodeProto::new(op, inputs, &[output]);
        let graph = GraphProto { node: nodes.iter().map(node).collect(), ..Default::default() };
        let graph_index = GraphIndex::new(&graph);
        let operators = Elementwise {
            graph_index: &graph_index,
            facts: &TensorFacts::default(),
            of_image: &graph_index.downstream("x", |_| false),
        };
        let first = float_output(&graph_index, &graph.node[0]).unwrap();
        let end = walk_layer(operators, first, "y").ends.last().unwrap().tensor;
        (end.to_owned(), layer_node(&graph_index, end).unwrap().op().to_owned())
    }

    #[test]
    fn a_quantised_layer_ends_after_dequantising_and_keeps_its_operators_name() {
        let quantised = [
            ("Conv", &["x", "w"][..], "c"),
            ("QuantizeLinear", &["c", "s", "z"], "q"),
            ("DequantizeLinear", &["q", "s", "z"], "d"),
            ("GlobalAveragePool", &["d"], "y"),
        ];
        assert_eq!(end(&quantised), ("d".into(), "Conv".into()));
        let with_silu =
            [&quantised[..3], &[("Sigmoid", &["d"][..], "gate"), ("Mul", &["d", "gate"], "silu")]]
                .concat();
        assert_eq!(end(&with_silu), ("silu".into(), "Mul".into()));
    }

    #[test]
    fn an_integer_activation_ends_a_layer_at_its_float_output() {
        let pooled = ("QLinearGlobalAveragePool", &["p", "s", "z", "s", "z"][..], "y");
        let silu = [
            ("QLinearConv", &["x", "s", "z", "w", "ws", "wz", "s", "z"][..], "c/integers"),
            ("DequantizeLinear", &["c/integers", "s", "z"], "c/floats"),
            ("QuantizeLinear", &["c/floats", "s", "z"], "c"),
            ("QLinearSigmoid", &["c", "s", "z", "s", "z"], "g/integers"),
            ("DequantizeLinear", &["g/integers", "s", "z"], "g/floats"),
            ("QuantizeLinear", &["g/floats", "s", "z"], "g"),
            ("QLinearMul", &["c", "s", "z", "g", "s", "z", "s", "z"], "p/integers"),
            ("DequantizeLinear", &["p/integers", "s", "z"], "p/floats"),
            ("QuantizeLinear", &["p/floats", "s", "z"], "p"),
        ];
        assert_eq!(end(&[&silu[..], &[pooled]].concat()).0, "p/floats");
        // With a second consumer, the gate is not part of the activation.
        let other = ("QLinearGlobalAveragePool", &["g", "s", "z", "s", "z"][..], "other");
        assert_eq!(end(&[&silu[..], &[pooled, other]].concat()).0, "c/floats");
    }

    /// `(x − mean) / √(var + ε)` normalises; another division by a root does not.
    #[test]
    fn a_division_starts_a_layer_where_it_normalises() {
        let starts = |numerator: &str, denominator: &str| {
            let nodes = [
                NodeProto::new(numerator, &["x", "mean"], &["n"]),
                NodeProto::new(denominator, &["var"], &["d"]),
                NodeProto::new("Div", &["n", "d"], &["y"]),
            ];
            let graph = GraphProto { node: nodes.into(), ..GraphProto::default() };
            let of_image = HashSet::from(["x", "n", "d", "y"]);
            starts_layer(&GraphIndex::new(&graph), &graph.node[2], &of_image)
        };
        assert!(starts("Sub", "Sqrt"));
        assert!(!starts("Mul", "Sqrt"));
        assert!(!starts("Sub", "Exp"));
    }
}
