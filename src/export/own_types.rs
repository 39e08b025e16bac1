//! The types of the model's own inputs and outputs.
//!
//! The service reads every model as one of float32. The exported file takes and gives what the
//! model does: bytes, 16-bit floats or doubles. The tensors of these types are still in the graph,
//! behind casts, so the model computes with them as before.

use std::collections::{HashMap, HashSet};

use onnx_gradient::proto::{
    AttributeProto, GraphProto, NodeProto, TypeValue, ValueInfoProto, data_type,
};

use super::passes::Renaming;
use crate::graph::prepared::INSIDE;

/// Gives the inputs and outputs of `graph` the element types that they have in `original`.
pub(super) fn restore(graph: &mut GraphProto, original: &GraphProto) {
    let known: HashMap<&str, i32> = (original.input.iter().chain(&original.output))
        .filter_map(|value| Some((value.name(), element(value)?)))
        .collect();
    let written: HashSet<String> =
        graph.node.iter().flat_map(|node| &node.output).cloned().collect();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut casts = Vec::new();
    let mut restored = |value: &mut ValueInfoProto, is_input: bool| {
        let name = value.name().to_owned();
        let own = known.get(name.as_str()).copied().filter(|own| *own != data_type::FLOAT);
        let Some(own) = own.filter(|_| element(value) == Some(data_type::FLOAT)) else { return };
        let (inside, single) = (format!("{name}{INSIDE}"), format!("{name}/camlens/float32"));
        // What the service reads is the cast of what the model computes with.
        if !written.contains(&inside) {
            return;
        }
        if is_input {
            let to = AttributeProto::int("to", data_type::FLOAT.into());
            casts.push(NodeProto::new("Cast", &[&name], &[&single]).with(to));
        }
        names.insert(inside, name.clone());
        names.insert(name, single);
        set_element(value, own);
    };
    graph.input.iter_mut().for_each(|input| restored(input, true));
    graph.output.iter_mut().for_each(|output| restored(output, false));
    let names = names.iter().map(|(name, other)| (name.as_str(), other.as_str())).collect();
    let copy = Renaming { prefix: "", names };
    let inputs: HashSet<&str> = graph.input.iter().map(ValueInfoProto::name).collect();
    let nodes = graph.node.iter().map(|node| copy.node(node));
    // The casts of inputs to the model's types: the inputs have these types again.
    let nodes = nodes.filter(|node| !node.output.iter().any(|name| inputs.contains(name.as_str())));
    graph.node = casts.into_iter().chain(nodes).collect();
}

fn element(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Tensor(tensor) => Some(tensor.elem_type()),
        _ => None,
    }
}

fn set_element(value: &mut ValueInfoProto, element: i32) {
    if let Some(TypeValue::Tensor(tensor)) =
        value.r#type.as_mut().and_then(|known| known.value.as_mut())
    {
        tensor.elem_type = Some(element);
    }
}
