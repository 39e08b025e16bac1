//! x

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// The way back through any operator that only picks numbers: run it on the numbers' own places,
/// and add each gradient at the place that its number came from.
pub(super) fn scatter_back(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let size = builder.op("Size", &[input]);
    let (zero, one) = (builder.int64(0), builder.int64(1));
    let count = builder.op("Range", &[&zero, &size, &one]);
    let places = builder.reshape_like(&count, input);
    let mut inputs: Vec<&str> = ctx.node.input.iter().map(String::as_str).collect();
    inputs[0] = &places;
    let picked = builder.op_with(ctx.node.op(), &inputs, ctx.node.attribute.clone());
    let picked = builder.reshape(&picked, &[-1]);
    let gradient = scatter_add(builder, ctx.grad_output()?, &picked, input);
    Ok(ctx.first_input(gradient))
}

/// Adds each number of `gradient` at its place in a tensor of the shape of `input`.
pub(super) fn scatter_add(
    builder: &mut GraphBuilder,
    gradient: &str,
    places: &str,
    input: &str,
) -> String {
    let zeros = builder.zeros_like(input);
    let flat = builder.reshape(&zeros, &[-1]);
    let updates = builder.reshape(gradient, &[-1]);
    let attributes =
        vec![AttributeProto::int("axis", 0), AttributeProto::string("reduction", "add")];
    let scattered = builder.op_with("ScatterElements", &[&flat, places, &updates], attributes);
    builder.reshape_like(&scattered, input)
}

/// `TopK`'s values came from the places that its second output names.
pub(super) fn top_k(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let places = ctx.node.output.get(1).filter(|name| !name.is_empty());
    let places = places.ok_or_else(|| ctx.unsupported("hides its places"))?;
    let zeros = builder.zeros_like(ctx.input(0)?);
    let axis = vec![AttributeProto::int("axis", ctx.node.int("axis", -1))];
    let gradient = builder.op_with("ScatterElements", &[&zeros, places, ctx.grad_output()?], axis);
    Ok(ctx.first_input(gradient))
}

/// Updates take the gradient of the places that they went to; the data keep the rest, or with
/// `reduction="add"` all of it.
fn scatter(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    gather: &str,
    attributes: &[AttributeProto],
) -> InputGradients {
    let gradient = ctx.grad_output()?;
    let places = ctx.input(1)?;
    let adds = match ctx.node.string("reduction", "none") {
        "none" => false,
        "add" => true,
        _ => return Err(ctx.unsupported("reduces in a way that has no rule")),
    };
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        gradients[0] = Some(if adds {
            gradient.to_owned()
        } else {
            let zeros = builder.zeros_like(ctx.input(2)?);
            builder.op_with(ctx.node.op(), &[gradient, places, &zeros], attributes.to_vec())
        });
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(builder.op_with(gather, &[gradient, places], attributes.to_vec()));
    }
    Ok(gradients)
}

pub(super) fn scatter_elements(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    scatter(builder, ctx, "GatherElements", &[AttributeProto::int("axis", ctx.node.int("axis", 0))])
}

pub(super) fn scatter_nd(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    scatter(builder, ctx, "GatherND", &[])
}
