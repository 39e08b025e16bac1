//! Floats between the operators of a model that computes in integers.
//!
//! A layer is a tensor of floats that the score depends on, and a model in the
//! QOperator format has none: each operator takes the integers of the one before it.
//! Here each result is told in floats and rounded again by the same scale and zero
//! point, which gives the very integers back: (q − z)·s / s + z differs from q by far
//! less than the half at which it would be rounded elsewhere. What only moves
//! numbers, or picks the largest, does so with the floats. So the scores stay the same, bit
//! by bit, and there is a place to look at behind each operator.

use std::collections::{HashMap, HashSet};

use crate::index::{GraphIndex, read_names};
use crate::proto::{GraphProto, NodeProto};
use crate::quantized::Quantized;

/// What the integers of a tensor mean, and the tensor of floats that says it, where there is one.
#[derive(Clone)]
struct Known {
    scale: String,
    zero: Option<String>,
    floats: Option<String>,
}

/// Puts floats behind each operator of integers. True when there were any.
pub fn frame(graph: &mut GraphProto) -> bool {
    let scalars: HashSet<String> = (graph.initializer.iter())
        .filter(|tensor| tensor.dims.iter().product::<i64>() == 1)
        .map(|tensor| tensor.name().to_owned())
        .collect();
    let mut frames = Frames { scalars, known: HashMap::new(), nodes: Vec::new(), any: false };
    for node in std::mem::take(&mut graph.node) {
        frames.node(node);
    }
    graph.node = frames.nodes;
    frames.any
}

/// Takes away again what a finished program has no use for: whoever rounds floats that integers of
/// the same scale and zero point were told in can read those integers, and floats that nobody reads
/// need not be told.
pub fn close(graph: &mut GraphProto) {
    let graph_index = GraphIndex::new(graph);
    let same: HashMap<String, String> = (graph.node.iter())
        .filter_map(|node| {
            Some((
                node.output.first()?.clone(),
                rounds_what_was_told(&graph_index, node)?.to_owned(),
            ))
        })
        .collect();
    if same.is_empty() {
        return;
    }
    rename_reads(graph, &same);
    // Who rounds goes first: it reads what is told.
    for op in ["QuantizeLinear", "DequantizeLinear"] {
        let read = read_names(graph);
        let is_read = |node: &NodeProto| node.output.iter().any(|output| read.contains(output));
        graph.node.retain(|node| !node.is(op) || is_read(node));
    }
}

/// The integers that a node rounds floats to which they were told in: the very ones that it gives.
#[must_use]
pub fn rounds_what_was_told<'g>(graph_index: &GraphIndex<'g>, node: &NodeProto) -> Option<&'g str> {
    let told = graph_index.producer(node.input_name(0).filter(|_| node.is("QuantizeLinear"))?)?;
    let is_same = told.is("DequantizeLinear")
        && (1..3).all(|place| told.input_name(place) == node.input_name(place));
    told.input_name(0).filter(|_| is_same)
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

struct Frames {
    /// Constants of one number: a scale for each channel is a weight's.
    scalars: HashSet<String>,
    known: HashMap<String, Known>,
    nodes: Vec<NodeProto>,
    any: bool,
}

impl Frames {
    fn node(&mut self, node: NodeProto) {
        if node.is("QuantizeLinear") {
            let scale = node.input_name(1).filter(|scale| self.scalars.contains(*scale));
            if let (Some(scale), Some(output)) = (scale, node.output.first()) {
                let zero = node.input_name(2).map(str::to_owned);
                let known = Known { scale: scale.to_owned(), zero, floats: None };
                self.known.insert(output.clone(), known);
            }
            self.nodes.push(node);
            return;
        }
        if let Some(known) = self.result(&node) {
            self.computed(node, known);
            return;
        }
        match node.input_name(0).and_then(|input| self.known.get(input)).cloned() {
            Some(known) if moves_numbers(&node) => self.moved(node, &known),
            _ => self.nodes.push(node),
        }
    }

    /// How an operator of integers rounds its result.
    fn result(&self, node: &NodeProto) -> Option<Known> {
        let scheme = Quantized::of(node)?.result?;
        let scale =
            scheme.scales.into_iter().next().filter(|scale| self.scalars.contains(scale))?;
        Some(Known { scale, zero: scheme.zero, floats: None })
    }

