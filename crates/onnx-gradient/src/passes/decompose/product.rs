//! Convolutions and matrix products that were fused with an activation, a sum, a transposition or a
//! factor.

use super::activation;
use super::fused_node::FusedNode;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// `activation(conv(x, W) + b + z)`, where `z`, at input 3, has the shape of the result.
pub(super) fn conv(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let window = ["kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"];
    let mut inputs = vec![fused.input(0)?, fused.input(1)?];
    inputs.extend(fused.input(2));
    let mut result = builder.op_with("Conv", &inputs, fused.node.attributes(&window));
    if let Some(added) = fused.input(3) {
        result = builder.op("Add", &[&result, added]);
    }
    let activated = activation::fused_activation(builder, fused, &result)?;
    fused.set_output(builder, 0, &activated)
}

/// `activation(gemm(A, B, C))`.
pub(super) fn gemm(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let attributes = fused.node.attributes(&["alpha", "beta", "transA", "transB"]);
    let inputs: Vec<&str> = fused.node.input.iter().map(String::as_str).collect();
    let product = builder.op_with("Gemm", &inputs, attributes);
    let activated = activation::fused_activation(builder, fused, &product)?;
    fused.set_output(builder, 0, &activated)
}

/// `α·A′·B′`, where `′` transposes the last two axes if the attribute says so.
pub(super) fn matmul(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let flag = |name: &str| fused.node.int(name, 0) != 0;
    if flag("transBatchA") || flag("transBatchB") {
        return None;
    }
    let (a, b) = (fused.input(0)?, fused.input(1)?);
    let (transpose_a, transpose_b) = (flag("transA"), flag("transB"));
    let a = if transpose_a { transposed(builder, a) } else { a.to_owned() };
    let b = if transpose_b { transposed(builder, b) } else { b.to_owned() };
    let mut product = builder.op("MatMul", &[&a, &b]);
    let alpha = fused.node.float("alpha", 1.0);
    if alpha != 1.0 {
        let alpha = builder.scalar_like(alpha, &product);
        product = builder.op("Mul", &[&product, &alpha]);
    }
    fused.set_output(builder, 0, &product)
}

/// Exchanges the last two axes of a tensor of any rank. The other axes are merged into one and
/// split again, because a `Transpose` would need the rank.
fn transposed(builder: &mut GraphBuilder, x: &str) -> String {
    let (lead, rows) = (builder.sizes(x, 0, -2), builder.sizes(x, -2, -1));
    let columns = builder.op_with("Shape", &[x], [AttributeProto::int("start", -1)]);
    let all = builder.int64s(&[-1]);
    let concat = || [AttributeProto::int("axis", 0)];
    let flat = builder.op_with("Concat", &[&all, &rows, &columns], concat());
    let flat = builder.op("Reshape", &[x, &flat]);
    let turned = builder.transpose(&flat, [0, 2, 1]);
    let shape = builder.op_with("Concat", &[&lead, &columns, &rows], concat());
    builder.op("Reshape", &[&turned, &shape])
}
