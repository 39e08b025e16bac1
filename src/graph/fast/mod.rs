//! What of a program is computed otherwise than it is written, because the runtime takes longer for
//! it than it must: nearly all of it by camlens itself, convolutions between roundings by the
//! runtime's kernels of integers.
//!
//! [`fuse`] is the last thing that is done to a program: it puts operators of the
//! domain [`DOMAIN`] in the place of those nodes that they compute faster. What
//! does not fit stays as it is, so every model runs.

pub mod along;
pub mod blocks;
pub mod chain;
pub mod depthwise;
pub mod elementwise;
mod integers;
pub mod products;

use std::collections::{HashMap, HashSet};

use super::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, data_type};
use super::topology::reads;

/// The domain of camlens's own operators.
pub const DOMAIN: &str = "camlens";

/// What was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fused {
    /// The convolutions of each chain, in the graph's order.
    pub chains: Vec<usize>,
    /// Products with matrices so large that reading them is what takes time.
    pub products: usize,
    /// Depthwise convolutions of the backward pass.
    pub depthwise: usize,
    /// Groups of elementwise operators.
    pub groups: usize,
    /// Those of them that a convolution does along the way.
    pub joined: usize,
    /// Convolutions in blocks of channels, which are written so where a backward pass would turn
    /// maps round.
    pub blocks: usize,
    /// Convolutions between roundings, which the runtime computes in integers.
    pub integers: usize,
}

/// What of the machine decides what is worth replacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// How many channels the runtime's convolutions keep together in a block, where they do: one
    /// of [`camlens_kernels::NCHWC_BLOCKS`].
    pub block: Option<usize>,
}

/// Replaces what camlens computes faster than the runtime.
pub fn fuse(model: &mut ModelProto, machine: Machine) -> Fused {
    let Some(graph) = &mut model.graph else { return Fused::default() };
    // The others would take them as convolutions of floats.
    let integers = integers::fuse(graph, camlens_kernels::has_exact_int8_dot());
    let mut fused = Fused {
        chains: chain::fuse(graph),
        products: products::fuse(graph),
        depthwise: depthwise::fuse(graph),
        groups: elementwise::fuse(graph),
        joined: along::join(graph),
        blocks: 0,
        integers,
    };
    if let Some(lanes) = machine.block {
        fused.blocks = blocks::lay_out(graph, lanes);
    }
    if fused.blocks > 0 {
        model.opset_import.push(blocks::opset());
    }
    if fused != Fused::default() {
        model
            .opset_import
            .push(OperatorSetIdProto { domain: Some(DOMAIN.into()), version: Some(1) });
    }
    fused
}

/// The shapes of a graph's weights in 32 bits, by their names.
fn weights(graph: &GraphProto) -> HashMap<String, Vec<i64>> {
    let floats = graph.initializer.iter().filter(|tensor| tensor.data_type() == data_type::FLOAT);
    floats.map(|tensor| (tensor.name().to_owned(), tensor.dims.clone())).collect()
}

/// The bodies of a graph's `Loop` nodes, which is where the backward pass stands.
fn bodies(graph: &mut GraphProto) -> impl Iterator<Item = &mut GraphProto> {
    let is_loop = |node: &&mut NodeProto| node.is("Loop");
    let attributes = graph.node.iter_mut().filter(is_loop).flat_map(|node| &mut node.attribute);
    attributes.filter_map(|attribute| attribute.g.as_mut())
}

/// Whether a node is this operator of camlens.
fn is_own(node: &NodeProto, operator: &str) -> bool {
    node.domain() == DOMAIN && node.op() == operator
}

/// Puts nodes in the place of others, and drops those of which nothing is read any more, by another
/// or as an output.
fn replace(graph: &mut GraphProto, mut by: HashMap<usize, NodeProto>) {
    for (index, node) in graph.node.iter_mut().enumerate() {
        if let Some(new) = by.remove(&index) {
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