    /// Lets an operator's integers pass through floats.
    fn computed(&mut self, mut node: NodeProto, known: Known) {
        let Some(output) = node.output.first_mut() else { return self.nodes.push(node) };
        let own = output.clone();
        let (integers, floats) = (format!("{own}/integers"), format!("{own}/floats"));
        output.clone_from(&integers);
        let mut told = known.rounding("DequantizeLinear", &integers, &floats);
        // Layers go by the name that the operator had.
        told.name = node.name.take();
        node.name = told.name.as_ref().map(|name| format!("{name}/integers"));
        told.metadata_props.clone_from(&node.metadata_props);
        self.nodes.extend([node, told]);
        self.rounded_again(&own, floats, &known);
    }

    /// Lets an operator move floats instead of integers.
    fn moved(&mut self, mut node: NodeProto, known: &Known) {
        let input = node.input[0].clone();
        let floats = known.floats.clone().unwrap_or_else(|| {
            let floats = format!("{input}/floats");
            self.nodes.push(known.rounding("DequantizeLinear", &input, &floats));
            self.known.insert(input, Known { floats: Some(floats.clone()), ..known.clone() });
            floats
        });
        node.input[0] = floats;
        // What stands behind the first output of a max-pooling are places.
        let count = if node.op() == "Split" { node.output.len() } else { 1 };
        let outputs: Vec<String> = node.output[..count].to_vec();
        for output in &mut node.output[..count] {
            output.push_str("/floats");
        }
        self.nodes.push(node);
        for own in outputs {
            let floats = format!("{own}/floats");
            self.rounded_again(&own, floats, known);
        }
    }

    /// Whoever reads the integers finds them under the name that they had.
    fn rounded_again(&mut self, own: &str, floats: String, known: &Known) {
        self.nodes.push(known.rounding("QuantizeLinear", &floats, own));
        self.known.insert(own.to_owned(), Known { floats: Some(floats), ..known.clone() });
        self.any = true;
    }
}

impl Known {
    fn rounding(&self, op: &str, from: &str, to: &str) -> NodeProto {
        let inputs: Vec<&str> =
            [from, &self.scale].into_iter().chain(self.zero.as_deref()).collect();
        NodeProto::new(op, &inputs, &[to])
    }
}

/// Operators that give some of the numbers that they take, and no others.
fn moves_numbers(node: &NodeProto) -> bool {
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

    fn framed(nodes: Vec<NodeProto>) -> GraphProto {
        let scalar = |name: &str| TensorProto::float32(name, &[], &[0.1]);
        let mut graph = GraphProto {
            node: nodes,
            initializer: vec![scalar("s"), scalar("t")],
            ..Default::default()
        };
        frame(&mut graph);
        graph
    }

    fn told(graph: &GraphProto) -> Vec<String> {
        let told = |node: &NodeProto| {
            format!("{} {} > {}", node.op(), node.input.join(" "), node.output.join(" "))
        };
        graph.node.iter().map(told).collect()
    }

    #[test]
    fn each_operator_of_integers_hands_on_floats_that_are_rounded_again() {
        let inputs = ["q", "s", "z", "w", "ws", "wz", "t", "zt"];
        let mut graph = framed(vec![
            NodeProto::new("QuantizeLinear", &["x", "s", "z"], &["q"]),
            NodeProto::new("QLinearConv", &inputs, &["c"]),
            NodeProto::new("MaxPool", &["c"], &["m"]),
            NodeProto::new("QLinearSigmoid", &["c", "t", "zt", "s", "z"], &["g"]),
        ]);
        let [told_g, rounded_g] =
            ["DequantizeLinear g/integers s z > g/floats", "QuantizeLinear g/floats s z > g"];
        assert_eq!(
            told(&graph),
            [
                "QuantizeLinear x s z > q",
                "QLinearConv q s z w ws wz t zt > c/integers",
                "DequantizeLinear c/integers t zt > c/floats",
                "QuantizeLinear c/floats t zt > c",
                "MaxPool c/floats > m/floats",
                "QuantizeLinear m/floats t zt > m",
                "QLinearSigmoid c t zt s z > g/integers",
                told_g,
                rounded_g,
            ]
        );
        graph.node.push(NodeProto::new("DequantizeLinear", &["g", "s", "z"], &["scores"]));
        graph.output = ["m", "scores"].map(ValueInfoProto::untyped).into();
        close(&mut graph);
        assert_eq!(
            told(&graph),
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
    fn a_scale_for_each_channel_and_floats_are_left_alone() {
        let graph = framed(vec![
            NodeProto::new("QuantizeLinear", &["x", "many", "z"], &["q"]),
            NodeProto::new("Transpose", &["q"], &["turned"]),
            NodeProto::new("MaxPool", &["x"], &["m"]),
        ]);
        assert_eq!(
            told(&graph),
            ["QuantizeLinear x many z > q", "Transpose q > turned", "MaxPool x > m"]
        );
    }
}
