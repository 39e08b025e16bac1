//! Arithmetic of tensors, broadcast as NumPy does: what was broadcast is summed on the way back.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;

/// Puts together the gradients of the inputs that need one.
fn each(
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

pub(super) fn add(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    each(builder, ctx, |_, _| Ok(ctx.grad_output()?.to_owned()))
}

pub(super) fn sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    add(builder, ctx)
}

pub(super) fn mean(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let share = builder.scale(ctx.grad_output()?, 1.0 / ctx.node.input.len() as f32);
    each(builder, ctx, |_, _| Ok(share.clone()))
}

pub(super) fn sub(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    each(builder, ctx, |builder, index| {
        let gradient = ctx.grad_output()?;
        Ok(if index == 0 { gradient.to_owned() } else { builder.op("Neg", &[gradient]) })
    })
}

pub(super) fn mul(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    each(builder, ctx, |builder, index| Ok(builder.mul(ctx.grad_output()?, ctx.input(1 - index)?)))
}

/// ∂(a/b) = ∂y/b for a, −∂y·y/b for b.
pub(super) fn div(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    each(builder, ctx, |builder, index| {
        let over = builder.div(ctx.grad_output()?, ctx.input(1)?);
        if index == 0 {
            return Ok(over);
        }
        let product = builder.mul(&over, ctx.output());
        Ok(builder.op("Neg", &[&product]))
    })
}

/// ∂(a^b) = ∂y·b·a^(b−1) for a, ∂y·y·ln a for b. Where these are 0·∞ the gradient is 0, as in
/// PyTorch: for a where b is 0, for b where a is.
pub(super) fn pow(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    each(builder, ctx, |builder, index| {
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
                keep_where_not_zero(builder, &factor, &derivative)
            }
        } else {
            let logarithm = builder.op("Log", &[base]);
            let derivative = builder.mul(ctx.output(), &logarithm);
            keep_where_not_zero(builder, base, &derivative)
        };
        Ok(builder.mul(ctx.grad_output()?, &derivative))
    })
}

fn keep_where_not_zero(builder: &mut GraphBuilder, a: &str, derivative: &str) -> String {
    let size = builder.op("Abs", &[a]);
    let zero = builder.scalar(0.0);
    let is_some = builder.op("Greater", &[&size, &zero]);
    builder.keep_where(&is_some, derivative)
}

/// The remainder rises with what is divided; where it falls back to 0 there is no slope.
pub(super) fn modulo(_: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    Ok(ctx.first_input(ctx.grad_output()?.to_owned()))
}

/// The largest takes the gradient, and so the smallest of `Min`; equal ones share it, as in
/// PyTorch.
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
    each(builder, ctx, |builder, index| Ok(builder.mul(&share, &wins[index])))
}

/// `Where(condition, a, b)`: each branch takes the gradient of the places that it filled.
pub(super) fn choose(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let condition = ctx.input(0)?.to_owned();
    each(builder, ctx, |builder, index| {
        let zero = builder.scalar(0.0);
        let gradient = ctx.grad_output()?;
        Ok(match index {
            1 => builder.op("Where", &[&condition, gradient, &zero]),
            _ => builder.op("Where", &[&condition, &zero, gradient]),
        })
    })
}
