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

/// The last node on the way from the image to an untraced tensor of which an input was traced to
/// rows and columns.
pub(super) fn untraced_at<'g>(
    graph_index: &GraphIndex<'g>,
    axes: &HashMap<&'g str, Axes>,
    tensor: &'g str,
) -> Option<&'g NodeProto> {
    let has_positions = |input: &str| {
        let axes = axes.get(input);
        axes.is_some_and(|axes| axes.iter().flatten().any(AxisFactor::is_spatial))
    };
    let mut open = VecDeque::from([tensor]);
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(tensor) = open.pop_front() {
        let node = graph_index.producer(tensor).filter(|_| seen.insert(tensor));
        let Some(node) = node.filter(|node| !ignores_values(graph_index, node)) else { continue };
        if reads(node).any(has_positions) {
            return Some(node);
        }
        open.extend(reads(node).filter(|input| !axes.contains_key(input)));
    }
    None
}
