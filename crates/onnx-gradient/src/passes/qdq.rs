//! Float tensors in a model of the QOperator format.
//!
//! Such a model passes integers from operator to operator, but a gradient can only be taken with
//! respect to floats. [`expose_floats`] passes the result of each integer operator through a
//! `DequantizeLinear` and a `QuantizeLinear` of the same scale and zero point. The round trip
//! reproduces the integers: `(q − z)·s / s + z` differs from `q` by far less than the ½ at which it
//! would round to another integer. Operators that only move values or pick the largest act on the
//! floats instead. So the outputs stay the same, bit by bit, and each operator has a float result.
//!
//! [`fold_round_trips`] removes the round trips whose floats are not read.

use std::collections::{HashMap, HashSet};

use crate::builder::GraphBuilder;
use crate::index::{GraphIndex, read_names};
use crate::proto::{GraphProto, NodeProto};
use crate::quantized::{QuantizedOp, requantized_input};

/// Quantisation of an integer tensor by one scale, and the float tensor that it stands for, where
/// the graph has one.
#[derive(Clone)]
struct Quantization {
    scale: String,
    zero_point: Option<String>,
    floats: Option<String>,
}

/// Adds a float tensor after each integer operator. True when there were any.
pub fn expose_floats(graph: &mut GraphProto) -> bool {
    let scalars: HashSet<String> = (graph.initializer.iter())
        .filter(|tensor| tensor.dims.iter().product::<i64>() == 1)
        .map(|tensor| tensor.name().to_owned())
        .collect();
    let mut pass =
        Pass { scalars, known: HashMap::new(), builder: GraphBuilder::default(), changed: false };
    for node in std::mem::take(&mut graph.node) {
        pass.node(node);
    }
    graph.node = pass.builder.nodes;
    pass.changed
}

/// Undoes [`expose_floats`] where no node needs the floats: readers of integers that were
/// dequantised and quantised again read the original integers, and conversions that are not
/// read are removed.
pub fn fold_round_trips(graph: &mut GraphProto) {
    let graph_index = GraphIndex::new(graph);
    let same: HashMap<String, String> = (graph.node.iter())
        .filter_map(|node| {
            let original = requantized_input(&graph_index, node)?;
            Some((node.output.first()?.clone(), original.to_owned()))
        })
        .collect();
    if same.is_empty() {
        return;
    }
    rename_reads(graph, &same);
    // In this order, because a QuantizeLinear reads the floats of a DequantizeLinear.
    for op in ["QuantizeLinear", "DequantizeLinear"] {
        let read = read_names(graph);
        let is_read = |node: &NodeProto| node.output.iter().any(|output| read.contains(output));
        graph.node.retain(|node| !node.is(op) || is_read(node));
    }
}

fn rename_reads(graph: &mut GraphProto, names: &HashMap<String, String>) {
    for node in &mut graph.node {
        for input in &mut node.input {
            if let Some(name) = names.get(input) {
                input.clone_from(name);
            }
        }
        for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            rename_reads(inner, names);
        }
    }
}

/// The state of [`expose_floats`].
struct Pass {
    /// Initializers with one element. A scale with more belongs to a weight.
    scalars: HashSet<String>,
    known: HashMap<String, Quantization>,
    builder: GraphBuilder,
    changed: bool,
}

impl Pass {
    fn node(&mut self, node: NodeProto) {
        if node.is("QuantizeLinear") {
            let scale = node.input_name(1).filter(|scale| self.scalars.contains(*scale));
            if let (Some(scale), Some(output)) = (scale, node.output.first()) {
                let zero_point = node.input_name(2).map(str::to_owned);
                let known = Quantization { scale: scale.to_owned(), zero_point, floats: None };
                self.known.insert(output.clone(), known);
            }
            self.builder.nodes.push(node);
            return;
        }
        if let Some(result) = self.result(&node) {
            self.integer_op(node, result);
            return;
        }
        match node.input_name(0).and_then(|input| self.known.get(input)).cloned() {
            Some(known) if moves_values(&node) => self.move_floats(node, &known),
            _ => self.builder.nodes.push(node),
        }
    }

    /// The quantisation of an integer operator's result.
    fn result(&self, node: &NodeProto) -> Option<Quantization> {
        let params = QuantizedOp::from_node(node)?.result?;
        let scale =
            params.scales.into_iter().next().filter(|scale| self.scalars.contains(scale))?;
        Some(Quantization { scale, zero_point: params.zero_point, floats: None })
    }

    /// Passes the result of an integer operator through floats.
    fn integer_op(&mut self, mut node: NodeProto, result: Quantization) {
        let Some(output) = node.output.first_mut() else { return self.builder.nodes.push(node) };
        let own = output.clone();
        let (integers, floats) = (format!("{own}/integers"), format!("{own}/floats"));
        output.clone_from(&integers);
        let mut dequantize = result.conversion("DequantizeLinear", &integers, &floats);
        // The float result is what a user means by the operator's name.
        dequantize.name = node.name.take();
        node.name = dequantize.name.as_ref().map(|name| format!("{name}/integers"));
        dequantize.metadata_props.clone_from(&node.metadata_props);
        self.builder.nodes.extend([node, dequantize]);
        self.quantize_again(&own, floats, &result);
    }

