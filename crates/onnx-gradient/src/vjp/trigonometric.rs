//! Trigonometric and hyperbolic functions and their inverses, applied element by element.
//!
//! `∂L/∂x = ∂L/∂y · f′(x)`, of the shape of `x`; the functions below document `f′`.

use super::activation::{one_minus, one_plus, square, times_derivative};
use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;

/// `f′ = cos x`.
pub(super) fn sin(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Cos", &[ctx.input(0)?]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = −sin x`.
pub(super) fn cos(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let sine = builder.op("Sin", &[ctx.input(0)?]);
    let derivative = builder.op("Neg", &[&sine]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 1 + y²`.
pub(super) fn tan(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = one_plus(builder, &squared);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = cosh x`.
pub(super) fn sinh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Cosh", &[ctx.input(0)?]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = sinh x`.
pub(super) fn cosh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sinh", &[ctx.input(0)?]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 1/√(1 − x²)`.
pub(super) fn asin(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let difference = one_minus(builder, &squared);
    over_root(builder, ctx.grad_output()?, ctx, &difference)
}

/// `f′ = −1/√(1 − x²)`.
pub(super) fn acos(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let difference = one_minus(builder, &squared);
    let negative = builder.op("Neg", &[ctx.grad_output()?]);
    over_root(builder, &negative, ctx, &difference)
}

/// `f′ = 1/(1 + x²)`.
pub(super) fn atan(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let sum = one_plus(builder, &squared);
    let gradient = builder.div(ctx.grad_output()?, &sum);
    Ok(ctx.first_input(gradient))
}

/// `f′ = 1/√(x² + 1)`.
pub(super) fn asinh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let sum = one_plus(builder, &squared);
    over_root(builder, ctx.grad_output()?, ctx, &sum)
}

/// `f′ = 1/√(x² − 1)`, for `x > 1`.
pub(super) fn acosh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let one = builder.scalar(1.0);
    let sum = builder.sub(&squared, &one);
    over_root(builder, ctx.grad_output()?, ctx, &sum)
}

/// `f′ = 1/(1 − x²)`.
pub(super) fn atanh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let difference = one_minus(builder, &squared);
    let gradient = builder.div(ctx.grad_output()?, &difference);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = gradient/√a`.
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
