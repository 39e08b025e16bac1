//! Where a layer begins and where it ends: behind the operator that mixes places or channels come
//! its normalisation and its activation, and what people mean is the tensor behind those. Where
//! that is rounded to integers, it is what the integers say.

use std::collections::HashSet;

use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::QuantizedOp;

/// Whether what a node makes is the beginning of a layer; of a node of integers, what it stands for
/// is asked about.
pub(super) fn starts_layer(
    graph_index: &GraphIndex<'_>,
    node: &NodeProto,
    of_image: &HashSet<&str>,
) -> bool {
    match node.op() {
        "Conv" | "MaxPool" | "AveragePool" | "Concat" | "LayerNormalization"
        | "RMSNormalization" => true,
        // A residual sum joins two tensors made of the image; a bias, which may be computed, is
        // not.
        "Add" | "Sum" => {
            node.input.len() > 1 && node.input.iter().all(|input| of_image.contains(input.as_str()))
        }
        // A layer normalisation before opset 17: (x − mean) / √(var + ε).
        "Div" => {
            node.input_name(1).and_then(|root| graph_index.producer(root)).is_some_and(|root| {
                root.op() == "Sqrt"
                    && node
                        .input_name(0)
                        .and_then(|centred| graph_index.producer(centred))
                        .is_some_and(|centred| centred.op() == "Sub")
            })
        }
        _ => false,
    }
}

/// The floats in which what a node makes is told: of integers those behind it, where there are any.
pub(super) fn told_in_floats<'g>(
    graph_index: &GraphIndex<'g>,
    node: &'g NodeProto,
) -> Option<&'g str> {
    let own = node.output.first()?.as_str();
    let Some(quantized) = QuantizedOp::from_node(node) else { return Some(own) };
    let reader = graph_index.sole_consumer(own)?;
    let told = reader.output.first()?.as_str();
    match (reader.op(), &quantized.result) {
        ("DequantizeLinear", Some(_)) => Some(told),
        // Exact sums become floats first and are scaled then.
        ("Cast", None) => match graph_index.sole_consumer(told) {
            Some(scaled) if scaled.op() == "Mul" => scaled.output.first().map(String::as_str),
            _ => Some(told),
        },
        _ => Some(own),
    }
}

/// The node that a layer goes by: what makes it, or what made it before it was rounded.
pub(super) fn maker<'g>(graph_index: &GraphIndex<'g>, tensor: &str) -> Option<&'g NodeProto> {
    let last = graph_index.producer(tensor)?;
    let made_of = |node: &NodeProto| graph_index.producer(node.input_name(0)?);
    let rounding = Some(last).filter(|node| node.is("DequantizeLinear")).and_then(made_of);
    let before = rounding.filter(|node| node.is("QuantizeLinear")).and_then(made_of);
    Some(before.unwrap_or(last))
}

/// Follows a tensor through its normalisation to behind its activation.
pub(super) fn follow<'g>(graph_index: &GraphIndex<'g>, tensor: &'g str) -> &'g str {
    let mut tensor = tensor;
    loop {
        let Some(reader) = graph_index.sole_consumer(tensor) else {
            return gated(graph_index, tensor).unwrap_or(tensor);
        };
        let Some(output) = reader.output.first() else { return tensor };
        match reader.op() {
            "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "Identity"
            | "Dropout" => {
                tensor = output;
            }
            "Add" | "Mul" | "Sub" | "Div"
                if reader
                    .input
                    .iter()
                    .any(|input| input != tensor && graph_index.constant(input).is_some()) =>
            {
                tensor = output;
            }
            // A quantiser leaves out an activation that the integers' range cuts off as well, so
            // what is meant are the numbers as they are rounded. In a model of
            // integers, the activation itself may read those.
            "QuantizeLinear" => match rounded(graph_index, output) {
                Some(told) => tensor = told,
                None => return activated(graph_index, output).unwrap_or(tensor),
            },
            "Relu" | "LeakyRelu" | "PRelu" | "Clip" | "Elu" | "Selu" | "Celu" | "HardSwish"
            | "Gelu" | "Mish" | "Softplus" | "Tanh" => return output,
            _ => return tensor,
        }
    }
}

/// The floats that all readers of some integers read in their place.
fn rounded<'g>(graph_index: &GraphIndex<'g>, integers: &'g str) -> Option<&'g str> {
    let told =
        graph_index.sole_consumer(integers).filter(|reader| reader.is("DequantizeLinear"))?;
    told.output.first().map(String::as_str)
}

