//! Finding products with a matrix so large that reading it is all that takes time.
//!
//! Such are the fully connected layers of AlexNet and VGG, forwards and backwards.
//! What they multiply is zero wherever a ReLU was shut, and what is multiplied
//! by zero need not be read: full-size VGG16's first such layer has 411 MB.

use crate::engine::optimize::common::DOMAIN;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto};

/// The operator: inputs `[.., K]` and `[K, M]` (`[M, K]` with [`TRANSPOSED`]) and perhaps a bias
/// `[M]`; output `[.., M]`.
pub(crate) const OPERATOR: &str = "LargeProduct";

/// Its attribute: the matrix lies as `[M, K]`.
pub(crate) const TRANSPOSED: &str = "transposed";

/// Numbers in a matrix. A smaller one stays in the processor's cache, and the runtime's product is
/// as good; so it is where tokens, not images, are the rows.
const LARGE: i64 = 1 << 23;

/// The same for a `Gemm` of the backward pass: it has a row an image, and the first begins with one
/// class and zeros.
const LARGE_BACKWARDS: i64 = 1 << 18;

/// Replaces every such product, in the graph and in the bodies of its `Loop` nodes; returns how
/// many.
pub(crate) fn fuse(graph: &mut GraphProto) -> usize {
    let shapes = crate::engine::optimize::common::weights(graph);
    let fits = |node: &NodeProto, is_backwards: bool| -> Option<bool> {
        let transposed = product(node)?;
        let large = if is_backwards && node.op() == "Gemm" { LARGE_BACKWARDS } else { LARGE };
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
    for node in crate::engine::optimize::common::bodies(graph).flat_map(|body| &mut body.node) {
        count += usize::from(replace(node, fits(node, true)));
    }
    count
}

/// Whether a node is a product, with no factor to it, and of which orientation.
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

    /// What becomes of a product with a matrix of so many rows and 4096 columns.
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
    fn products_with_a_large_matrix_are_replaced_forwards_and_backwards() {
        for in_loop in [false, true] {
            let fused = |product, rows| fused(product, rows, in_loop);
            assert_eq!(fused(gemm(&["x", "w"], 0), 2048), "LargeProduct 0");
            assert_eq!(fused(gemm(&["x", "w"], 1), 2048), "LargeProduct 1");
            assert_eq!(fused(gemm(&["x", "w", "wide"], 0), 2048), "LargeProduct 0");
            assert_eq!(fused(gemm(&["x", "w", "wide"], 1), 4096), "LargeProduct 1");
            assert_eq!(
                fused(NodeProto::new("MatMul", &["x", "w"], &["y"]), 2048),
                "LargeProduct 0"
            );
        }
    }

    #[test]
    fn others_stay_the_runtimes() {
        assert_eq!(fused(gemm(&["x", "w"], 0), 2047, false), "Gemm -1");
        // A bias that is broadcast, a matrix that is computed, a factor.
        assert_eq!(fused(gemm(&["x", "w", "one"], 0), 2048, false), "Gemm -1");
        assert_eq!(fused(gemm(&["x", "computed"], 0), 2048, false), "Gemm -1");
        let halved = gemm(&["x", "w"], 0).with(AttributeProto::float("alpha", 0.5));
        assert_eq!(fused(halved, 2048, false), "Gemm -1");
        assert_eq!(fused(NodeProto::new("MatMul", &["w", "x"], &["y"]), 2048, false), "MatMul -1");
    }

    #[test]
    fn backwards_a_row_an_image_is_worth_it_for_less() {
        assert_eq!(fused(gemm(&["x", "w"], 0), 64, true), "LargeProduct 0");
        assert_eq!(fused(gemm(&["x", "w"], 0), 63, true), "Gemm -1");
        // Tokens would be many rows.
        assert_eq!(fused(NodeProto::new("MatMul", &["x", "w"], &["y"]), 2047, true), "MatMul -1");
    }
}
