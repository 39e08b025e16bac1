//! Reductions.
//!
//! `∂L/∂y` is broadcast back to the shape of `x` along the reduced axes; the formulas below leave
//! the broadcasting out.

use super::context::{InputGradients, VjpContext};
use super::ties::share_evenly;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// The axes that a reduction reduces, as non-negative indices.
fn axes(ctx: &VjpContext<'_>) -> Result<Vec<i64>, Error> {
    let rank = ctx.shape(ctx.input(0)?)?.len();
    let given = match ctx.node.input_name(1) {
        Some(name) => ctx.known_int64s(name).ok_or_else(|| ctx.unsupported("computes its axes"))?,
        None => Vec::new(),
    };
    // An empty list means the same as no list.
    let all = given.is_empty() && ctx.node.int("noop_with_empty_axes", 0) == 0;
    if all {
        return Ok((0..rank as i64).collect());
    }
    given.into_iter().map(|axis| Ok(ctx.axis_index(axis, rank)? as i64)).collect()
}

/// [`axes`], for vjps that do not cover a reduction over no axes.
fn nonempty_axes(ctx: &VjpContext<'_>) -> Result<Vec<i64>, Error> {
    let axes = axes(ctx)?;
    if axes.is_empty() { Err(ctx.unsupported("reduces over no axis")) } else { Ok(axes) }
}

/// A reduced tensor, with the reduced axes restored as axes of size 1.
fn restore_axes(
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

/// `∂L/∂x = ∂L/∂y`, divided by the number of reduced elements if `mean`.
fn broadcast_back(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, mean: bool) -> InputGradients {
    let axes = axes(ctx)?;
    let sizes = ctx.shape(ctx.input(0)?)?;
    let mut gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    if mean && axes.contains(&0) {
        // The size of the batch is known at run time only.
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

/// `∂L/∂x = ∂L/∂y`.
pub(super) fn sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    broadcast_back(builder, ctx, false)
}

/// `∂L/∂x = ∂L/∂y / n`, for `n` elements.
pub(super) fn mean(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    broadcast_back(builder, ctx, true)
}

/// `ReduceMax` and `ReduceMin`: `∂L/∂x = ∂L/∂y · [x = y] / n`, where `n` elements attain the
/// extreme: see [`super::ties`].
pub(super) fn extreme(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let extreme = restore_axes(builder, ctx, ctx.output(), &axes);
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let gradient = share_evenly(builder, ctx.input(0)?, &extreme, &gradient, &axes);
    Ok(ctx.first_input(gradient))
}

/// `y = Σ|x|`: `∂L/∂x = ∂L/∂y · sign x`.
pub(super) fn l1(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let sign = builder.op("Sign", &[ctx.input(0)?]);
    let gradient = builder.mul(&sign, &gradient);
    Ok(ctx.first_input(gradient))
}

/// `y = √Σx²`: `∂L/∂x = ∂L/∂y · x/y`, and 0 where `y = 0`, as in PyTorch.
pub(super) fn l2(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let norm = restore_axes(builder, ctx, ctx.output(), &axes);
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let scaled = builder.div(&gradient, &norm);
    let zero = builder.scalar(0.0);
    let is_nonzero = builder.op("Greater", &[&norm, &zero]);
    let scaled = builder.keep_where(&is_nonzero, &scaled);
    let gradient = builder.mul(ctx.input(0)?, &scaled);
    Ok(ctx.first_input(gradient))
}

/// `y = Σx²`: `∂L/∂x = ∂L/∂y · 2x`.
pub(super) fn sum_square(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let doubled = builder.scale(&gradient, 2.0);
    let gradient = builder.mul(ctx.input(0)?, &doubled);
    Ok(ctx.first_input(gradient))
}

/// `y = ln Σx`: `∂L/∂x = ∂L/∂y · e^(−y)`.
pub(super) fn log_sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let total = builder.op("Exp", &[ctx.output()]);
    let gradient = builder.div(ctx.grad_output()?, &total);
    let gradient = restore_axes(builder, ctx, &gradient, &axes);
    let gradient = builder.expand_like(&gradient, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// `y = ln Σeˣ`: `∂L/∂x = ∂L/∂y · e^(x − y)`.
pub(super) fn log_sum_exp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let level = restore_axes(builder, ctx, ctx.output(), &axes);
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let shifted = builder.sub(ctx.input(0)?, &level);
    let soft = builder.op("Exp", &[&shifted]);
    let gradient = builder.mul(&soft, &gradient);
    Ok(ctx.first_input(gradient))
}

/// `y = Πx` along one axis: `∂L/∂xᵢ = ∂L/∂y · Π_{j≠i} xⱼ`. The shorter form `y/xᵢ` would be NaN
/// where `xᵢ = 0`.
pub(super) fn product(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = nonempty_axes(ctx)?;
    let sizes = ctx.shape(ctx.input(0)?)?;
    let &[axis] = axes.as_slice() else {
        return Err(ctx.unsupported("multiplies over several axes"));
    };
    let size = sizes[axis as usize];
    const MAX_SIZE: i64 = 64;
    if axis == 0 || size > MAX_SIZE {
        return Err(ctx.unsupported("multiplies over the batch or over more than 64 elements"));
    }
    // [size, size] copies, each with one element replaced by 1, multiplied along the axis.
    let input = ctx.input(0)?;
    let (own_axis, next_axis) = (builder.int64s(&[axis]), builder.int64s(&[axis + 1]));
    let rows = builder.op("Unsqueeze", &[input, &own_axis]);
    let mut mask_shape = vec![1; sizes.len() + 1];
    (mask_shape[axis as usize], mask_shape[axis as usize + 1]) = (size, size);
    let eye: Vec<f32> = (0..size * size)
        .map(|entry| if entry / size == entry % size { 1.0 } else { 0.0 })
        .collect();
    let eye = builder.float32s(&mask_shape, &eye);
    let (half, one) = (builder.scalar(0.5), builder.scalar(1.0));
    let own = builder.op("Greater", &[&eye, &half]);
    let others = builder.op("Where", &[&own, &one, &rows]);
    let keep = [AttributeProto::int("keepdims", 0)];
    let others = builder.op_with("ReduceProd", &[&others, &next_axis], keep);
    let gradient = restore_axes(builder, ctx, ctx.grad_output()?, &axes);
    let gradient = builder.mul(&others, &gradient);
    Ok(ctx.first_input(gradient))
}