    /// Lets an operator move floats instead of integers.
    fn move_floats(&mut self, mut node: NodeProto, known: &Quantization) {
        let input = node.input[0].clone();
        let floats = known.floats.clone().unwrap_or_else(|| {
            let floats = format!("{input}/floats");
            self.builder.nodes.push(known.conversion("DequantizeLinear", &input, &floats));
            let floats_known = Quantization { floats: Some(floats.clone()), ..known.clone() };
            self.known.insert(input, floats_known);
            floats
        });
        node.input[0] = floats;
        // The second output of a MaxPool holds indices, not values.
        let count = if node.op() == "Split" { node.output.len() } else { 1 };
        let outputs: Vec<String> = node.output[..count].to_vec();
        for output in &mut node.output[..count] {
            output.push_str("/floats");
        }
        self.builder.nodes.push(node);
        for own in outputs {
            let floats = format!("{own}/floats");
            self.quantize_again(&own, floats, known);
        }
    }

    /// Writes the integers under their original name, for the nodes that read them.
    fn quantize_again(&mut self, own: &str, floats: String, known: &Quantization) {
        self.builder.nodes.push(known.conversion("QuantizeLinear", &floats, own));
        self.known.insert(own.to_owned(), Quantization { floats: Some(floats), ..known.clone() });
        self.changed = true;
    }
}

impl Quantization {
    /// A `QuantizeLinear` or `DequantizeLinear` with these parameters.
    fn conversion(&self, op: &str, from: &str, to: &str) -> NodeProto {
        let zero_point = self.zero_point.as_deref();
        let inputs: Vec<&str> = [from, &self.scale].into_iter().chain(zero_point).collect();
        NodeProto::new(op, &inputs, &[to])
    }
}

/// True for operators whose output elements are elements of their first input.
fn moves_values(node: &NodeProto) -> bool {
    node.is_standard()
        && match node.op() {
            "DepthToSpace" | "Expand" | "Flatten" | "Gather" | "GlobalMaxPool" | "Identity"
            | "MaxPool" | "Reshape" | "Slice" | "SpaceToDepth" | "Split" | "Squeeze" | "Tile"
            | "Transpose" | "Unsqueeze" => true,
            "Resize" => node.string("mode", "nearest") == "nearest",
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{TensorProto, ValueInfoProto};

    fn exposed(nodes: Vec<NodeProto>) -> GraphProto {
        let scalar = |name: &str| TensorProto::float32(name, &[], &[0.1]);
        let mut graph = GraphProto {
            node: nodes,
            initializer: vec![scalar("s"), scalar("t")],
            ..Default::default()
        };
        expose_floats(&mut graph);
        graph
    }

    fn listed(graph: &GraphProto) -> Vec<String> {
        let line = |node: &NodeProto| {
            format!("{} {} > {}", node.op(), node.input.join(" "), node.output.join(" "))
        };
        graph.node.iter().map(line).collect()
    }

    #[test]
    fn every_integer_operator_exposes_floats_until_round_trips_are_folded() {
        let inputs = ["q", "s", "z", "w", "ws", "wz", "t", "zt"];
        let mut graph = exposed(vec![
            NodeProto::new("QuantizeLinear", &["x", "s", "z"], &["q"]),
            NodeProto::new("QLinearConv", &inputs, &["c"]),
            NodeProto::new("MaxPool", &["c"], &["m"]),
            NodeProto::new("QLinearSigmoid", &["c", "t", "zt", "s", "z"], &["g"]),
        ]);
        let [dequantised, requantised] =
            ["DequantizeLinear g/integers s z > g/floats", "QuantizeLinear g/floats s z > g"];
        assert_eq!(
            listed(&graph),
            [
                "QuantizeLinear x s z > q",
                "QLinearConv q s z w ws wz t zt > c/integers",
                "DequantizeLinear c/integers t zt > c/floats",
                "QuantizeLinear c/floats t zt > c",
                "MaxPool c/floats > m/floats",
                "QuantizeLinear m/floats t zt > m",
                "QLinearSigmoid c t zt s z > g/integers",
                dequantised,
                requantised,
            ]
        );
        graph.node.push(NodeProto::new("DequantizeLinear", &["g", "s", "z"], &["scores"]));
        graph.output = ["m", "scores"].map(ValueInfoProto::untyped).into();
        fold_round_trips(&mut graph);
        assert_eq!(
            listed(&graph),
            [
                "QuantizeLinear x s z > q",
                "QLinearConv q s z w ws wz t zt > c/integers",
                "DequantizeLinear c/integers t zt > c/floats",
                "MaxPool c/floats > m/floats",
                "QuantizeLinear m/floats t zt > m",
                "QLinearSigmoid c/integers t zt s z > g/integers",
                "DequantizeLinear g/integers s z > scores",
            ]
        );
    }

    #[test]
    fn per_channel_scales_and_float_operators_are_left_alone() {
        let graph = exposed(vec![
            NodeProto::new("QuantizeLinear", &["x", "many", "z"], &["q"]),
            NodeProto::new("Transpose", &["q"], &["turned"]),
            NodeProto::new("MaxPool", &["x"], &["m"]),
        ]);
        assert_eq!(
            listed(&graph),
            ["QuantizeLinear x many z > q", "Transpose q > turned", "MaxPool x > m"]
        );
    }
}
