//! Inputs and outputs of a uniform type: float32 tensors.

use std::collections::HashSet;

use crate::dtype::is_float;
use crate::index::read_names;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TypeValue, ValueInfoProto, data_type};
use crate::quantized::QuantizedOp;

/// Gives a graph float32 inputs and tensor outputs; what it computes does not change.
///
/// - Initializers are no longer listed as inputs.
/// - Outputs that are sequences, optionals or `ZipMap`s become the tensors inside them.
/// - Inputs of 16-bit floats, doubles and `uint8`, and outputs of 16-bit floats and doubles, become
///   float32, with a `Cast` inside. The tensor that the model itself computes with is renamed to
///   `{name}/{scope}inside`.
/// - In a graph without float outputs, outputs of 8-bit integers become float32: dequantised where
///   an operator rounded them with a scale, else cast.
pub fn normalize(graph: &mut GraphProto, scope: &str) {
    drop_initializer_inputs(graph);
    unwrap_outputs(graph);
    cast_io_to_float32(graph, scope);
    expose_byte_outputs(graph, scope);
}

/// Before IR version 4 every initializer had to be listed as an input, which keeps a runtime from
/// folding it. An initializer that no node reads is removed as well: without the input, ONNX
/// Runtime rejects a model with an initializer that nothing uses.
fn drop_initializer_inputs(graph: &mut GraphProto) {
    let initializers: HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.retain(|input| !initializers.contains(input.name()));
    let read = read_names(graph);
    graph.initializer.retain(|tensor| read.contains(tensor.name()));
}

/// Replaces outputs that are sequences, optionals or maps from class to score by the tensors inside
/// them.
fn unwrap_outputs(graph: &mut GraphProto) {
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

/// Casts inputs and outputs of other float types. `uint8` is cast for inputs only.
fn cast_io_to_float32(graph: &mut GraphProto, scope: &str) {
    const OUTPUT_TYPES: &[i32] = &[data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE];
    const INPUT_TYPES: &[i32] =
        &[data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE, data_type::UINT8];
    let other = |value: &ValueInfoProto, known: &[i32]| {
        element_type(value).filter(|element| known.contains(element))
    };
    let cast = |from: &str, to: &str, element: i32| {
        NodeProto::new("Cast", &[from], &[to]).with(AttributeProto::int("to", element.into()))
    };
    let inside = |name: &str| format!("{name}/{scope}inside");
    let inputs: Vec<(String, i32)> = graph
        .input
        .iter()
        .filter_map(|input| Some((input.name().to_owned(), other(input, INPUT_TYPES)?)))
        .collect();
    for (name, element) in inputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), false);
        }
        graph.node.insert(0, cast(&name, &inside(&name), element));
    }
    let outputs: Vec<String> =
        (graph.output.iter().filter(|output| other(output, OUTPUT_TYPES).is_some()))
            .map(|output| output.name().to_owned())
            .filter(|name| graph.node.iter().any(|node| node.output.contains(name)))
            .collect();
    for name in outputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), true);
        }
        graph.node.push(cast(&inside(&name), &name, data_type::FLOAT));
    }
    let inputs = graph.input.iter_mut().map(|input| (input, INPUT_TYPES));
    let outputs = graph.output.iter_mut().map(|output| (output, OUTPUT_TYPES));
    for (value, known) in inputs.chain(outputs) {
        if let Some(TypeValue::Tensor(tensor)) =
            value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && known.contains(&tensor.elem_type())
        {
            tensor.elem_type = Some(data_type::FLOAT);
        }
    }
}

/// The element type of a tensor, which may be listed without a shape.
fn element_type(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Tensor(tensor) => Some(tensor.elem_type()),
        _ => None,
    }
}

/// Gives outputs of 8-bit integers their floats, if the graph has no float output. Beside a float
/// output they are masks or indices more often than scores.
fn expose_byte_outputs(graph: &mut GraphProto, scope: &str) {
    if graph.output.iter().filter_map(element_type).any(is_float) {
        return;
    }
    let is_byte = |output: &&ValueInfoProto| {
        element_type(output)
            .is_some_and(|known| [data_type::UINT8, data_type::INT8].contains(&known))
    };
    let names: Vec<String> =
        graph.output.iter().filter(is_byte).map(|output| output.name().to_owned()).collect();
    for name in names {
        let Some(params) = graph
            .node
            .iter()
            .find(|node| node.output.contains(&name))
            .map(|node| quantization(graph, node))
        else {
            continue;
        };
        let inside = format!("{name}/{scope}inside");
        for node in &mut graph.node {
            rename(node, &name, &inside, true);
        }
        let float = match params {
            Some((inputs, axis)) => {
                let inputs: Vec<&str> = [inside.as_str()]
                    .into_iter()
                    .chain(inputs.iter().map(String::as_str))
                    .collect();
                let node = NodeProto::new("DequantizeLinear", &inputs, &[&name]);
                axis.into_iter().fold(node, NodeProto::with)
            }
            None => NodeProto::new("Cast", &[&inside], &[&name])
                .with(AttributeProto::int("to", data_type::FLOAT.into())),
        };
        graph.node.push(float);
        for output in graph.output.iter_mut().filter(|output| output.name() == name) {
            if let Some(TypeValue::Tensor(tensor)) =
                output.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            {
                tensor.elem_type = Some(data_type::FLOAT);
            }
        }
    }
}

/// The scale and zero point of a node's integers, and the axis along which they vary, looked up
/// through nodes that only give the integers another shape.
fn quantization(
    graph: &GraphProto,
    node: &NodeProto,
) -> Option<(Vec<String>, Option<AttributeProto>)> {
    let mut node = node;
    let mut is_reshaped = false;
    while matches!(node.op(), "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze") {
        is_reshaped |= node.op() != "Identity";
        let input = node.input.first()?;
        node = graph.node.iter().find(|node| node.output.contains(input))?;
    }
    let (scale, zero_point) = if node.is("QuantizeLinear") {
        (node.input_name(1)?.to_owned(), node.input_name(2).map(str::to_owned))
    } else {
        let params = QuantizedOp::from_node(node)?.result?;
        (params.scales.first()?.clone(), params.zero_point)
    };
    // Another shape may have moved the axis.
    let is_single = graph
        .initializer
        .iter()
        .any(|tensor| tensor.name() == scale && tensor.dims.iter().product::<i64>() == 1);
    let inputs = [Some(scale), zero_point].into_iter().flatten().collect();
    (is_single || !is_reshaped).then(|| (inputs, node.attribute("axis").cloned()))
}

/// Renames a tensor where a node reads it and, with `outputs`, where the node writes it, including
/// in sub-graphs.
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
