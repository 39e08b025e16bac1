//! Where a model meets its caller: an image of 32-bit floats comes in, tensors of them go out.

use std::collections::HashSet;

use crate::index::read_names;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TypeValue, ValueInfoProto, data_type};

/// Makes a model's inputs and outputs what every caller expects; nothing that it computes changes.
pub fn arrange(graph: &mut GraphProto) {
    initializers_are_no_inputs(graph);
    outputs_are_tensors(graph);
    single_precision_at_the_ends(graph);
}

/// Before IR version 4 every weight had to be listed as an input, which keeps the runtime from
/// folding it. One that nobody reads had no other mention: the runtime refuses a model where it has
/// none.
fn initializers_are_no_inputs(graph: &mut GraphProto) {
    let initializers: HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.retain(|input| !initializers.contains(input.name()));
    let read = read_names(graph);
    graph.initializer.retain(|tensor| read.contains(tensor.name()));
}

/// What is handed out as a sequence or as a map from class to score is handed out as the tensors in
/// it.
fn outputs_are_tensors(graph: &mut GraphProto) {
    let outputs = std::mem::take(&mut graph.output);
    for output in outputs {
        let node =
            graph.node.iter().find(|node| node.output.iter().any(|name| name == output.name()));
        match node.filter(|node| matches!(node.op(), "SequenceConstruct" | "ZipMap" | "Optional")) {
            Some(node) => {
                graph.output.extend(node.input.iter().map(|name| ValueInfoProto::untyped(name)))
            }
            None => graph.output.push(output),
        }
    }
}

/// Images come and scores go as 32-bit floats, whatever the model computes in: casts stand at its
/// ends. An image may be taken in bytes, scores may not.
fn single_precision_at_the_ends(graph: &mut GraphProto) {
    const SCORES: &[i32] = &[data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE];
    const IMAGES: &[i32] =
        &[data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE, data_type::UINT8];
    let other = |value: &ValueInfoProto, known: &[i32]| {
        value.tensor().map(|(element, _)| element).filter(|element| known.contains(element))
    };
    let cast = |from: &str, to: &str, element: i32| {
        NodeProto::new("Cast", &[from], &[to]).with(AttributeProto::int("to", element.into()))
    };
    let inside = |name: &str| format!("{name}/camlens/inside");
    let inputs: Vec<(String, i32)> = graph
        .input
        .iter()
        .filter_map(|input| Some((input.name().to_owned(), other(input, IMAGES)?)))
        .collect();
    for (name, element) in inputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), false);
        }
        graph.node.insert(0, cast(&name, &inside(&name), element));
    }
    let outputs: Vec<String> =
        (graph.output.iter().filter(|output| other(output, SCORES).is_some()))
            .map(|output| output.name().to_owned())
            .filter(|name| graph.node.iter().any(|node| node.output.contains(name)))
            .collect();
    for name in outputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), true);
        }
        graph.node.push(cast(&inside(&name), &name, data_type::FLOAT));
    }
    let inputs = graph.input.iter_mut().map(|input| (input, IMAGES));
    let outputs = graph.output.iter_mut().map(|output| (output, SCORES));
    for (value, known) in inputs.chain(outputs) {
        if let Some(TypeValue::Tensor(tensor)) =
            value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && known.contains(&tensor.elem_type())
        {
            tensor.elem_type = Some(data_type::FLOAT);
        }
    }
}

/// Gives a tensor another name in a node that reads it, or with `outputs` makes it; also in its
/// sub-graphs.
fn rename(node: &mut NodeProto, from: &str, to: &str, outputs: bool) {
    let made = node.output.iter_mut().filter(|_| outputs);
    for name in node.input.iter_mut().chain(made).filter(|name| *name == from) {
        to.clone_into(name);
    }
    for attribute in &mut node.attribute {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for node in &mut graph.node {
                rename(node, from, to, false);
            }
            for output in graph.output.iter_mut().filter(|output| output.name() == from) {
                output.name = Some(to.to_owned());
            }
        }
    }
}
