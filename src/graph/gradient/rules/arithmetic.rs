//! Arithmetic of tensors, broadcast as NumPy does: what was broadcast is summed on the way back.

use super::{Emit, Gradients, Step};

/// Puts together the gradients of the inputs that need one.
fn each(
    emit: &mut Emit<'_>,
    step: &Step<'_>,
    mut gradient: impl FnMut(&mut Emit<'_>, usize) -> Result<String, String>,
) -> Gradients {
    (0..step.node.input.len())
        .map(|index| {
            if !step.wants(index) {
                return Ok(None);
            }
            let full = gradient(emit, index)?;
            emit.unbroadcast(&full, step.input(index)?, step.output()).map(Some)
        })
        .collect()
}

pub(super) fn add(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    each(emit, step, |_, _| Ok(step.gradient()?.to_owned()))
}

pub(super) fn sum(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    add(emit, step)
}

pub(super) fn mean(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let share = emit.scale(step.gradient()?, 1.0 / step.node.input.len() as f32);
    each(emit, step, |_, _| Ok(share.clone()))
}

pub(super) fn sub(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    each(emit, step, |emit, index| {
        let gradient = step.gradient()?;
        Ok(if index == 0 { gradient.to_owned() } else { emit.op("Neg", &[gradient]) })
    })
}

pub(super) fn mul(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    each(emit, step, |emit, index| Ok(emit.mul(step.gradient()?, step.input(1 - index)?)))
}

/// ∂(a/b) = ∂y/b for a, −∂y·y/b for b.
pub(super) fn div(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    each(emit, step, |emit, index| {
        let over = emit.div(step.gradient()?, step.input(1)?);
        if index == 0 {
            return Ok(over);
        }
        let product = emit.mul(&over, step.output());
        Ok(emit.op("Neg", &[&product]))
    })
}

/// ∂(a^b) = ∂y·b·a^(b−1) for a, ∂y·y·ln a for b. Where these are 0·∞ the gradient is 0, as in
/// PyTorch: for a where b is 0, for b where a is.
pub(super) fn pow(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    each(emit, step, |emit, index| {
        let (base, exponent) = (step.input(0)?, step.input(1)?);
        let derivative = if index == 0 {
            let one = emit.scalar(1.0);
            let one = emit.op("CastLike", &[&one, exponent]);
            let reduced = emit.sub(exponent, &one);
            let power = emit.op("Pow", &[base, &reduced]);
            let factor = emit.op("CastLike", &[exponent, base]);
            let derivative = emit.mul(&factor, &power);
            if emit.known_float32s(exponent).is_some_and(|known| !known.contains(&0.0)) {
                derivative
            } else {
                keep_where_not_zero(emit, &factor, &derivative)
            }
        } else {
            let logarithm = emit.op("Log", &[base]);
            let derivative = emit.mul(step.output(), &logarithm);
            keep_where_not_zero(emit, base, &derivative)
        };
        Ok(emit.mul(step.gradient()?, &derivative))
    })
}

fn keep_where_not_zero(emit: &mut Emit<'_>, a: &str, derivative: &str) -> String {
    let size = emit.op("Abs", &[a]);
    let zero = emit.scalar(0.0);
    let is_some = emit.op("Greater", &[&size, &zero]);
    emit.keep_where(&is_some, derivative)
}

/// The remainder rises with what is divided; where it falls back to 0 there is no slope.
pub(super) fn modulo(_: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    Ok(step.only_first(step.gradient()?.to_owned()))
}

/// The largest takes the gradient, and so the smallest of `Min`; equal ones share it, as in
/// PyTorch.
pub(super) fn extreme(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let wins: Vec<String> = (0..step.node.input.len())
        .map(|index| {
            let won = emit.op("Equal", &[step.input(index)?, step.output()]);
            Ok(emit.to_float(&won))
        })
        .collect::<Result<_, String>>()?;
    let Some((first, others)) = wins.split_first() else { return Err(step.refuse("has no input")) };
    let count = others.iter().fold(first.clone(), |count, won| emit.add(&count, won));
    let share = emit.div(step.gradient()?, &count);
    each(emit, step, |emit, index| Ok(emit.mul(&share, &wins[index])))
}

/// `Where(condition, a, b)`: each branch takes the gradient of the places that it filled.
pub(super) fn choose(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let condition = step.input(0)?.to_owned();
    each(emit, step, |emit, index| {
        let zero = emit.scalar(0.0);
        let gradient = step.gradient()?;
        Ok(match index {
            1 => emit.op("Where", &[&condition, gradient, &zero]),
            _ => emit.op("Where", &[&condition, &zero, gradient]),
        })
    })
}
