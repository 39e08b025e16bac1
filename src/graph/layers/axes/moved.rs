//! Which node may have moved positions where they could not be traced.
//!
//! A convolution of a tensor that was not traced counts as one of maps, because a graph may hold
//! operators that this module does not know. Its rows and columns are then assumed to be the
//! image's, and a result says so.

use std::collections::{HashMap, HashSet, VecDeque};

use super::axis_factor::{Axes, AxisFactor};
use crate::graph::layers::elementwise::ignores_values;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::float_equivalent;

/// The last node on the way from the image to a tensor without rows and columns of its own, of
/// which an input was traced to rows and columns.
pub(super) fn untraced_at<'g>(
    graph_index: &GraphIndex<'g>,
    axes: &HashMap<&'g str, Axes>,
    tensor: &'g str,
) -> Option<&'g NodeProto> {
    last_with_positions(graph_index, axes, tensor, |_| true)
}

/// The node that has moved the positions of an untraced tensor, if nothing on its way from a traced
/// one combines positions. (The windows of an attention are moved too, and moved back after it.)
pub(super) fn moved_alone<'g>(
    graph_index: &GraphIndex<'g>,
    axes: &HashMap<&'g str, Axes>,
    tensor: &'g str,
) -> Option<&'g NodeProto> {
    let keeps_apart = |node: &NodeProto| !combines(float_equivalent(node).op());
    last_with_positions(graph_index, axes, tensor, keeps_apart)
}

/// Walks back from a tensor, through the nodes that `passes` holds for, to the nearest one that
/// reads rows and columns.
fn last_with_positions<'g>(
    graph_index: &GraphIndex<'g>,
    axes: &HashMap<&'g str, Axes>,
    tensor: &'g str,
    passes: impl Fn(&NodeProto) -> bool,
) -> Option<&'g NodeProto> {
    let mut open = VecDeque::from([tensor]);
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(tensor) = open.pop_front() {
        let node = graph_index.producer(tensor).filter(|_| seen.insert(tensor));
        let is_on_the_way = |node: &&NodeProto| !ignores_values(graph_index, node) && passes(node);
        let Some(node) = node.filter(is_on_the_way) else { continue };
        if reads(node).any(|input| has_positions(axes, input)) {
            return Some(node);
        }
        open.extend(reads(node));
    }
    None
}

/// True for operators whose result at a position depends on several positions.
fn combines(op: &str) -> bool {
    let suffixes = ["Normalization", "Pool", "Softmax"];
    let prefixes = ["Conv", "Reduce", "Global"];
    matches!(op, "Attention" | "Einsum" | "GRU" | "Gemm" | "LSTM" | "MatMul" | "RNN")
        || suffixes.iter().any(|suffix| op.ends_with(suffix))
        || prefixes.iter().any(|prefix| op.starts_with(prefix))
}

fn has_positions(axes: &HashMap<&str, Axes>, tensor: &str) -> bool {
    axes.get(tensor).is_some_and(|axes| axes.iter().flatten().any(AxisFactor::is_spatial))
}
