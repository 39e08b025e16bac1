//! Finds depthwise convolutions of the backward pass and replaces them.

use std::collections::HashMap;

use crate::engine::optimize::common;
use crate::engine::optimize::common::DOMAIN;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto};

/// The operator's name. Inputs `[N, C, H, W]` and `[C, 1, kh, kw]`, output `[N, C, h, w]`. Its
/// attributes are those of `Conv` or `ConvTranspose`, all of them explicit.
pub(crate) const OPERATOR: &str = "Depthwise";

/// Attribute: 1 if the operator stands for a `ConvTranspose`.
pub(crate) const TRANSPOSED: &str = "transposed";

/// Replaces every depthwise convolution in the bodies of a graph's `Loop` nodes. Returns how many.
pub(crate) fn fuse(graph: &mut GraphProto) -> usize {
    let weights = common::weights(graph);
    let mut count = 0;
    for body in common::bodies(graph) {
        // A flipped filter keeps its shape.
        let flipped: HashMap<String, String> = (body.node.iter())
            .filter(|node| node.is("Slice"))
            .map(|node| (node.output[0].clone(), node.input[0].clone()))
            .collect();
        for node in &mut body.node {
            let shape =
                node.input.get(1).and_then(|name| weights.get(flipped.get(name).unwrap_or(name)));
            if let Some(replacement) = shape.and_then(|shape| replacement(node, shape)) {
                *node = replacement;
                count += 1;
            }
        }
    }
    count
}

/// Whether a tensor is the output of a [`OPERATOR`] node and has exactly one consumer.
pub(crate) fn is_output_with_one_consumer(graph_index: &GraphIndex<'_>, tensor: &str) -> bool {
    graph_index.producer(tensor).is_some_and(|node| common::is_own(node, OPERATOR))
        && graph_index.sole_consumer(tensor).is_some()
}

fn replacement(node: &NodeProto, weights: &[i64]) -> Option<NodeProto> {
    let &[channels, 1, height, width] = weights else { return None };
    let is_transposed = node.op() == "ConvTranspose";
    let fits = node.is_standard()
        && (is_transposed || node.op() == "Conv")
        && node.input.len() == 2
        && node.int("group", 1) == channels
        && node.string("auto_pad", "NOTSET") == "NOTSET"
        && node.ints("output_shape").is_none();
    if !fits {
        return None;
    }
    let list = |name: &str, default: i64, len: usize| {
        let values = node.ints(name).filter(|values| values.len() == len);
        AttributeProto::ints(name, values.map_or_else(|| vec![default; len], <[i64]>::to_vec))
    };
    let replacement = NodeProto {
        name: node.name.clone(),
        domain: Some(DOMAIN.into()),
        op_type: Some(OPERATOR.into()),
        input: node.input.clone(),
        output: node.output.clone(),
        ..NodeProto::default()
    };
    Some(
        replacement
            .with(AttributeProto::ints("kernel_shape", [height, width]))
            .with(list("strides", 1, 2))
            .with(list("dilations", 1, 2))
            .with(list("pads", 0, 4))
            .with(list("output_padding", 0, 2))
            .with(AttributeProto::int(TRANSPOSED, i64::from(is_transposed))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::TensorProto;

    /// The convolution in the body of a loop, with a filter of this shape, after the pass.
    fn fused(weights: &[i64], node: NodeProto) -> NodeProto {
        let flip = NodeProto::new("Slice", &["w", "starts", "ends"], &["flipped"]);
        let body = GraphProto { node: vec![flip, node], ..Default::default() };
        let count = weights.iter().product::<i64>() as usize;
        let mut graph = GraphProto {
            initializer: vec![TensorProto::float32("w", weights, &vec![0.0; count])],
            node: vec![
                NodeProto::new("Loop", &["rounds", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ],
            ..Default::default()
        };
        let count = fuse(&mut graph);
        let node = graph.node[0].attribute[0].g.as_ref().unwrap().node[1].clone();
        assert_eq!(count == 1, node.op() == OPERATOR);
        node
    }

    fn conv(op: &str, weights: &str, group: i64) -> NodeProto {
        NodeProto::new(op, &["x", weights], &["y"])
            .with(AttributeProto::int("group", group))
            .with(AttributeProto::ints("strides", [2, 1]))
            .with(AttributeProto::ints("pads", [1, 2, 0, 2]))
    }

    #[test]
    fn both_directions_become_one_operator_with_explicit_attributes() {
        for (op, weights, transposed) in [("ConvTranspose", "w", 1), ("Conv", "flipped", 0)] {
            let node = fused(&[6, 1, 3, 5], conv(op, weights, 6));
            assert_eq!(node.int(TRANSPOSED, -1), transposed);
            let list = |name: &str| node.ints(name).unwrap();
            assert_eq!((list("kernel_shape"), list("strides")), (&[3, 5][..], &[2, 1][..]));
            assert_eq!((list("dilations"), list("pads")), (&[1, 1][..], &[1, 2, 0, 2][..]));
            assert_eq!(list("output_padding"), [0, 0]);
        }
    }

    #[test]
    fn other_convolutions_are_left_alone() {
        assert_eq!(fused(&[6, 2, 3, 3], conv("Conv", "flipped", 3)).op(), "Conv");
        assert_eq!(fused(&[6, 1, 3], conv("Conv", "w", 6)).op(), "Conv");
        assert_eq!(fused(&[6, 1, 3, 3], conv("Conv", "computed", 6)).op(), "Conv");
        let by_size =
            conv("ConvTranspose", "w", 6).with(AttributeProto::ints("output_shape", [9, 9]));
        assert_eq!(fused(&[6, 1, 3, 3], by_size).op(), "ConvTranspose");
    }
}
