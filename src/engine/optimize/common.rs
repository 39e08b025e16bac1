//! Helpers that several passes share.

use std::collections::{HashMap, HashSet};

use onnx_gradient::index::reads;
use onnx_gradient::proto::{GraphProto, NodeProto, data_type};

/// The domain of camlens's custom operators.
pub const DOMAIN: &str = "camlens";

/// Shapes of a graph's 32-bit weights, by name.
pub(crate) fn weights(graph: &GraphProto) -> HashMap<String, Vec<i64>> {
    let floats = graph.initializer.iter().filter(|tensor| tensor.data_type() == data_type::FLOAT);
    floats.map(|tensor| (tensor.name().to_owned(), tensor.dims.clone())).collect()
}

/// The bodies of a graph's `Loop` nodes. One of them holds the backward pass.
pub(crate) fn bodies(graph: &mut GraphProto) -> impl Iterator<Item = &mut GraphProto> {
    let is_loop = |node: &&mut NodeProto| node.is("Loop");
    let attributes = graph.node.iter_mut().filter(is_loop).flat_map(|node| &mut node.attribute);
    attributes.filter_map(|attribute| attribute.g.as_mut())
}

/// Whether a node is this custom operator.
pub(crate) fn is_own(node: &NodeProto, operator: &str) -> bool {
    node.domain() == DOMAIN && node.op() == operator
}

/// Replaces nodes by index, then removes every node whose outputs are no longer read.
pub(crate) fn replace(graph: &mut GraphProto, mut replacements: HashMap<usize, NodeProto>) {
    for (index, node) in graph.node.iter_mut().enumerate() {
        if let Some(new) = replacements.remove(&index) {
            *node = new;
        }
    }
    let mut read: HashSet<String> =
        graph.output.iter().map(|output| output.name().to_owned()).collect();
    let mut kept: Vec<NodeProto> = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| read.contains(output)) {
            read.extend(reads(&node).map(str::to_owned));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
}
