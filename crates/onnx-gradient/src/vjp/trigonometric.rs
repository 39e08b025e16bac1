//! Trigonometric and hyperbolic functions and their inverses, applied to each number: `∂x = ∂y ·
//! f′`.

use super::activation::{chain, one_minus, one_plus, square};
use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;

pub(super) fn sin(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Cos", &[ctx.input(0)?]);
    chain(builder, ctx, &derivative)
}

pub(super) fn cos(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let sine = builder.op("Sin", &[ctx.input(0)?]);
    let derivative = builder.op("Neg", &[&sine]);
    chain(builder, ctx, &derivative)
}

/// 1 + tan².
pub(super) fn tan(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = one_plus(builder, &squared);
    chain(builder, ctx, &derivative)
}

pub(super) fn sinh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Cosh", &[ctx.input(0)?]);
    chain(builder, ctx, &derivative)
}

pub(super) fn cosh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sinh", &[ctx.input(0)?]);
    chain(builder, ctx, &derivative)
}

/// 1/√(1 − x²).
pub(super) fn asin(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let rest = one_minus(builder, &squared);
    over_root(builder, ctx.grad_output()?, ctx, &rest)
}

/// −1/√(1 − x²).
pub(super) fn acos(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let rest = one_minus(builder, &squared);
    let negative = builder.op("Neg", &[ctx.grad_output()?]);
    over_root(builder, &negative, ctx, &rest)
}

/// 1/(1 + x²).
pub(super) fn atan(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let level = one_plus(builder, &squared);
    let gradient = builder.div(ctx.grad_output()?, &level);
    Ok(ctx.first_input(gradient))
}

/// 1/√(x² + 1).
pub(super) fn asinh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let level = one_plus(builder, &squared);
    over_root(builder, ctx.grad_output()?, ctx, &level)
}

/// 1/√(x² − 1), which is defined above 1.
pub(super) fn acosh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let one = builder.scalar(1.0);
    let level = builder.sub(&squared, &one);
    over_root(builder, ctx.grad_output()?, ctx, &level)
}

/// 1/(1 − x²).
pub(super) fn atanh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let rest = one_minus(builder, &squared);
    let gradient = builder.div(ctx.grad_output()?, &rest);
    Ok(ctx.first_input(gradient))
}

/// `gradient/√a` for the only input.
fn over_root(
    builder: &mut GraphBuilder,
    gradient: &str,
    ctx: &VjpContext<'_>,
    a: &str,
) -> InputGradients {
    let root = builder.op("Sqrt", &[a]);
    let gradient = builder.div(gradient, &root);
    Ok(ctx.first_input(gradient))
}
