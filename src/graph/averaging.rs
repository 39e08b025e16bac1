//! Layers whose maps are averaged over all positions before anything else reads them.
//!
//! Behind a global average pooling the score's gradient is the same at every position, so methods
//! that differ only in how they average it have the same map.

use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;
use std::collections::HashSet;

use super::layers::{Layer, Layout};

/// The spatial axes of a layer's tensor, if they are axes of their own.
const fn spatial_axes(layout: &Layout) -> Option<&'static [i64]> {
    match layout {
        Layout::Maps => Some(&[2, 3]),
        Layout::ChannelsLast => Some(&[1, 2]),
        Layout::Tokens(_) => Some(&[1]),
        Layout::Rearranged(_) => None,
    }
}

/// Whether every way from the layer to the score begins with an average over all positions.
/// `before_score` are the tensors that the score depends on.
pub(super) fn is_averaged(
    graph_index: &GraphIndex<'_>,
    facts: &TensorFacts,
    layer: &Layer,
    before_score: &HashSet<&str>,
) -> bool {
    let walk = Walk { graph_index, facts, before_score };
    spatial_axes(&layer.layout).is_some_and(|axes| walk.averages(&layer.tensor, axes))
}

struct Walk<'a, 'g> {
    graph_index: &'a GraphIndex<'g>,
    facts: &'a TensorFacts,
    before_score: &'a HashSet<&'a str>,
}

impl Walk<'_, '_> {
    /// Whether all that the score reads of a tensor is its average over these axes.
    fn averages(&self, tensor: &str, axes: &[i64]) -> bool {
        let matters = |node: &&NodeProto| {
            node.output.iter().any(|output| self.before_score.contains(output.as_str()))
        };
        let mut readers = self.graph_index.consumers(tensor).filter(matters).peekable();
        readers.peek().is_some() && readers.all(|node| self.node_averages(node, tensor, axes))
    }

    fn node_averages(&self, node: &NodeProto, tensor: &str, axes: &[i64]) -> bool {
        if !node.is_standard() {
            return false;
        }
        let Some(output) = node.output.first() else { return false };
        match node.op() {
            "Identity" | "Dropout" | "Cast" => self.averages(output, axes),
            "Transpose" => {
                let Some(order) = node.ints("perm") else { return false };
                let place = |axis: &i64| order.iter().position(|from| from == axis);
                let moved: Option<Vec<i64>> =
                    axes.iter().map(|axis| i64::try_from(place(axis)?).ok()).collect();
                moved.is_some_and(|axes| self.averages(output, &axes))
            }
            "GlobalAveragePool" => axes == [2, 3],
            "AveragePool" => axes == [2, 3] && self.is_global(node, tensor),
            "ReduceMean" => self.reduced(node, tensor).is_some_and(|reduced| {
                axes.iter().all(|axis| reduced.contains(axis)) && !reduced.contains(&0)
            }),
            _ => false,
        }
    }

    /// Whether the window of an average pooling is the whole map.
    fn is_global(&self, node: &NodeProto, tensor: &str) -> bool {
        let window = node.ints("kernel_shape").unwrap_or_default();
        let is_padded = node.ints("pads").is_some_and(|pads| pads.iter().any(|pad| *pad != 0));
        let is_dilated =
            node.ints("dilations").is_some_and(|steps| steps.iter().any(|by| *by != 1));
        let map = self.facts.get(tensor).and_then(|sizes| sizes.get(2..));
        map == Some(window) && !is_padded && !is_dilated
    }

    /// The axes, counted from the first, over which a node averages.
    fn reduced(&self, node: &NodeProto, tensor: &str) -> Option<Vec<i64>> {
        let rank = i64::try_from(self.facts.get(tensor)?.len()).ok()?;
        let axes = match node.input_name(1) {
            Some(input) => self.facts.known_int64s(self.graph_index, input)?,
            None => node.ints("axes")?.to_vec(),
        };
        Some(axes.into_iter().map(|axis| if axis < 0 { axis + rank } else { axis }).collect())
    }
}
