//! Finding products of the backward pass that read a large matrix, most of it to multiply it by zero.
//!
//! The gradient at a hidden layer of a classifier's head is zero wherever its
//! ReLU was shut. `∂Y·W` for the weights W of the layer before then needs only some rows
//! of W, and reading W is all that takes time: full-size VGG16's first such layer has 411 MB.

use super::DOMAIN;
use crate::graph::proto::{GraphProto, data_type};

/// The operator: inputs `[N, K]` and `[K, M]`, output `[N, M]`.
pub const OPERATOR: &str = "ProductOfRows";

/// Smaller matrices stay in the processor's cache, and the runtime's product is as good.
const LARGE: i64 = 1 << 20;

/// Replaces every such product in the branches of the graph's `If` nodes; returns how many.
pub(super) fn fuse(graph: &mut GraphProto) -> usize {
    let large: std::collections::HashSet<String> = (graph.initializer.iter())
        .filter(|tensor| tensor.data_type() == data_type::FLOAT && tensor.dims.len() == 2)
        .filter(|tensor| tensor.dims.iter().product::<i64>() >= LARGE)
        .map(|tensor| tensor.name().to_owned())
        .collect();
    let branches = (graph.node.iter_mut())
        .filter(|node| node.is_standard() && node.op() == "If")
        .flat_map(|node| &mut node.attribute)
        .filter_map(|attribute| attribute.g.as_mut());
    let mut count = 0;
    for node in branches.flat_map(|branch| &mut branch.node) {
        let is_plain = node.is_standard()
            && node.op() == "Gemm"
            && node.input.len() == 2
            && node.int("transA", 0) == 0
            && node.int("transB", 0) == 0
            && node.float("alpha", 1.0) == 1.0;
        if is_plain && large.contains(&node.input[1]) {
            node.op_type = Some(OPERATOR.into());
            node.domain = Some(DOMAIN.into());
            node.attribute.clear();
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::{AttributeProto, NodeProto, TensorProto};

    fn count(rows: i64, trans_b: i64) -> (usize, String) {
        let product =
            NodeProto::new("Gemm", &["g", "w"], &["y"]).with(AttributeProto::int("transB", trans_b));
        let branch = GraphProto { node: vec![product], ..Default::default() };
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("If", &["wanted"], &["out"])
                    .with(AttributeProto::graph("then_branch", branch)),
            ],
            initializer: vec![TensorProto {
                name: Some("w".into()),
                dims: vec![rows, 1024],
                data_type: Some(data_type::FLOAT),
                ..Default::default()
            }],
            ..Default::default()
        };
        let count = fuse(&mut graph);
        let branch = graph.node[0].attribute[0].g.as_ref().unwrap();
        (count, branch.node[0].op().to_owned())
    }

    #[test]
    fn a_product_with_a_large_matrix_as_it_lies_is_replaced() {
        assert_eq!(count(1024, 0), (1, OPERATOR.into()));
        assert_eq!(count(1024, 1), (0, "Gemm".into()));
        assert_eq!(count(16, 0), (0, "Gemm".into()));
    }
}