/// The floats behind an activation of integers: one that reads them, or their product with it
/// (SiLU).
fn activated<'g>(graph_index: &GraphIndex<'g>, integers: &'g str) -> Option<&'g str> {
    let readers: Vec<_> = graph_index.consumers(integers).collect();
    let product = match readers.as_slice() {
        [only] if only.op() == "QLinearLeakyRelu" => return told_in_floats(graph_index, only),
        [gate, product] if gate.op() == "QLinearSigmoid" && product.op() == "QLinearMul" => product,
        _ => return None,
    };
    let gate =
        graph_index.sole_consumer(told_in_floats(graph_index, readers[0])?)?.output.first()?;
    let reader = graph_index.sole_consumer(gate)?;
    if std::ptr::eq(reader, *product) { told_in_floats(graph_index, product) } else { None }
}

/// SiLU, HardSwish and Mish as exporters write them: `x · f(x)`, so that `x` has two readers.
fn gated<'g>(graph_index: &GraphIndex<'g>, tensor: &'g str) -> Option<&'g str> {
    let readers: Vec<_> = graph_index.consumers(tensor).collect();
    let [first, second] = readers.as_slice() else { return None };
    let (gate, product) = if second.op() == "Mul" { (first, second) } else { (second, first) };
    if product.op() != "Mul" {
        return None;
    }
    let mut end = gate.output.first()?.as_str();
    // The gate may be a chain: Softplus → Tanh in Mish, Add → Clip → Div in HardSwish.
    for _ in 0..4 {
        let reader = graph_index.sole_consumer(end)?;
        if std::ptr::eq(reader, *product) {
            return product.output.first().map(String::as_str);
        }
        end = reader.output.first()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::GraphProto;

    /// Where the layer that begins with the first node's output ends, and the operator that it goes
    /// by.
    fn end(nodes: &[(&str, &[&str], &str)]) -> (String, String) {
        let node =
            |(op, inputs, output): &(&str, &[&str], &str)| NodeProto::new(op, inputs, &[output]);
        let graph = GraphProto { node: nodes.iter().map(node).collect(), ..Default::default() };
        let graph_index = GraphIndex::new(&graph);
        let end = follow(&graph_index, told_in_floats(&graph_index, &graph.node[0]).unwrap());
        (end.to_owned(), maker(&graph_index, end).unwrap().op().to_owned())
    }

    #[test]
    fn what_is_rounded_is_the_layer_and_goes_by_what_was_rounded() {
        let rounded = [
            ("Conv", &["x", "w"][..], "c"),
            ("QuantizeLinear", &["c", "s", "z"], "q"),
            ("DequantizeLinear", &["q", "s", "z"], "d"),
            ("GlobalAveragePool", &["d"], "y"),
        ];
        assert_eq!(end(&rounded), ("d".into(), "Conv".into()));
        let with_silu =
            [&rounded[..3], &[("Sigmoid", &["d"][..], "gate"), ("Mul", &["d", "gate"], "silu")]]
                .concat();
        assert_eq!(end(&with_silu), ("silu".into(), "Mul".into()));
    }

    #[test]
    fn an_activation_of_integers_ends_a_layer_in_floats() {
        let pooled = ("QLinearGlobalAveragePool", &["p", "s", "z", "s", "z"][..], "y");
        let silu = [
            ("QLinearConv", &["x", "s", "z", "w", "ws", "wz", "s", "z"][..], "c/integers"),
            ("DequantizeLinear", &["c/integers", "s", "z"], "c/floats"),
            ("QuantizeLinear", &["c/floats", "s", "z"], "c"),
            ("QLinearSigmoid", &["c", "s", "z", "s", "z"], "g/integers"),
            ("DequantizeLinear", &["g/integers", "s", "z"], "g/floats"),
            ("QuantizeLinear", &["g/floats", "s", "z"], "g"),
            ("QLinearMul", &["c", "s", "z", "g", "s", "z", "s", "z"], "p/integers"),
            ("DequantizeLinear", &["p/integers", "s", "z"], "p/floats"),
            ("QuantizeLinear", &["p/floats", "s", "z"], "p"),
        ];
        assert_eq!(end(&[&silu[..], &[pooled]].concat()).0, "p/floats");
        // Another reader of the gate makes it no gate.
        let read = ("QLinearGlobalAveragePool", &["g", "s", "z", "s", "z"][..], "other");
        assert_eq!(end(&[&silu[..], &[pooled, read]].concat()).0, "c/floats");
    }
}
