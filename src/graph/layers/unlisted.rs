//! Tensors that are no listed layer and can be explained nevertheless.
//!
//! A model lists some dozens of layers and has hundreds of tensors. [`tensor_named`] finds the
//! tensor that a name stands for; [`UnlistedLayers`] remembers what was found out about each tensor
//! that a request has named, so that loading a model costs nothing for the others.

use std::collections::HashMap;
use std::sync::OnceLock;

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto};
use onnx_gradient::quantized::requantized_input;

use super::Layer;
use super::names::{is_inside, module};

/// A layer that is not listed.
#[derive(Clone, Debug)]
pub struct UnlistedLayer {
    /// The layer. Its name leads back to it.
    pub layer: Layer,
    /// Why it has no gradient, if it has none.
    pub gradient_unsupported_reason: Option<String>,
}

/// What is known about each tensor of a graph as a layer, or why it is none. Empty at first.
#[derive(Clone, Debug, Default)]
pub struct UnlistedLayers {
    tensors: HashMap<String, OnceLock<Result<UnlistedLayer, String>>>,
}

impl UnlistedLayers {
    /// No tensor of this graph has been examined.
    #[must_use]
    pub fn new(graph: &GraphProto) -> Self {
        let outputs = graph.node.iter().flat_map(|node| &node.output);
        let named = outputs.filter(|name| !name.is_empty());
        Self { tensors: named.map(|name| (name.clone(), OnceLock::new())).collect() }
    }

    /// What has been found out about a tensor; `None` where nobody has asked yet.
    #[must_use]
    pub fn known(&self, tensor: &str) -> Option<&UnlistedLayer> {
        self.tensors.get(tensor)?.get()?.as_ref().ok()
    }

    /// A tensor as a layer; `examine` runs at the first request. `None` for a name that no node of
    /// the graph computes.
    pub fn get(
        &self,
        tensor: &str,
        examine: impl FnOnce() -> Result<UnlistedLayer, String>,
    ) -> Option<Result<&UnlistedLayer, &str>> {
        let found = self.tensors.get(tensor)?.get_or_init(examine);
        Some(found.as_ref().map_err(String::as_str))
    }
}

/// The tensor of this name that a node computes.
#[must_use]
pub fn computed<'g>(graph: &'g GraphProto, name: &str) -> Option<&'g str> {
    let mut outputs = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    outputs.find(|output| *output == name && !name.is_empty())
}

/// The name of the tensor that a tensor or a node of this name computes. A node of several outputs
/// stands for its first.
#[must_use]
pub fn tensor_named<'g>(graph: &'g GraphProto, name: &str) -> Option<&'g str> {
    computed(graph, name).or_else(|| computed_by(graph, name))
}

/// The first tensor that the node of this name computes.
#[must_use]
pub fn computed_by<'g>(graph: &'g GraphProto, node: &str) -> Option<&'g str> {
    let named = || graph.node.iter().find(|other| other.name() == node);
    if node.is_empty() { None } else { first_output(named()?) }
}

/// The last tensor of floats that a module computes, by the scopes that its exporter noted.
#[must_use]
pub fn module_output<'g>(
    graph: &'g GraphProto,
    facts: &TensorFacts,
    name: &str,
) -> Option<&'g str> {
    let is_of_module = |node: &&NodeProto| {
        module(node).is_some_and(|module| module == name || is_inside(&module, name))
    };
    let measured_floats = |node: &'g NodeProto| {
        let is_measured =
            |output: &&str| is_float(facts.element_type(output)) && facts.get(output).is_some();
        first_output(node).filter(is_measured)
    };
    graph.node.iter().rev().filter(is_of_module).find_map(measured_floats)
}

/// The float tensor that a tensor of quantised integers stands for; the tensor itself otherwise.
pub(super) fn floats_of<'g>(
    graph: &'g GraphProto,
    facts: &TensorFacts,
    tensor: &'g str,
) -> &'g str {
    if is_float(facts.element_type(tensor)) {
        return tensor;
    }
    let graph_index = GraphIndex::new(graph);
    let dequantizer = graph_index.consumers(tensor).find(|node| node.is("DequantizeLinear"));
    if let Some(floats) = dequantizer.and_then(first_output) {
        return floats;
    }
    // The integers are an exact copy of others, whose floats are known.
    let round_trip = graph_index.producer(tensor).filter(|node| {
        node.is("QuantizeLinear") && requantized_input(&graph_index, node).is_some()
    });
    let floats = round_trip.and_then(|node| graph_index.own_name(node.input_name(0)?));
    floats.unwrap_or(tensor)
}

fn first_output(node: &NodeProto) -> Option<&str> {
    node.output.iter().map(String::as_str).find(|output| !output.is_empty())
}
