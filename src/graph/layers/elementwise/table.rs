//! The standard operators whose output at a position depends on their inputs at that position
//! alone.
//!
//! Axes are traced through them, and an activation may be written with them. A test holds the table
//! complete for all operators that have a gradient.

use onnx_gradient::proto::NodeProto;

/// Elementwise operators, in the order of their names.
const ELEMENTWISE: [&str; 67] = [
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "DequantizeLinear",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
];

/// Activation functions of one operator. Those that exporters write as a step of another
/// activation, such as `Erf`, are not among them.
const ACTIVATIONS: [&str; 28] = [
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "PRelu",
    "Relu",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Whether a node is an elementwise operator.
pub(in crate::graph::layers) fn is_elementwise(node: &NodeProto) -> bool {
    node.is_standard() && ELEMENTWISE.binary_search(&node.op()).is_ok()
}

/// Whether a node is an activation function of its first input.
pub(super) fn is_activation(node: &NodeProto) -> bool {
    node.is_standard() && ACTIVATIONS.binary_search(&node.op()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::vjp::TABLE;

    /// Operators with a gradient whose outputs depend on other positions, or move positions.
    const OTHERS: &[&str] = &[
        "AveragePool",
        "BatchNormalization",
        "Col2Im",
        "Concat",
        "Conv",
        "ConvTranspose",
        "CumSum",
        "DepthToSpace",
        "Dropout",
        "DynamicQuantizeLinear",
        "Einsum",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "InstanceNormalization",
        "LRN",
        "LayerNormalization",
        "LogSoftmax",
        "LpNormalization",
        "MatMul",
        "MaxPool",
        "MeanVarianceNormalization",
        "Pad",
        "RMSNormalization",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Reshape",
        "Resize",
        "ScatterElements",
        "ScatterND",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
    ];

    #[test]
    fn every_operator_with_a_gradient_is_elementwise_or_known_not_to_be() {
        for (op, _) in TABLE {
            let is_elementwise = is_elementwise(&NodeProto::new(op, &["x"], &["y"]));
            assert_ne!(is_elementwise, OTHERS.contains(op), "{op}");
        }
    }

    #[test]
    fn the_tables_are_in_order_for_the_search() {
        assert!(ELEMENTWISE.is_sorted() && ACTIVATIONS.is_sorted());
        assert!(ACTIVATIONS.iter().all(|op| ELEMENTWISE.contains(op)));
    }
}
