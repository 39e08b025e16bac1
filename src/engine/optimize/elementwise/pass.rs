//! Finds groups of elementwise operators in the backward pass and replaces each with one node.

use std::collections::{HashMap, HashSet};

use super::loop_body::{ElementwiseStep, LoopBody};
use camlens_kernels::Op;

use crate::engine::optimize::common;
use crate::engine::optimize::common::DOMAIN;
use onnx_gradient::dtype;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The operator's name. Inputs: floats that broadcast to one shape; some may contribute only their
/// shape. Output: the result of the last step.
pub(crate) const OPERATOR: &str = "Elementwise";

/// Attribute: constants that steps read.
pub(crate) const CONSTANTS: &str = "constants";

/// Attribute: four integers per step: the index of the operation in [`Op::ALL`] and its operands as
/// [`camlens_kernels::Step`] counts them.
pub(crate) const STEPS: &str = "steps";

/// Attribute: not 0 if the output is the sum of each channel, `[N, C, 1, 1]`. The inputs are then
/// in the NCHWc layout.
pub(crate) const SUMS: &str = "sums";

/// Replaces every group in the bodies of a graph's `Loop` nodes. Returns how many.
pub(crate) fn fuse(graph: &mut GraphProto) -> usize {
    let outer = OuterGraph::new(graph);
    common::bodies(graph).map(|body| fuse_body(body, &outer)).sum()
}

/// What a loop body needs to know of the enclosing graph.
struct OuterGraph {
    types: HashMap<String, i32>,
    /// Constants without dimensions.
    numbers: HashMap<String, f32>,
    /// Inputs of `Sigmoid` nodes, by their outputs.
    sigmoids: HashMap<String, String>,
}

impl OuterGraph {
    fn new(graph: &GraphProto) -> Self {
        let sigmoids = graph.node.iter().filter(|node| node.is("Sigmoid"));
        let numbers = graph.initializer.iter().filter(|tensor| tensor.dims.is_empty());
        let number = |tensor: &TensorProto| match tensor.to_float32s()?.as_slice() {
            &[number] => Some((tensor.name().to_owned(), number)),
            _ => None,
        };
        Self {
            types: dtype::element_types(graph),
            numbers: numbers.filter_map(number).collect(),
            sigmoids: sigmoids
                .map(|node| (node.output[0].clone(), node.input[0].clone()))
                .collect(),
        }
    }
}

/// The node that computes a group.
fn replacement(body: &LoopBody<'_>, group: &[usize], outer: &OuterGraph) -> NodeProto {
    let meanings: Vec<(&str, &ElementwiseStep)> = (group.iter())
        .filter_map(|&index| Some((body.output(index), body.steps[index].as_ref()?)))
        .collect();
    let is_inside = |name: &str| meanings.iter().any(|(output, _)| *output == name);
    let mut inputs: Vec<&str> = Vec::new();
    for (_, meaning) in &meanings {
        for name in meaning.operands.iter().chain(&meaning.like) {
            if !is_inside(name) && !inputs.contains(&name.as_str()) {
                inputs.push(name);
            }
        }
    }
    // A sigmoid whose input is read anyway is computed again, so that the forward pass need not
    // store it.
    let again: Vec<(&str, &str)> = (inputs.iter())
        .filter_map(|&input| Some((input, outer.sigmoids.get(input)?.as_str())))
        .filter(|(_, of)| inputs.contains(of) && !outer.sigmoids.contains_key(*of))
        .collect();
    inputs.retain(|input| again.iter().all(|(sigmoid, _)| sigmoid != input));
    let constants: Vec<(&str, f32)> =
        inputs.iter().filter_map(|&input| Some((input, *outer.numbers.get(input)?))).collect();
    // An operator needs at least one input.
    let constants = if constants.len() < inputs.len() { constants } else { Vec::new() };
    inputs.retain(|input| constants.iter().all(|(constant, _)| constant != input));
    let results = inputs.iter().chain(constants.iter().map(|(name, _)| name)).copied();
    let results = results.chain(again.iter().map(|again| again.0));
    let results = results.chain(meanings.iter().map(|(output, _)| *output)).zip(0_i64..);
    let places: HashMap<&str, i64> = results.collect();
    let mut steps: Vec<i64> = Vec::new();
    let mut write = |op: Op, operands: &[&str]| {
        let numbers = operands.iter().map(|operand| places[operand]);
        steps.push(op as i64);
        steps.extend(numbers.chain(std::iter::repeat(0)).take(3));
    };
    again.iter().for_each(|&(_, of)| write(Op::Sigmoid, &[of]));
    for (_, meaning) in &meanings {
        let operands: Vec<&str> = meaning.operands.iter().map(String::as_str).collect();
        write(meaning.op, &operands);
    }
    let output = body.output(group[group.len() - 1]);
    NodeProto {
        name: Some(output.to_owned()),
        domain: Some(DOMAIN.into()),
        ..NodeProto::new(OPERATOR, &inputs, &[output])
    }
    .with(AttributeProto::floats(
        CONSTANTS,
        constants.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
    ))
    .with(AttributeProto::ints(STEPS, steps))
}

