//! Finds products with a large constant matrix and replaces them.

use crate::engine::optimize::common;
use crate::engine::optimize::common::DOMAIN;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto};

/// The operator's name. Inputs `[.., K]`, `[K, M]` (`[M, K]` with [`TRANSPOSED`]) and an optional
/// bias `[M]`; output `[.., M]`.
pub(crate) const OPERATOR: &str = "Gemv";

/// Attribute: 1 if the matrix is stored as `[M, K]`.
pub(crate) const TRANSPOSED: &str = "transposed";

/// Smallest number of elements. A smaller matrix stays in the CPU's cache, where the runtime's
/// product is as fast. The runtime is also as fast where the rows are tokens, because there are
/// many more tokens than images.
const MIN_ELEMENTS: i64 = 1 << 23;

/// The same for a `Gemm` of the backward pass, which has one row per image; the first such product
/// receives a gradient that is zero for all but a few classes.
const MIN_ELEMENTS_BACKWARD: i64 = 1 << 18;

/// Replaces every such product, in the graph and in the bodies of its `Loop` nodes. Returns how
/// many.
pub(crate) fn fuse(graph: &mut GraphProto) -> usize {
    let shapes = common::weights(graph);
    let fits = |node: &NodeProto, is_backwards: bool| -> Option<bool> {
        let transposed = product(node)?;
        let large =
            if is_backwards && node.op() == "Gemm" { MIN_ELEMENTS_BACKWARD } else { MIN_ELEMENTS };
        let &[rows, columns] = shapes.get(node.input.get(1)?)?.as_slice() else { return None };
        let width = if transposed { rows } else { columns };
        let has_bias = node.input.get(2).is_some_and(|bias| !bias.is_empty());
        let bias_fits =
            !has_bias || shapes.get(&node.input[2]).is_some_and(|shape| *shape == [width]);
        (rows * columns >= large && bias_fits).then_some(transposed)
    };
    let mut count = 0;
    for node in &mut graph.node {
        count += usize::from(replace(node, fits(node, false)));
    }
    for node in common::bodies(graph).flat_map(|body| &mut body.node) {
        count += usize::from(replace(node, fits(node, true)));
    }
    count
}

/// Whether a node is a plain product, and if so, whether its matrix is transposed.
fn product(node: &NodeProto) -> Option<bool> {
    let is_plain = || {
        node.int("transA", 0) == 0
            && node.float("alpha", 1.0) == 1.0
            && (node.float("beta", 1.0) == 1.0 || node.input.len() == 2)
    };
    match node.op() {
        _ if !node.is_standard() => None,
        "MatMul" => Some(false),
        "Gemm" if is_plain() => Some(node.int("transB", 0) != 0),
        _ => None,
    }
}

fn replace(node: &mut NodeProto, transposed: Option<bool>) -> bool {
    let Some(transposed) = transposed else { return false };
    node.op_type = Some(OPERATOR.into());
    node.domain = Some(DOMAIN.into());
    node.attribute = vec![AttributeProto::int(TRANSPOSED, i64::from(transposed))];
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{TensorProto, data_type};

    fn weight(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(data_type::FLOAT),
            ..Default::default()
        }
    }

    /// A product with a matrix of `rows` rows and 4096 columns, after the pass.
    fn fused(product: NodeProto, rows: i64, in_loop: bool) -> String {
        let nodes = vec![product];
        let node = if in_loop {
            let body = GraphProto { node: nodes, ..Default::default() };
            vec![
                NodeProto::new("Loop", &["rounds", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ]
        } else {
            nodes
        };
        let initializer =
            vec![weight("w", &[rows, 4096]), weight("wide", &[4096]), weight("one", &[1])];
        let mut graph = GraphProto { node, initializer, ..Default::default() };
        let count = fuse(&mut graph);
        let node = match graph.node[0].attribute.first().and_then(|attribute| attribute.g.as_ref())
        {
            Some(body) => &body.node[0],
            None => &graph.node[0],
        };
        assert_eq!(count == 1, node.op() == OPERATOR);
        format!("{} {}", node.op(), node.int(TRANSPOSED, -1))
    }

    fn gemm(inputs: &[&str], transposed: i64) -> NodeProto {
        NodeProto::new("Gemm", inputs, &["y"]).with(AttributeProto::int("transB", transposed))
    }

    #[test]
    fn products_with_a_large_matrix_are_replaced_in_both_passes() {
        for in_loop in [false, true] {
            let fused = |product, rows| fused(product, rows, in_loop);
            assert_eq!(fused(gemm(&["x", "w"], 0), 2048), "Gemv 0");
            assert_eq!(fused(gemm(&["x", "w"], 1), 2048), "Gemv 1");
            assert_eq!(fused(gemm(&["x", "w", "wide"], 0), 2048), "Gemv 0");
            assert_eq!(fused(gemm(&["x", "w", "wide"], 1), 4096), "Gemv 1");
            assert_eq!(fused(NodeProto::new("MatMul", &["x", "w"], &["y"]), 2048), "Gemv 0");
        }
    }

    #[test]
    fn other_products_are_left_alone() {
        assert_eq!(fused(gemm(&["x", "w"], 0), 2047, false), "Gemm -1");
        // A bias that is broadcast, a matrix that is computed, a scale factor.
        assert_eq!(fused(gemm(&["x", "w", "one"], 0), 2048, false), "Gemm -1");
        assert_eq!(fused(gemm(&["x", "computed"], 0), 2048, false), "Gemm -1");
        let halved = gemm(&["x", "w"], 0).with(AttributeProto::float("alpha", 0.5));
        assert_eq!(fused(halved, 2048, false), "Gemm -1");
        assert_eq!(fused(NodeProto::new("MatMul", &["w", "x"], &["y"]), 2048, false), "MatMul -1");
    }

    #[test]
    fn the_backward_pass_replaces_smaller_matrices() {
        assert_eq!(fused(gemm(&["x", "w"], 0), 64, true), "Gemv 0");
        assert_eq!(fused(gemm(&["x", "w"], 0), 63, true), "Gemm -1");
        // With tokens there would be many rows.
        assert_eq!(fused(NodeProto::new("MatMul", &["x", "w"], &["y"]), 2047, true), "MatMul -1");
    }
}
