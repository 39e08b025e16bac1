//! Arithmetic of tensors, broadcast as NumPy does: what was broadcast is summed on the way back.

use super::{Gradients, GraphBuilder, VjpContext};

/// Puts together the gradients of the inputs that need one.
fn each(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    mut gradient: impl FnMut(&mut GraphBuilder<'_>, usize) -> Result<String, String>,
) -> Gradients {
    (0..step.node.input.len())
        .map(|index| {
            if !step.wants(index) {
                return Ok(None);
            }
            let full = gradient(builder, index)?;
            builder.unbroadcast(&full, step.input(index)?, step.output()).map(Some)
        })
        .collect()
}

pub(super) fn add(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    each(builder, step, |_, _| Ok(step.gradient()?.to_owned()))
}

pub(super) fn sum(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    add(builder, step)
}

pub(super) fn mean(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let share = builder.scale(step.gradient()?, 1.0 / step.node.input.len() as f32);
    each(builder, step, |_, _| Ok(share.clone()))
}

pub(super) fn sub(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    each(builder, step, |builder, index| {
        let gradient = step.gradient()?;
        Ok(if index == 0 { gradient.to_owned() } else { builder.op("Neg", &[gradient]) })
    })
}

pub(super) fn mul(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    each(builder, step, |builder, index| Ok(builder.mul(step.gradient()?, step.input(1 - index)?)))
}

/// ∂(a/b) = ∂y/b for a, −∂y·y/b for b.
pub(super) fn div(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    each(builder, step, |builder, index| {
        let over = builder.div(step.gradient()?, step.input(1)?);
        if index == 0 {
            return Ok(over);
        }
        let product = builder.mul(&over, step.output());
        Ok(builder.op("Neg", &[&product]))
    })
}

/// ∂(a^b) = ∂y·b·a^(b−1) for a, ∂y·y·ln a for b. Where these are 0·∞ the gradient is 0, as in
/// PyTorch: for a where b is 0, for b where a is.
pub(super) fn pow(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    each(builder, step, |builder, index| {
        let (base, exponent) = (step.input(0)?, step.input(1)?);
        let derivative = if index == 0 {
            let one = builder.scalar(1.0);
            let one = builder.op("CastLike", &[&one, exponent]);
            let reduced = builder.sub(exponent, &one);
            let power = builder.op("Pow", &[base, &reduced]);
            let factor = builder.op("CastLike", &[exponent, base]);
            let derivative = builder.mul(&factor, &power);
            if builder.known_float32s(exponent).is_some_and(|known| !known.contains(&0.0)) {
                derivative
            } else {
                keep_where_not_zero(builder, &factor, &derivative)
            }
        } else {
            let logarithm = builder.op("Log", &[base]);
            let derivative = builder.mul(step.output(), &logarithm);
            keep_where_not_zero(builder, base, &derivative)
        };
        Ok(builder.mul(step.gradient()?, &derivative))
    })
}

fn keep_where_not_zero(builder: &mut GraphBuilder<'_>, a: &str, derivative: &str) -> String {
    let size = builder.op("Abs", &[a]);
    let zero = builder.scalar(0.0);
    let is_some = builder.op("Greater", &[&size, &zero]);
    builder.keep_where(&is_some, derivative)
}

/// The remainder rises with what is divided; where it falls back to 0 there is no slope.
pub(super) fn modulo(_: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    Ok(step.only_first(step.gradient()?.to_owned()))
}

/// The largest takes the gradient, and so the smallest of `Min`; equal ones share it, as in
/// PyTorch.
pub(super) fn extreme(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let wins: Vec<String> = (0..step.node.input.len())
        .map(|index| {
            let won = builder.op("Equal", &[step.input(index)?, step.output()]);
            Ok(builder.to_float(&won))
        })
        .collect::<Result<_, String>>()?;
    let Some((first, others)) = wins.split_first() else { return Err(step.refuse("has no input")) };
    let count = others.iter().fold(first.clone(), |count, won| builder.add(&count, won));
    let share = builder.div(step.gradient()?, &count);
    each(builder, step, |builder, index| Ok(builder.mul(&share, &wins[index])))
}

/// `Where(condition, a, b)`: each branch takes the gradient of the places that it filled.
pub(super) fn choose(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let condition = step.input(0)?.to_owned();
    each(builder, step, |builder, index| {
        let zero = builder.scalar(0.0);
        let gradient = step.gradient()?;
        Ok(match index {
            1 => builder.op("Where", &[&condition, gradient, &zero]),
            _ => builder.op("Where", &[&condition, &zero, gradient]),
        })
    })
}
