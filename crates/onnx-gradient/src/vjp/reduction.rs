//! Reductions: the gradient is spread again over the axes that were reduced.

use super::{Gradients, GraphBuilder, VjpContext};
use crate::proto::AttributeProto;

/// The axes that a reduction reduces, counted from the front.
fn axes(builder: &GraphBuilder<'_>, step: &VjpContext<'_>) -> Result<Vec<i64>, String> {
    let rank = builder.shape(step.input(0)?)?.len() as i64;
    let given = match step.node.input_name(1) {
        Some(name) => builder.known_int64s(name).ok_or_else(|| step.refuse("computes its axes"))?,
        None => Vec::new(),
    };
    // An empty list says the same as none.
    let all = given.is_empty() && step.node.int("noop_with_empty_axes", 0) == 0;
    let axes = if all { (0..rank).collect() } else { given };
    Ok(axes.into_iter().map(|axis| if axis < 0 { axis + rank } else { axis }).collect())
}

/// The axes of a reduction that reduces at all.
fn some_axes(builder: &GraphBuilder<'_>, step: &VjpContext<'_>) -> Result<Vec<i64>, String> {
    let axes = axes(builder, step)?;
    if axes.is_empty() { Err(step.refuse("reduces over no axis")) } else { Ok(axes) }
}

/// A reduced tensor with the reduced axes back as ones.
fn with_ones(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    reduced: &str,
    axes: &[i64],
) -> String {
    if step.node.int("keepdims", 1) != 0 || axes.is_empty() {
        return reduced.to_owned();
    }
    let axes = builder.int64s(axes);
    builder.op("Unsqueeze", &[reduced, &axes])
}

fn spread(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>, mean: bool) -> Gradients {
    let axes = axes(builder, step)?;
    let sizes = builder.shape(step.input(0)?)?;
    let mut gradient = with_ones(builder, step, step.gradient()?, &axes);
    if mean && axes.contains(&0) {
        // The first axis may be the batch, whose size is known at run time only.
        let (all, means) =
            (builder.op("Size", &[step.input(0)?]), builder.op("Size", &[step.output()]));
        let count = builder.div(&all, &means);
        let count = builder.to_float(&count);
        gradient = builder.div(&gradient, &count);
    } else if mean {
        let count: i64 = axes.iter().map(|&axis| sizes[axis as usize]).product();
        gradient = builder.scale(&gradient, 1.0 / count as f32);
    }
    let gradient = builder.expand_like(&gradient, step.input(0)?);
    Ok(step.only_first(gradient))
}

pub(super) fn sum(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    spread(builder, step, false)
}

pub(super) fn mean(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    spread(builder, step, true)
}

/// Equal maxima share the gradient evenly, as PyTorch's `amax` does; so do minima.
pub(super) fn extreme(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let input = step.input(0)?;
    let largest = with_ones(builder, step, step.output(), &axes);
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let chosen = builder.op("Equal", &[input, &largest]);
    let chosen = builder.to_float(&chosen);
    let count = builder.reduce_sum(&chosen, &axes, true);
    let share = builder.div(&gradient, &count);
    let gradient = builder.mul(&chosen, &share);
    Ok(step.only_first(gradient))
}

/// Σ|x|: ∂y·sign x.
pub(super) fn l1(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let sign = builder.op("Sign", &[step.input(0)?]);
    let gradient = builder.mul(&sign, &gradient);
    Ok(step.only_first(gradient))
}

/// ∂‖x‖ = ∂y·x/‖x‖, and 0 where ‖x‖ is, as in PyTorch.
pub(super) fn l2(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let norm = with_ones(builder, step, step.output(), &axes);
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let scaled = builder.div(&gradient, &norm);
    let zero = builder.scalar(0.0);
    let is_some = builder.op("Greater", &[&norm, &zero]);
    let scaled = builder.keep_where(&is_some, &scaled);
    let gradient = builder.mul(step.input(0)?, &scaled);
    Ok(step.only_first(gradient))
}

/// Σx²: ∂y·2x.
pub(super) fn sum_square(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let doubled = builder.scale(&gradient, 2.0);
    let gradient = builder.mul(step.input(0)?, &doubled);
    Ok(step.only_first(gradient))
}

/// y = ln Σx, so Σx = e^y: ∂y·e^(−y).
pub(super) fn log_sum(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let total = builder.op("Exp", &[step.output()]);
    let gradient = builder.div(step.gradient()?, &total);
    let gradient = with_ones(builder, step, &gradient, &axes);
    let gradient = builder.expand_like(&gradient, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// y = ln Σe^x: ∂y·e^(x − y), a softmax.
pub(super) fn log_sum_exp(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let level = with_ones(builder, step, step.output(), &axes);
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let shifted = builder.sub(step.input(0)?, &level);
    let soft = builder.op("Exp", &[&shifted]);
    let gradient = builder.mul(&soft, &gradient);
    Ok(step.only_first(gradient))
}

/// ∂y·(product of all others), which over one axis is what stands before times what stands behind;
/// y/x would be NaN where x is 0.
pub(super) fn product(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = some_axes(builder, step)?;
    let sizes = builder.shape(step.input(0)?)?;
    let &[axis] = axes.as_slice() else { return Err(step.refuse("multiplies over several axes")) };
    let size = sizes[axis as usize];
    const MOST: i64 = 64;
    if axis == 0 || size > MOST {
        return Err(step.refuse("multiplies over the batch or over more than 64 numbers"));
    }
    // One row a number, with a one in its own place: [size, size] of them, multiplied along the
    // axis.
    let input = step.input(0)?;
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
    let gradient = with_ones(builder, step, step.gradient()?, &axes);
    let gradient = builder.mul(&others, &gradient);
    Ok(step.only_first(gradient))
}
