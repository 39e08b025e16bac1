//! The element type of every tensor, derived from those of inputs and constants.
//!
//! Most operators return the element type of their first input; `output_type` lists the others.
//! Element types matter for models in 16-bit floats, whose gradients are computed in 32 bits.

use std::collections::HashMap;

use crate::proto::{GraphProto, NodeProto, data_type};
use crate::quantized::QuantizedOp;

/// The element types of a graph's tensors, as far as they can be derived.
#[must_use]
pub fn element_types(graph: &GraphProto) -> HashMap<String, i32> {
    element_types_within(graph, &HashMap::new())
}

/// The element types of a sub-graph's tensors, given those of the tensors `outer` that it may
/// capture.
#[must_use]
pub fn element_types_within(
    graph: &GraphProto,
    outer: &HashMap<String, i32>,
) -> HashMap<String, i32> {
    let mut known = outer.clone();
    for input in &graph.input {
        if let Some((element, _)) = input.tensor() {
            known.insert(input.name().to_owned(), element);
        }
    }
    for constant in &graph.initializer {
        known.insert(constant.name().to_owned(), constant.data_type());
    }
    for node in &graph.node {
        for (index, output) in
            node.output.iter().enumerate().filter(|(_, output)| !output.is_empty())
        {
            if let Some(element) = output_type(node, index, &known) {
                known.insert(output.clone(), element);
            }
        }
    }
    known
}

/// The name of an element type, for messages.
#[must_use]
pub const fn name(element: i32) -> &'static str {
    match element {
        data_type::FLOAT => "float",
        data_type::UINT8 => "uint8",
        data_type::INT8 => "int8",
        data_type::UINT16 => "uint16",
        data_type::INT16 => "int16",
        data_type::INT32 => "int32",
        data_type::INT64 => "int64",
        data_type::STRING => "strings",
        data_type::BOOL => "bool",
        data_type::FLOAT16 => "float16",
        data_type::DOUBLE => "double",
        data_type::BFLOAT16 => "bfloat16",
        _ => "elements of a type that is unknown here",
    }
}

/// True for floats of any width, which gradients flow through; false for integers, booleans and
/// strings.
#[must_use]
pub fn is_float(element: i32) -> bool {
    is_short_float(element) || matches!(element, data_type::FLOAT | data_type::DOUBLE)
}

/// True for floats of fewer than 32 bits.
#[must_use]
pub fn is_short_float(element: i32) -> bool {
    matches!(element, data_type::FLOAT16 | data_type::BFLOAT16)
}

/// The element type of an output of a node.
fn output_type(node: &NodeProto, output: usize, known: &HashMap<String, i32>) -> Option<i32> {
    let of = |index: usize| known.get(node.input_name(index)?).copied();
    let attribute = |name: &str, default: i32| i32::try_from(node.int(name, default.into())).ok();
    match node.op() {
        "Cast" => attribute("to", data_type::FLOAT),
        "CastLike" | "Where" | "OneHot" => of(if node.op() == "OneHot" { 2 } else { 1 }),
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(data_type::INT64),
        "TopK" | "MaxPool" | "Unique" if output > 0 => Some(data_type::INT64),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "And" | "Or"
        | "Xor" | "IsNaN" | "IsInf" => Some(data_type::BOOL),
        "Dropout" if output > 0 => Some(data_type::BOOL),
        "ConstantOfShape" => {
            let value = node.attribute("value").and_then(|value| value.t.as_ref());
            Some(value.map_or(data_type::FLOAT, |tensor| tensor.data_type()))
        }
        "EyeLike" if node.attribute("dtype").is_some() => attribute("dtype", data_type::FLOAT),
        "QuantizeLinear" => match (node.int("output_dtype", 0), of(2)) {
            (0, Some(zero)) => Some(zero),
            (0, None) => Some(data_type::UINT8),
            (dtype, _) => i32::try_from(dtype).ok(),
        },
        "DequantizeLinear" => of(1),
        "DynamicQuantizeLinear" => {
            Some(if output == 1 { data_type::FLOAT } else { data_type::UINT8 })
        }
        // The types are those of tensors inside the sub-graphs.
        "If" | "Loop" | "Scan" | "SequenceMap" => None,
        op => match QuantizedOp::from_node(node).map(|op| op.result) {
            Some(Some(result)) => known.get(result.zero_point.as_deref()?).copied(),
            Some(None) if op == "QGemm" => Some(data_type::FLOAT),
            Some(None) => Some(data_type::INT32),
            None => of(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttributeProto, TensorProto};

    #[test]
    fn casts_and_constants_determine_element_types() {
        let half = TensorProto {
            data_type: Some(data_type::FLOAT16),
            ..TensorProto::float32("w", &[0], &[])
        };
        let graph = GraphProto {
            initializer: vec![half, TensorProto::int64("i", &[], &[3])],
            node: vec![
                NodeProto::new("Relu", &["w"], &["a"]),
                NodeProto::new("Greater", &["a", "w"], &["b"]),
                NodeProto::new("Where", &["b", "a", "w"], &["c"]),
                NodeProto::new("Cast", &["c"], &["d"]).with(AttributeProto::int("to", 1)),
                NodeProto::new("QuantizeLinear", &["d", "scale"], &["q"]),
                NodeProto::new("DequantizeLinear", &["q", "w"], &["e"]),
            ],
            ..Default::default()
        };
        let types = element_types(&graph);
        let of = |name: &str| types[name];
        assert_eq!(["a", "b", "c", "d"].map(of), [10, 9, 10, 1]);
        assert_eq!(["q", "e", "i"].map(of), [2, 10, 7]);
    }
}
