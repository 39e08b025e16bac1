//! Arithmetic of tensors that are broadcast against each other, as in NumPy.
//!
//! For an input that was broadcast, the gradient of the broadcast tensor is summed over the axes
//! along which it was broadcast; the formulas below leave this sum out.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;

/// Collects the gradients of the inputs that need one. `gradient` writes that of the broadcast
/// input, of the shape of the output.
fn for_each_input(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    mut gradient: impl FnMut(&mut GraphBuilder, usize) -> Result<String, Error>,
) -> InputGradients {
    (0..ctx.node.input.len())
        .map(|index| {
            if !ctx.needs_grad(index) {
                return Ok(None);
            }
            let full = gradient(builder, index)?;
            ctx.unbroadcast(builder, &full, ctx.input(index)?, ctx.output()).map(Some)
        })
        .collect()
}

/// `∂L/∂xᵢ = ∂L/∂y`.
pub(super) fn add(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    for_each_input(builder, ctx, |_, _| Ok(ctx.grad_output()?.to_owned()))
}

/// `∂L/∂xᵢ = ∂L/∂y`, for any number of inputs.
pub(super) fn sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    add(builder, ctx)
}

/// `∂L/∂xᵢ = ∂L/∂y / n`, for `n` inputs.
pub(super) fn mean(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let share = builder.scale(ctx.grad_output()?, 1.0 / ctx.node.input.len() as f32);
    for_each_input(builder, ctx, |_, _| Ok(share.clone()))
}

/// `∂L/∂a = ∂L/∂y` and `∂L/∂b = −∂L/∂y`.
pub(super) fn sub(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    for_each_input(builder, ctx, |builder, index| {
        let gradient = ctx.grad_output()?;
        Ok(if index == 0 { gradient.to_owned() } else { builder.op("Neg", &[gradient]) })
    })
}

/// `∂L/∂a = ∂L/∂y · b` and `∂L/∂b = ∂L/∂y · a`.
pub(super) fn mul(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    for_each_input(builder, ctx, |builder, index| {
        Ok(builder.mul(ctx.grad_output()?, ctx.input(1 - index)?))
    })
}

/// `∂L/∂a = ∂L/∂y / b` and `∂L/∂b = −∂L/∂y / b · y`.
pub(super) fn div(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    for_each_input(builder, ctx, |builder, index| {
        let quotient = builder.div(ctx.grad_output()?, ctx.input(1)?);
        if index == 0 {
            return Ok(quotient);
        }
        let product = builder.mul(&quotient, ctx.output());
        Ok(builder.op("Neg", &[&product]))
    })
}

/// `∂L/∂a = ∂L/∂y · b·a^(b−1)` and `∂L/∂b = ∂L/∂y · y·ln a`.
///
/// Where a product would be 0·∞, the gradient is 0, as in PyTorch: that of `a` where `b = 0`, that
/// of `b` where `a = 0`.
pub(super) fn pow(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    for_each_input(builder, ctx, |builder, index| {
        let (base, exponent) = (ctx.input(0)?, ctx.input(1)?);
        let derivative = if index == 0 {
            let one = builder.scalar(1.0);
            let one = builder.op("CastLike", &[&one, exponent]);
            let reduced = builder.sub(exponent, &one);
            let power = builder.op("Pow", &[base, &reduced]);
            let factor = builder.op("CastLike", &[exponent, base]);
            let derivative = builder.mul(&factor, &power);
            if ctx.known_float32s(exponent).is_some_and(|known| !known.contains(&0.0)) {
                derivative
            } else {
                keep_where_nonzero(builder, &factor, &derivative)
            }
        } else {
            let logarithm = builder.op("Log", &[base]);
            let derivative = builder.mul(ctx.output(), &logarithm);
            keep_where_nonzero(builder, base, &derivative)
        };
        Ok(builder.mul(ctx.grad_output()?, &derivative))
    })
}

/// `derivative` where `a ≠ 0`, else 0.
fn keep_where_nonzero(builder: &mut GraphBuilder, a: &str, derivative: &str) -> String {
    let magnitude = builder.op("Abs", &[a]);
    let zero = builder.scalar(0.0);
    let is_nonzero = builder.op("Greater", &[&magnitude, &zero]);
    builder.keep_where(&is_nonzero, derivative)
}

/// `∂L/∂a = ∂L/∂y`: between its jumps, the remainder grows like the dividend. The divisor counts as
/// a constant.
pub(super) fn modulo(_: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    Ok(ctx.first_input(ctx.grad_output()?.to_owned()))
}

/// `Max` and `Min`: `∂L/∂xᵢ = ∂L/∂y · [xᵢ = y] / n`, where `n` inputs attain the extreme: see
/// [`super::ties`].
pub(super) fn extreme(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let wins: Vec<String> = (0..ctx.node.input.len())
        .map(|index| {
            let won = builder.op("Equal", &[ctx.input(index)?, ctx.output()]);
            Ok(builder.to_float(&won))
        })
        .collect::<Result<_, Error>>()?;
    let Some((first, others)) = wins.split_first() else {
        return Err(ctx.unsupported("has no input"));
    };
    let count = others.iter().fold(first.clone(), |count, won| builder.add(&count, won));
    let share = builder.div(ctx.grad_output()?, &count);
    for_each_input(builder, ctx, |builder, index| Ok(builder.mul(&share, &wins[index])))
}

/// `Where(c, a, b)`: `∂L/∂a = ∂L/∂y` where `c` holds, else 0; `∂L/∂b = ∂L/∂y` where it does not,
/// else 0.
pub(super) fn where_condition(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let condition = ctx.input(0)?.to_owned();
    for_each_input(builder, ctx, |builder, index| {
        let zero = builder.scalar(0.0);
        let gradient = ctx.grad_output()?;
        Ok(match index {
            1 => builder.op("Where", &[&condition, gradient, &zero]),
            _ => builder.op("Where", &[&condition, &zero, gradient]),
        })
    })
}
