//! Vector–Jacobian products (vjps): one small function per operator.
//!
//! For a node `y = f(x, …)` and the gradient `∂L/∂y` of some scalar `L`, the vjp writes nodes that
//! compute `∂L/∂x = (∂L/∂y)ᵀ · ∂f/∂x`. It receives a [`VjpContext`], which holds the node and the
//! gradients of its outputs, and returns one entry per input, `None` for inputs that it does not
//! cover. [`backward`](crate::backward::backward) refuses a node whose vjp returns `None` for an
//! input that needs a gradient, so a vjp may ignore inputs that are constants in practice.
//!
//! To add an operator, write its function in the file of its family, name it in [`TABLE`], and add
//! a case to `tests/vjp/cases/`, where each vjp is compared with finite differences; a test fails
//! if an operator of the table has no case.
//!
//! Where a function has a kink, its derivative follows PyTorch's choice; each vjp says which.

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
mod qlinear;
mod quantization;
mod reduction;
mod resize;
mod scatter;
mod shape;
mod table;
mod ties;
mod trigonometric;
mod window;

pub use context::{InputGradients, VjpContext, VjpFn};
pub use table::TABLE;

use crate::proto::NodeProto;
use crate::quantized::QuantizedOp;

/// The vjp of a node's operator; `None` when it has none.
///
/// Operators of [`TABLE`] are found by name; integer operators of ONNX Runtime's quantiser have the
/// vjp of their float equivalent, see [`QuantizedOp`].
#[must_use]
pub fn lookup(node: &NodeProto) -> Option<VjpFn> {
    table::lookup(node).or_else(|| QuantizedOp::from_node(node).map(|_| qlinear::vjp as VjpFn))
}

/// True for standard operators whose outputs are piecewise constant: their derivative is 0 wherever
/// it exists, so no gradient flows through them.
#[must_use]
pub fn is_non_differentiable(node: &NodeProto) -> bool {
    /// `TensorProto.DataType` of the integer types and of booleans.
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

/// True for an input whose values an operator does not read, so that it needs no gradient:
/// `CastLike` reads only the element type of its second input.
#[must_use]
pub fn is_value_independent_input(node: &NodeProto, input: usize) -> bool {
    node.is("CastLike") && input == 1
}

/// True for a node whose vjp is a straight-through estimate instead of a derivative: one that
/// rounds to integers.
#[must_use]
pub fn is_straight_through(node: &NodeProto) -> bool {
    matches!(node.op(), "QuantizeLinear" | "DynamicQuantizeLinear")
        || QuantizedOp::from_node(node).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::AttributeProto;

    #[test]
    fn a_shape_passes_no_gradient_and_a_cast_to_float_does() {
        let cast = |to| NodeProto::new("Cast", &["x"], &["y"]).with(AttributeProto::int("to", to));
        assert!(is_non_differentiable(&NodeProto::new("Shape", &["x"], &["y"])));
        assert!(is_non_differentiable(&cast(7)) && !is_non_differentiable(&cast(1)));
    }

    #[test]
    fn operators_of_unknown_domains_have_no_vjp() {
        let node = NodeProto {
            domain: Some("com.example".into()),
            ..NodeProto::new("Relu", &["x"], &["y"])
        };
        assert!(lookup(&node).is_none());
    }
}
