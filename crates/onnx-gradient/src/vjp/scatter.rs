//! Gradients that are scattered to positions, and the gradients of operators that scatter.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// For an operator whose output elements are elements of its first input: applies the operator to a
/// tensor of positions, and adds each element of `∂L/∂y` at the position where it came from.
pub(super) fn scatter_back(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let size = builder.op("Size", &[input]);
    let (zero, one) = (builder.int64(0), builder.int64(1));
    let count = builder.op("Range", &[&zero, &size, &one]);
    let positions = builder.reshape_like(&count, input);
    let mut inputs: Vec<&str> = ctx.node.input.iter().map(String::as_str).collect();
    inputs[0] = &positions;
    // The value that a `Pad` of another mode carries without need has the type of its data.
    if ctx.node.op() == "Pad" && inputs.len() > 2 {
        inputs[2] = "";
    }
    let picked = builder.op_with(ctx.node.op(), &inputs, ctx.node.attribute.clone());
    let picked = builder.reshape(&picked, &[-1]);
    let gradient = scatter_add(builder, ctx.grad_output()?, &picked, input);
    Ok(ctx.first_input(gradient))
}

/// A tensor of the shape of `input` in which each element of `gradient` is added at its position in
/// `positions`, which counts elements in row-major order.
pub(super) fn scatter_add(
    builder: &mut GraphBuilder,
    gradient: &str,
    positions: &str,
    input: &str,
) -> String {
    let zeros = builder.zeros_like(input);
    let flat = builder.reshape(&zeros, &[-1]);
    let updates = builder.reshape(gradient, &[-1]);
    let attributes = [AttributeProto::int("axis", 0), AttributeProto::string("reduction", "add")];
    let scattered = builder.op_with("ScatterElements", &[&flat, positions, &updates], attributes);
    builder.reshape_like(&scattered, input)
}

/// `∂L/∂x = ∂L/∂y` at the indices that `TopK` returns, else 0.
pub(super) fn top_k(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let indices = ctx.node.output.get(1).filter(|name| !name.is_empty());
    let indices = indices.ok_or_else(|| ctx.unsupported("has no output for its indices"))?;
    let zeros = builder.zeros_like(ctx.input(0)?);
    let axis = [AttributeProto::int("axis", ctx.node.int("axis", -1))];
    let gradient = builder.op_with("ScatterElements", &[&zeros, indices, ctx.grad_output()?], axis);
    Ok(ctx.first_input(gradient))
}

/// `y = data`, with `updates` written at `indices`: `∂L/∂updates = ∂L/∂y[indices]`, and
/// `∂L/∂data = ∂L/∂y` with 0 at `indices`. With `reduction="add"`, `∂L/∂data = ∂L/∂y`.
fn scatter(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    gather: &str,
    attributes: &[AttributeProto],
) -> InputGradients {
    let gradient = ctx.grad_output()?;
    let indices = ctx.input(1)?;
    let is_add = match ctx.node.string("reduction", "none") {
        "none" => false,
        "add" => true,
        _ => return Err(ctx.unsupported("reduces in a way that has no rule")),
    };
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        gradients[0] = Some(if is_add {
            gradient.to_owned()
        } else {
            let zeros = builder.zeros_like(ctx.input(2)?);
            builder.op_with(ctx.node.op(), &[gradient, indices, &zeros], attributes.to_vec())
        });
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(builder.op_with(gather, &[gradient, indices], attributes.to_vec()));
    }
    Ok(gradients)
}

/// [`scatter`] along an axis.
pub(super) fn scatter_elements(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    scatter(builder, ctx, "GatherElements", &[AttributeProto::int("axis", ctx.node.int("axis", 0))])
}

/// [`scatter`] with index tuples.
pub(super) fn scatter_nd(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    scatter(builder, ctx, "GatherND", &[])
}
