//! Operators that are random or in training mode.
//!
//! An export in training mode, or one for Monte Carlo dropout, gives other outputs in each run. ONNX
//! Runtime leaves `Dropout` out when it optimises a graph, in training mode too, so what it serves
//! is the model in inference; [`remove_training_dropout`] does the same. All other operators stay,
//! and [`varying_nodes`] names them.

use std::collections::HashSet;

use onnx_gradient::index::{GraphIndex, read_names};
use onnx_gradient::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, data_type,
};

/// Operators that draw random numbers.
const RANDOM: [&str; 6] = [
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

/// A node that is random or in training mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaryingNode {
    /// Its operator and name, and what is the matter with it.
    pub description: String,
    /// What it computes; for a node of a sub-graph, what the node of the main graph computes.
    outputs: Vec<String>,
}

impl VaryingNode {
    /// Whether its outputs are among some tensors.
    pub(super) fn reaches(&self, tensors: &HashSet<&str>) -> bool {
        self.outputs.iter().any(|output| tensors.contains(output.as_str()))
    }
}

/// The nodes of a graph that are random or in training mode and that some output depends on,
/// sub-graphs included.
pub(super) fn varying_nodes(graph: &GraphProto) -> Vec<VaryingNode> {
    let outputs = graph.output.iter().map(ValueInfoProto::name);
    let used = tensors_before(graph, outputs);
    let of_node = |node: &NodeProto| {
        let varying = |description| VaryingNode { description, outputs: node.output.clone() };
        descriptions(node, graph).into_iter().map(varying).collect::<Vec<_>>()
    };
    graph.node.iter().flat_map(of_node).filter(|node| node.reaches(&used)).collect()
}

/// The tensors that some tensors depend on, and these themselves.
pub(super) fn tensors_before<'g>(
    graph: &'g GraphProto,
    ends: impl Iterator<Item = &'g str>,
) -> HashSet<&'g str> {
    let graph_index = GraphIndex::new(graph);
    ends.flat_map(|end| graph_index.upstream(end)).collect()
}

/// What is the matter with a node and with the nodes of its sub-graphs, each in a few words.
fn descriptions(node: &NodeProto, graph: &GraphProto) -> Vec<String> {
    let describe = |node: &NodeProto| {
        let what = match node.op() {
            op if !node.is_standard() || op.is_empty() => return None,
            op if RANDOM.contains(&op) => "draws random numbers",
            "Dropout" if trains(graph, node) => "is in training mode",
            "BatchNormalization" if node.int("training_mode", 0) != 0 => {
                "is in training mode: it normalises by the images of its own batch"
            }
            _ => return None,
        };
        Some(format!("{} '{}' {what}", node.op(), node.label()))
    };
    let inner = |attribute: &AttributeProto| {
        let of_graph = |inner: &GraphProto| {
            inner.node.iter().flat_map(|node| descriptions(node, inner)).collect::<Vec<_>>()
        };
        attribute.g.iter().chain(&attribute.graphs).flat_map(of_graph).collect::<Vec<_>>()
    };
    describe(node).into_iter().chain(node.attribute.iter().flat_map(inner)).collect()
}

/// Replaces `Dropout` in training mode by `Identity`, where nothing reads its mask.
pub(super) fn remove_training_dropout(graph: &mut GraphProto) {
    let read = read_names(graph);
    let trains: HashSet<String> = (graph.node.iter())
        .filter(|node| node.is("Dropout") && trains(graph, node))
        .filter(|node| node.output.get(1).is_none_or(|mask| !read.contains(mask)))
        .filter_map(|node| node.output.first().cloned())
        .collect();
    for node in &mut graph.node {
        if node.output.first().is_some_and(|output| trains.contains(output)) {
            node.op_type = Some("Identity".to_owned());
            node.attribute.clear();
            node.input.truncate(1);
            node.output.truncate(1);
        }
    }
}

/// Whether a `Dropout` may be in training mode: its third input is not the constant false.
fn trains(graph: &GraphProto, node: &NodeProto) -> bool {
    let is_false = |tensor: &TensorProto| {
        tensor.data_type() == data_type::BOOL
            && tensor.to_int64s().is_some_and(|values| values.iter().all(|value| *value == 0))
    };
    node.input_name(2).is_some_and(|training| {
        !graph.initializer.iter().any(|tensor| tensor.name() == training && is_false(tensor))
    })
}
