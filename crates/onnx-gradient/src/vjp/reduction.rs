//! Reductions: the gradient is spread again over the axes that were reduced.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// The axes that a reduction reduces, counted from the front.
fn axes(ctx: &VjpContext<'_>) -> Result<Vec<i64>, Error> {
    let rank = ctx.shape(ctx.input(0)?)?.len() as i64;
    let given = match ctx.node.input_name(1) {
        Some(name) => ctx.known_int64s(name).ok_or_else(|| ctx.unsupported("computes its axes"))?,
        None => Vec::new(),
    };
    // An empty list says the same as none.
    let all = given.is_empty() && ctx.node.int("noop_with_empty_axes", 0) == 0;
    let axes = if all { (0..rank).collect() } else { given };
    Ok(axes.into_iter().map(|axis| if axis < 0 { axis + rank } else { axis }).collect())
}

/// The axes of a reduction that reduces at all.
fn nonempty_axes(ctx: &VjpContext<'_>) -> Result<Vec<i64>, Error> {
    let axes = axes(ctx)?;
    if axes.is_empty() { Err(ctx.unsupported("reduces over no axis")) } else { Ok(axes) }
}

/// A reduced tensor with the reduced axes back as ones.
fn with_ones(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    reduced: &str,
    axes: &[i64],
) -> String {
    if ctx.node.int("keepdims", 1) != 0 || axes.is_empty() {
        return reduced.to_owned();
    }
    let axes = builder.int64s(axes);
    builder.op("Unsqueeze", &[reduced, &axes])
}

fn spread(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, mean: bool) -> InputGradients {
    let axes = axes(ctx)?;
    let sizes = ctx.shape(ctx.input(0)?)?;
    let mut gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    if mean && axes.contains(&0) {
        // The first axis may be the batch, whose size is known at run time only.
        let (all, means) =
            (builder.op("Size", &[ctx.input(0)?]), builder.op("Size", &[ctx.output()]));
        let count = builder.div(&all, &means);
        let count = builder.to_float(&count);
        gradient = builder.div(&gradient, &count);
    } else if mean {
        let count: i64 = axes.iter().map(|&axis| sizes[axis as usize]).product();
        gradient = builder.scale(&gradient, 1.0 / count as f32);
    }
    let gradient = builder.expand_like(&gradient, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

pub(super) fn sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    spread(builder, ctx, false)
}

pub(super) fn mean(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    spread(builder, ctx, true)
}

/// Equal maxima share the gradient evenly, as PyTorch's `amax` does; so do minima.
pub(super) fn extreme(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let input = ctx.input(0)?;
    let largest = with_ones(builder, ctx, ctx.output(), &axes);
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let chosen = builder.op("Equal", &[input, &largest]);
    let chosen = builder.to_float(&chosen);
    let count = builder.reduce_sum(&chosen, &axes, true);
    let share = builder.div(&gradient, &count);
    let gradient = builder.mul(&chosen, &share);
    Ok(ctx.first_input(gradient))
}

/// Σ|x|: ∂y·sign x.
pub(super) fn l1(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let sign = builder.op("Sign", &[ctx.input(0)?]);
    let gradient = builder.mul(&sign, &gradient);
    Ok(ctx.first_input(gradient))
}

/// ∂‖x‖ = ∂y·x/‖x‖, and 0 where ‖x‖ is, as in PyTorch.
pub(super) fn l2(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let norm = with_ones(builder, ctx, ctx.output(), &axes);
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let scaled = builder.div(&gradient, &norm);
    let zero = builder.scalar(0.0);
    let is_some = builder.op("Greater", &[&norm, &zero]);
    let scaled = builder.keep_where(&is_some, &scaled);
    let gradient = builder.mul(ctx.input(0)?, &scaled);
    Ok(ctx.first_input(gradient))
}

/// Σx²: ∂y·2x.
pub(super) fn sum_square(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let doubled = builder.scale(&gradient, 2.0);
    let gradient = builder.mul(ctx.input(0)?, &doubled);
    Ok(ctx.first_input(gradient))
}

/// y = ln Σx, so Σx = e^y: ∂y·e^(−y).
pub(super) fn log_sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let total = builder.op("Exp", &[ctx.output()]);
    let gradient = builder.div(ctx.grad_output()?, &total);
    let gradient = with_ones(builder, ctx, &gradient, &axes);
    let gradient = builder.expand_like(&gradient, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// y = ln Σe^x: ∂y·e^(x − y), a softmax.
pub(super) fn log_sum_exp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let level = with_ones(builder, ctx, ctx.output(), &axes);
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let shifted = builder.sub(ctx.input(0)?, &level);
    let soft = builder.op("Exp", &[&shifted]);
    let gradient = builder.mul(&soft, &gradient);
    Ok(ctx.first_input(gradient))
}

/// ∂y·(product of all others), which over one axis is what stands before times what stands behind;
/// y/x would be NaN where x is 0.
pub(super) fn product(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let sizes = ctx.shape(ctx.input(0)?)?;
    let &[axis] = axes.as_slice() else {
        return Err(ctx.unsupported("multiplies over several axes"));
    };
    let size = sizes[axis as usize];
    const MOST: i64 = 64;
    if axis == 0 || size > MOST {
        return Err(ctx.unsupported("multiplies over the batch or over more than 64 numbers"));
    }
    // One row a number, with a one in its own place: [size, size] of them, multiplied along the
    // axis.
    let input = ctx.input(0)?;
    let (own_axis, next_axis) = (builder.int64s(&[axis]), builder.int64s(&[axis + 1]));
    let rows = builder.op("Unsqueeze", &[input, &own_axis]);
    let mut mask_shape = vec![1; sizes.len() + 1];
    (mask_shape[axis as usize], mask_shape[axis as usize + 1]) = (size, size);
    let eye: Vec<f32> = (0..size * size)
        .map(|place| if place / size == place % size { 1.0 } else { 0.0 })
        .collect();
    let eye = builder.float32s(&mask_shape, &eye);
    let (half, one) = (builder.scalar(0.5), builder.scalar(1.0));
    let own = builder.op("Greater", &[&eye, &half]);
    let others = builder.op("Where", &[&own, &one, &rows]);
    let keep = vec![AttributeProto::int("keepdims", 0)];
    let others = builder.op_with("ReduceProd", &[&others, &next_axis], keep);
    let gradient = with_ones(builder, ctx, ctx.grad_output()?, &axes);
    let gradient = builder.mul(&others, &gradient);
    Ok(ctx.first_input(gradient))
}
