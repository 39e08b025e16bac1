//! Reductions: the gradient is spread again over the axes that were reduced.

use super::{Emit, Gradients, Step};

/// The axes that a reduction reduces, counted from the front.
fn axes(emit: &Emit<'_>, step: &Step<'_>) -> Result<Vec<i64>, String> {
    let rank = emit.shape(step.input(0)?)?.len() as i64;
    let axes = match step.node.input_name(1) {
        None if step.node.int("noop_with_empty_axes", 0) != 0 => Vec::new(),
        None => (0..rank).collect(),
        Some(name) => emit.known_int64s(name).ok_or_else(|| step.refuse("computes its axes"))?,
    };
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
    // The count is read off the measured shape, so the batch axis must not be among the axes.
    if mean {
        if axes.contains(&0) {
            return Err(step.refuse("takes the mean over the batch"));
        }
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

/// Equal maxima share the gradient evenly, as PyTorch's `amax` does.
pub(super) fn max(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
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

/// ∂‖x‖ = ∂y·x/‖x‖.
pub(super) fn l2(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = some_axes(emit, step)?;
    let norm = with_ones(emit, step, step.output(), &axes);
    let gradient = with_ones(emit, step, step.gradient()?, &axes);
    let scaled = emit.div(&gradient, &norm);
    let gradient = emit.mul(step.input(0)?, &scaled);
    Ok(step.only_first(gradient))
}