fn fuse_body(graph: &mut GraphProto, outer: &OuterGraph) -> usize {
    let body = LoopBody::new(graph, &outer.types);
    let mut taken: HashSet<usize> = HashSet::new();
    let mut replacements: HashMap<usize, NodeProto> = HashMap::new();
    for root in (0..body.steps.len()).rev() {
        if taken.contains(&root) || body.steps[root].is_none() || body.is_boolean[root] {
            continue;
        }
        let group = body.group(root);
        if group.len() > 1 || body.follows_convolution(root) {
            replacements.insert(root, replacement(&body, &group, outer));
            taken.extend(group);
        }
    }
    let count = replacements.len();
    common::replace(graph, replacements);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{TensorProto, ValueInfoProto};

    /// A graph that computes `x`, `s = σ(x)` and the element count `n`, and the body of its loop.
    fn graph(nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
        let output = outputs.iter().map(|name| ValueInfoProto::untyped(name)).collect();
        let body = GraphProto { node: nodes, output, ..Default::default() };
        GraphProto {
            initializer: vec![
                TensorProto::float32("image", &[1], &[0.0]),
                TensorProto::float32("zero", &[], &[0.0]),
                TensorProto::float32("one", &[], &[1.0]),
            ],
            node: vec![
                NodeProto::new("Relu", &["image"], &["x"]),
                NodeProto::new("Sigmoid", &["x"], &["s"]),
                NodeProto::new("Size", &["x"], &["n"]),
                NodeProto::new("Loop", &["n", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ],
            ..Default::default()
        }
    }

    fn op(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto::new(op, inputs, &[output])
    }

    /// The body's nodes after the pass, each as `operator inputs`, and the steps of the fused ones.
    fn fused(nodes: Vec<NodeProto>, outputs: &[&str]) -> (Vec<String>, Vec<Vec<i64>>) {
        let mut graph = graph(nodes, outputs);
        let count = fuse(&mut graph);
        let body = graph.node[3].attribute[0].g.as_ref().unwrap();
        let steps: Vec<Vec<i64>> =
            body.node.iter().filter_map(|node| Some(node.ints(STEPS)?.to_vec())).collect();
        assert_eq!(count, steps.len());
        (
            body.node
                .iter()
                .map(|node| format!("{} {}", node.op(), node.input.join(" ")))
                .collect(),
            steps,
        )
    }

    fn number(op: Op) -> i64 {
        op as i64
    }

    #[test]
    fn a_gate_becomes_one_node() {
        let gate = vec![
            op("Relu", &["x"], "dy"),
            op("Less", &["zero", "x"], "open"),
            op("Cast", &["open"], "as_number").with(AttributeProto::int("to", 1)),
            op("Mul", &["as_number", "dy"], "dx"),
            op("Relu", &["dx"], "y"),
        ];
        let (nodes, steps) = fused(gate, &["y"]);
        assert_eq!(nodes, ["Relu x", "Elementwise x dy", "Relu dx"]);
        let [greater, identity, mul] = [Op::Greater, Op::Identity, Op::Mul].map(number);
        assert_eq!(steps, [vec![greater, 0, 2, 0, identity, 3, 0, 0, mul, 4, 1, 0]]);
    }

    #[test]
    fn a_tensor_read_outside_stays_and_a_boolean_is_computed_twice() {
        let two = |first: &str, second: &str| {
            vec![
                op("Neg", &["x"], "negative"),
                op("Greater", &["negative", "zero"], "open"),
                op("Where", &["open", "x", "zero"], "a"),
                op("Exp", &["a"], first),
                op("Where", &["open", "zero", "x"], "b"),
                op("Exp", &["b"], second),
            ]
        };
        let (nodes, _) = fused(two("y", "z"), &["y", "z"]);
        assert_eq!(nodes, ["Neg x", "Elementwise negative x", "Elementwise negative x"]);
        // Another operator reads the result of the first as well.
        let mut three = two("y", "z");
        three.push(op("Relu", &["a"], "w"));
        let (nodes, _) = fused(three, &["y", "z", "w"]);
        let (whole, alone) = ("Elementwise negative x", "Exp a");
        assert_eq!(nodes, ["Neg x", whole, alone, whole, "Relu a"]);
    }

    #[test]
    fn a_sigmoid_whose_input_is_read_is_computed_again() {
        let slope = |first: &str| {
            vec![
                op("Sub", &["one", "s"], "rest"),
                op("Mul", &["rest", first], "slope"),
                op("Neg", &["slope"], "y"),
            ]
        };
        let (nodes, steps) = fused(slope("x"), &["y"]);
        assert_eq!(nodes, ["Elementwise x"]);
        assert_eq!(steps[0][..8], [number(Op::Sigmoid), 0, 0, 0, number(Op::Sub), 1, 2, 0]);
        assert_eq!(fused(slope("one"), &["y"]).0, ["Elementwise s"]);
    }

    #[test]
    fn an_expand_takes_the_shape_of_its_model_tensor() {
        let expand = |start: Option<i64>| {
            let mut shape = op("Shape", &["x"], "shape");
            shape.attribute.extend(start.map(|start| AttributeProto::int("start", start)));
            vec![shape, op("Expand", &["one", "shape"], "wide"), op("Neg", &["wide"], "y")]
        };
        let (nodes, steps) = fused(expand(None), &["y"]);
        assert_eq!(nodes, ["Elementwise x"]);
        assert_eq!(steps[0], [number(Op::Identity), 1, 0, 0, number(Op::Neg), 2, 0, 0]);
        assert_eq!(fused(expand(Some(1)), &["y"]).0.len(), 3);
    }

    #[test]
    fn constants_become_attributes_unless_there_is_no_other_input() {
        let nodes = |first: &str| vec![op("Add", &["one", first], "a"), op("Exp", &["a"], "y")];
        let mut graph = graph(nodes("x"), &["y"]);
        fuse(&mut graph);
        let node = &graph.node[3].attribute[0].g.as_ref().unwrap().node[0];
        assert_eq!(
            (node.input.join(" ").as_str(), &node.attribute(CONSTANTS).unwrap().floats[..]),
            ("x", &[1.0][..])
        );
        assert_eq!(fused(nodes("zero"), &["y"]).0, ["Elementwise one zero"]);
    }

    #[test]
    fn integers_and_booleans_from_outside_are_left_alone() {
        let integers = vec![op("Add", &["n", "n"], "m"), op("Mul", &["m", "n"], "y")];
        assert_eq!(fused(integers, &["y"]).0, ["Add n n", "Mul m n"]);
        let reduced = vec![
            op("IsNaN", &["x"], "is_nan"),
            op("Where", &["is_nan", "zero", "x"], "a"),
            op("Not", &["is_nan"], "is_number"),
            op("Where", &["is_number", "a", "one"], "y"),
        ];
        assert_eq!(fused(reduced, &["y"]).1.len(), 0);
    }
}
