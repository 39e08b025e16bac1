//! Reductions: the gradient is spread again over the axes that were reduced.

use super::{Emit, Gradients, Step};
use crate::graph::proto::AttributeProto;

/// The axes that a reduction reduces, counted from the front.
fn axes(emit: &Emit<'_>, step: &Step<'_>) -> Result<Vec<i64>, String> {
    let rank = emit.shape(step.input(0)?)?.len() as i64;
    let given = match step.node.input_name(1) {
        Some(name) => emit.known_int64s(name).ok_or_else(|| step.refuse("computes its axes"))?,
        None => Vec::new(),
    };
    // An empty list says the same as none.
    let all = given.is_empty() && step.node.int("noop_with_empty_axes", 0) == 0;
    let axes = if all { (0..rank).collect() } else { given };
    Ok(axes.into_iter().map(|axis| if axis < 0 { axis + rank } else { axis }).collect())
}

/// The axes of a reduction that reduces at all.
fn some_axes(emit: &Emit<'_>, step: &Step<'_>) -> Result<Vec<i64>, String> {
    let axes = axes(emit, step)?;
    if axes.is_empty() { Err(step.refuse("reduces over no axis")) } else { Ok(axes) }
}

/// A reduced tensor with the reduced axes back as ones.
fn with_ones(emit: &mut Emit<'_>, step: &Step<'_>, reduced: &str, axes: &[i64]) -> String {
    if step.node.int("keepdims", 1) != 0 || axes.is_empty() {
        return reduced.to_owned();
    }
    let axes = emit.int64s(axes);
    emit.op("Unsqueeze", &[reduced, &axes])
}

fn spread(emit: &mut Emit<'_>, step: &Step<'_>, mean: bool) -> Gradients {
    let axes = axes(emit, step)?;
    let sizes = emit.shape(step.input(0)?)?;
    let mut gradient = with_ones(emit, step, step.gradient()?, &axes);
    if mean && axes.contains(&0) {
        // The first axis may be the batch, whose size is known at run time only.
        let (all, means) = (emit.op("Size", &[step.input(0)?]), emit.op("Size", &[step.output()]));
        let count = emit.div(&all, &means);
        let count = emit.to_float(&count);
        gradient = emit.div(&gradient, &count);
    } else if mean {
        let count: i64 = axes.iter().map(|&axis| sizes[axis as usize]).product();
        gradient = emit.scale(&gradient, 1.0 / count as f32);
    }
    let gradient = emit.expand_like(&gradient, step.input(0)?);
    Ok(step.only_first(gradient))
}

pub(super) fn sum(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    spread(emit, step, false)
}

pub(super) fn mean(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    spread(emit, step, true)
}

/// Equal maxima share the gradient evenly, as PyTorch's `amax` does; so do minima.
pub(super) fn extreme(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let input = step.input(0)?;
    let largest = with_ones(emit, step, step.output(), &axes);
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let chosen = emit.op("Equal", &[input, &largest]);
    let chosen = emit.to_float(&chosen);
    let count = emit.reduce_sum(&chosen, &axes, true);
    let share = emit.div(&gradient, &count);
    let gradient = emit.mul(&chosen, &share);
    Ok(step.only_first(gradient))
}

/// Σ|x|: ∂y·sign x.
pub(super) fn l1(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let sign = emit.op("Sign", &[step.input(0)?]);
    let gradient = emit.mul(&sign, &gradient);
    Ok(step.only_first(gradient))
}

/// ∂‖x‖ = ∂y·x/‖x‖, and 0 where ‖x‖ is, as in PyTorch.
pub(super) fn l2(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let norm = with_ones(emit, step, step.output(), &axes);
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let scaled = emit.div(&gradient, &norm);
    let zero = emit.scalar(0.0);
    let is_some = emit.op("Greater", &[&norm, &zero]);
    let scaled = emit.keep_where(&is_some, &scaled);
    let gradient = emit.mul(step.input(0)?, &scaled);
    Ok(step.only_first(gradient))
}

/// Σx²: ∂y·2x.
pub(super) fn sum_square(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let doubled = emit.scale(&gradient, 2.0);
    let gradient = emit.mul(step.input(0)?, &doubled);
    Ok(step.only_first(gradient))
}

/// y = ln Σx, so Σx = e^y: ∂y·e^(−y).
pub(super) fn log_sum(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let total = emit.op("Exp", &[step.output()]);
    let gradient = emit.div(step.gradient()?, &total);
    let gradient = with_ones(emit, step, &gradient, &axes);
    let gradient = emit.expand_like(&gradient, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// y = ln Σe^x: ∂y·e^(x − y), a softmax.
pub(super) fn log_sum_exp(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let level = with_ones(emit, step, step.output(), &axes);
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let shifted = emit.sub(step.input(0)?, &level);
    let soft = emit.op("Exp", &[&shifted]);
    let gradient = emit.mul(&soft, &gradient);
    Ok(step.only_first(gradient))
}

/// ∂y·(product of all others), which over one axis is what stands before times what stands behind;
/// y/x would be NaN where x is 0.
pub(super) fn product(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let sizes = emit.shape(step.input(0)?)?;
    let &[axis] = axes.as_slice() else { return Err(step.refuse("multiplies over several axes")) };
    let size = sizes[axis as usize];
    const MOST: i64 = 64;
    if axis == 0 || size > MOST {
        return Err(step.refuse("multiplies over the batch or over more than 64 numbers"));
    }
    // One row a number, with a one in its own place: [size, size] of them, multiplied along the
    // axis.
    let input = step.input(0)?;
    let (own_axis, next_axis) = (emit.int64s(&[axis]), emit.int64s(&[axis + 1]));
    let rows = emit.op("Unsqueeze", &[input, &own_axis]);
    let mut mask_shape = vec![1; sizes.len() + 1];
    (mask_shape[axis as usize], mask_shape[axis as usize + 1]) = (size, size);
    let eye: Vec<f32> = (0..size * size)
        .map(|place| if place / size == place % size { 1.0 } else { 0.0 })
        .collect();
    let eye = emit.float32s(&mask_shape, &eye);
    let (half, one) = (emit.scalar(0.5), emit.scalar(1.0));
    let own = emit.op("Greater", &[&eye, &half]);
    let others = emit.op("Where", &[&own, &one, &rows]);
    let keep = vec![AttributeProto::int("keepdims", 0)];
    let others = emit.op_with("ReduceProd", &[&others, &next_axis], keep);
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let gradient = emit.mul(&others, &gradient);
    Ok(step.only_first(gradient))
}
