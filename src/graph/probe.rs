//! Asking the runtime how large every tensor is.
//!
//! Instead of inferring shapes a second time beside ONNX Runtime, camlens lets it
//! run the model once with a `Shape` node behind every tensor. Only those short
//! vectors leave the graph, so the probe holds no activation longer than the
//! forward pass does.

use std::collections::HashMap;

use super::prepare::Prepared;
use super::proto::{ModelProto, NodeProto, ValueInfoProto};

/// The sizes of tensors by name, as measured with one batch size.
#[derive(Clone, Debug, Default)]
pub struct Shapes(HashMap<String, Vec<i64>>);

impl Shapes {
    /// The sizes of a tensor; `None` when it was not measured.
    #[must_use]
    pub fn get(&self, tensor: &str) -> Option<&[i64]> {
        self.0.get(tensor).map(Vec::as_slice)
    }
}

impl FromIterator<(String, Vec<i64>)> for Shapes {
    fn from_iter<T: IntoIterator<Item = (String, Vec<i64>)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// Operators whose outputs are no tensors, so that they have no `Shape`.
fn makes_tensors(node: &NodeProto) -> bool {
    !node.op().starts_with("Sequence")
        && !node.op().starts_with("Optional")
        && !matches!(node.op(), "SplitToSequence" | "If" | "Loop" | "Scan" | "SequenceMap" | "StringSplit")
}

/// The model with a `Shape` behind every tensor, and what each of these outputs speaks of.
///
/// The model's own outputs come first, unchanged.
#[must_use]
pub fn shape_probe(prepared: &Prepared) -> (ModelProto, Vec<(String, String)>) {
    let mut model = prepared.model.clone();
    let graph = model.graph.get_or_insert_default();
    let tensors: Vec<String> = (graph.node.iter().filter(|node| makes_tensors(node)))
        .flat_map(|node| &node.output)
        .filter(|name| !name.is_empty())
        .cloned()
        .chain([prepared.input.name.clone()])
        .collect();
    let mut asked = Vec::with_capacity(tensors.len());
    for (index, tensor) in tensors.into_iter().enumerate() {
        let output = format!("camlens/shape/{index}");
        graph.node.push(NodeProto::new("Shape", &[&tensor], &[&output]));
        graph.output.push(ValueInfoProto::untyped(&output));
        asked.push((output, tensor));
    }
    (model, asked)
}

/// The shapes of the constants, which need no run.
pub fn constant_shapes(prepared: &Prepared) -> impl Iterator<Item = (String, Vec<i64>)> {
    prepared.graph().initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.dims.clone()))
}
