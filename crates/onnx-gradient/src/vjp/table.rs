//! The table of float operators.

use super::context::VjpFn;
use super::{
    activation, arithmetic, convolution, einsum, fold, indexing, linear, normalization, pooling,
    quantization, reduction, resize, scatter, shape, trigonometric,
};
use crate::proto::NodeProto;

/// Every standard operator that has a vjp, with the vjp.
pub const TABLE: &[(&str, VjpFn)] = &[
    // activation functions
    ("Abs", activation::abs),
    ("Celu", activation::celu),
    ("Clip", activation::clip),
    ("Elu", activation::elu),
    ("Erf", activation::erf),
    ("Exp", activation::exp),
    ("Gelu", activation::gelu),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("LeakyRelu", activation::leaky_relu),
    ("Log", activation::log),
    ("Mish", activation::mish),
    ("Neg", activation::neg),
    ("PRelu", activation::prelu),
    ("Reciprocal", activation::reciprocal),
    ("Relu", activation::relu),
    ("Selu", activation::selu),
    ("Shrink", activation::shrink),
    ("Sigmoid", activation::sigmoid),
    ("Softplus", activation::softplus),
    ("Softsign", activation::softsign),
    ("Sqrt", activation::sqrt),
    ("Swish", activation::swish),
    ("Tanh", activation::tanh),
    ("ThresholdedRelu", activation::thresholded_relu),
    // trigonometric functions
    ("Acos", trigonometric::acos),
    ("Acosh", trigonometric::acosh),
    ("Asin", trigonometric::asin),
    ("Asinh", trigonometric::asinh),
    ("Atan", trigonometric::atan),
    ("Atanh", trigonometric::atanh),
    ("Cos", trigonometric::cos),
    ("Cosh", trigonometric::cosh),
    ("Sin", trigonometric::sin),
    ("Sinh", trigonometric::sinh),
    ("Tan", trigonometric::tan),
    // arithmetic
    ("Add", arithmetic::add),
    ("Div", arithmetic::div),
    ("Max", arithmetic::extreme),
    ("Mean", arithmetic::mean),
    ("Min", arithmetic::extreme),
    ("Mod", arithmetic::modulo),
    ("Mul", arithmetic::mul),
    ("Pow", arithmetic::pow),
    ("Sub", arithmetic::sub),
    ("Sum", arithmetic::sum),
    ("Where", arithmetic::where_condition),
    // convolution
    ("Conv", convolution::conv),
    ("ConvTranspose", convolution::conv_transpose),
    // indexing
    ("Concat", indexing::concat),
    ("CumSum", indexing::cumulative_sum),
    ("Gather", indexing::gather),
    ("GatherElements", scatter::scatter_back),
    ("GatherND", scatter::scatter_back),
    ("Pad", indexing::pad),
    ("ScatterElements", scatter::scatter_elements),
    ("ScatterND", scatter::scatter_nd),
    ("Slice", indexing::slice),
    ("Split", indexing::split),
    ("Tile", scatter::scatter_back),
    ("TopK", scatter::top_k),
    ("Trilu", indexing::trilu),
    // matrix products
    ("Einsum", einsum::einsum),
    ("Gemm", linear::gemm),
    ("MatMul", linear::matmul),
    // normalisation
    ("BatchNormalization", normalization::batch),
    ("GroupNormalization", normalization::group),
    ("InstanceNormalization", normalization::instance),
    ("LRN", normalization::local_response),
    ("LayerNormalization", normalization::layer),
    ("LogSoftmax", normalization::log_softmax),
    ("LpNormalization", normalization::lp),
    ("MeanVarianceNormalization", normalization::mean_variance),
    ("RMSNormalization", normalization::root_mean_square),
    ("Softmax", normalization::softmax),
    // pooling
    ("AveragePool", pooling::average),
    ("GlobalAveragePool", pooling::global_average),
    ("GlobalMaxPool", pooling::global_max),
    ("MaxPool", pooling::max),
    // quantisation, as a straight-through estimate
    ("DequantizeLinear", quantization::dequantize),
    ("DynamicQuantizeLinear", quantization::quantize_dynamic),
    ("QuantizeLinear", quantization::quantize),
    // reduction
    ("ReduceL1", reduction::l1),
    ("ReduceL2", reduction::l2),
    ("ReduceLogSum", reduction::log_sum),
    ("ReduceLogSumExp", reduction::log_sum_exp),
    ("ReduceMax", reduction::extreme),
    ("ReduceMean", reduction::mean),
    ("ReduceMin", reduction::extreme),
    ("ReduceProd", reduction::product),
    ("ReduceSum", reduction::sum),
    ("ReduceSumSquare", reduction::sum_square),
    // resampling and folding
    ("Resize", resize::resize),
    ("Col2Im", fold::col2im),
    // element type, shape and layout
    ("Cast", shape::cast),
    ("CastLike", shape::cast),
    ("DepthToSpace", shape::depth_to_space),
    ("Dropout", shape::dropout),
    ("Expand", shape::expand),
    ("Flatten", shape::reshape),
    ("Identity", shape::identity),
    ("Reshape", shape::reshape),
    ("SpaceToDepth", shape::space_to_depth),
    ("Squeeze", shape::reshape),
    ("Transpose", shape::transpose),
    ("Unsqueeze", shape::reshape),
];

/// The vjp of a standard operator, by its name.
pub(super) fn lookup(node: &NodeProto) -> Option<VjpFn> {
    let entry = TABLE.iter().find(|(op, _)| node.is(op))?;
    Some(entry.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operator_is_listed_twice() {
        let mut names: Vec<_> = TABLE.iter().map(|(op, _)| op).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
