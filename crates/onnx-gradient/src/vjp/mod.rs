//! The table of gradient rules: one small function an operator.
//!
//! A rule gets a [`VjpContext`], the node with the gradients of its outputs, and writes
//! nodes that make the gradients of its inputs: one entry an input, `None` where
//! the rule has none. The walk refuses a node whose rule leaves out an input that
//! depends on the layer, so a rule need not look after those it does not know. To
//! teach camlens an operator, write its rule, name it in [`find`], and add its case
//! to `tests/it/rules.rs`, where every rule is held against finite differences.

mod activation;
mod arithmetic;
mod context;
mod convolution;
mod einsum;
mod fold;
mod indexing;
mod linear;
mod normalization;
mod pooling;
mod quantization;
mod reduction;
mod resize;
mod shape;
mod trigonometric;

pub use quantization::is_estimate;

pub use context::VjpContext;

use crate::builder::GraphBuilder;
use crate::proto::NodeProto;
use crate::quantized::Quantized;

/// What a rule gives: the gradient of each input.
pub type Gradients = Result<Vec<Option<String>>, String>;

/// A rule: from the gradients of a node's outputs to those of its inputs.
pub type Rule = fn(&mut GraphBuilder<'_>, &VjpContext<'_>) -> Gradients;

/// The rule for a node; `None` when its operator has none.
#[must_use]
pub fn find(node: &NodeProto) -> Option<Rule> {
    let standard = node.is_standard();
    let listed =
        TABLE.iter().find(|(op, _)| standard && *op == node.op()).map(|&(_, vjp_fn)| vjp_fn);
    listed.or_else(|| Quantized::of(node).map(|_| quantization::in_floats as Rule))
}

/// True for operators through which no gradient flows: they look at shapes, places or signs, and
/// what they give stays the same when their input moves a little.
#[must_use]
pub fn is_non_differentiable(node: &NodeProto) -> bool {
    const INTEGER_OR_BOOLEAN: [i64; 9] = [2, 3, 4, 5, 6, 7, 9, 12, 13];
    node.is_standard()
        && match node.op() {
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" | "Equal" | "Greater"
            | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "And" | "Or" | "Xor"
            | "IsNaN" | "IsInf" | "Sign" | "Floor" | "Ceil" | "Round" | "ConstantOfShape"
            | "EyeLike" | "Hardmax" => true,
            "Cast" => INTEGER_OR_BOOLEAN.contains(&node.int("to", 0)),
            _ => false,
        }
}

/// True for an input of floats of which an operator reads nothing that a gradient could flow
/// through.
#[must_use]
pub fn is_shape_only_input(node: &NodeProto, input: usize) -> bool {
    // Only the type of what it shall be like.
    node.is_standard() && node.op() == "CastLike" && input == 1
}

/// Every operator of floats with a rule; one of integers has that of the operator it stands for.
pub const TABLE: &[(&str, Rule)] = &[
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
    // arithmetic of two or more tensors
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
    ("Where", arithmetic::choose),
    // convolution
    ("Conv", convolution::conv),
    ("ConvTranspose", convolution::conv_transpose),
    // taking parts and putting them back
    ("Concat", indexing::concat),
    ("CumSum", indexing::cumulative_sum),
    ("Gather", indexing::gather),
    ("GatherElements", indexing::scatter_back),
    ("GatherND", indexing::scatter_back),
    ("Pad", indexing::pad),
    ("ScatterElements", indexing::scatter_elements),
    ("ScatterND", indexing::scatter_nd),
    ("Slice", indexing::slice),
    ("Split", indexing::split),
    ("Tile", indexing::scatter_back),
    ("TopK", indexing::top_k),
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
    // rounding to integers and back
    ("DequantizeLinear", quantization::dequantize),
    ("DynamicQuantizeLinear", quantization::quantize_by_range),
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
    // another size
    ("Resize", resize::resize),
    ("Col2Im", fold::col2im),
    // another shape, the same numbers
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operator_stands_twice_in_the_table() {
        let mut names: Vec<_> = TABLE.iter().map(|(op, _)| op).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn a_shape_carries_no_gradient_and_a_cast_to_float_does() {
        use crate::proto::AttributeProto;
        let cast = |to| NodeProto::new("Cast", &["x"], &["y"]).with(AttributeProto::int("to", to));
        assert!(is_non_differentiable(&NodeProto::new("Shape", &["x"], &["y"])));
        assert!(is_non_differentiable(&cast(7)) && !is_non_differentiable(&cast(1)));
    }

    #[test]
    fn operators_of_other_domains_have_no_rule() {
        let node = NodeProto {
            domain: Some("com.example".into()),
            ..NodeProto::new("Relu", &["x"], &["y"])
        };
        assert!(find(&node).is_none());
    }
}
