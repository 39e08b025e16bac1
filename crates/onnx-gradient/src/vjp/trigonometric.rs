//! Trigonometric and hyperbolic functions and their inverses, applied to each number: `∂x = ∂y ·
//! f′`.

use super::activation::{chain, one_minus, one_plus, square};
use super::{Gradients, GraphBuilder, VjpContext};

pub(super) fn sin(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = builder.op("Cos", &[step.input(0)?]);
    chain(builder, step, &derivative)
}

pub(super) fn cos(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let sine = builder.op("Sin", &[step.input(0)?]);
    let derivative = builder.op("Neg", &[&sine]);
    chain(builder, step, &derivative)
}

/// 1 + tan².
pub(super) fn tan(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.output());
    let derivative = one_plus(builder, &squared);
    chain(builder, step, &derivative)
}

pub(super) fn sinh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = builder.op("Cosh", &[step.input(0)?]);
    chain(builder, step, &derivative)
}

pub(super) fn cosh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = builder.op("Sinh", &[step.input(0)?]);
    chain(builder, step, &derivative)
}

/// 1/√(1 − x²).
pub(super) fn asin(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let rest = one_minus(builder, &squared);
    over_root(builder, step.gradient()?, step, &rest)
}

/// −1/√(1 − x²).
pub(super) fn acos(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let rest = one_minus(builder, &squared);
    let negative = builder.op("Neg", &[step.gradient()?]);
    over_root(builder, &negative, step, &rest)
}

/// 1/(1 + x²).
pub(super) fn atan(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let level = one_plus(builder, &squared);
    let gradient = builder.div(step.gradient()?, &level);
    Ok(step.only_first(gradient))
}

/// 1/√(x² + 1).
pub(super) fn asinh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let level = one_plus(builder, &squared);
    over_root(builder, step.gradient()?, step, &level)
}

/// 1/√(x² − 1), which is defined above 1.
pub(super) fn acosh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let one = builder.scalar(1.0);
    let level = builder.sub(&squared, &one);
    over_root(builder, step.gradient()?, step, &level)
}

/// 1/(1 − x²).
pub(super) fn atanh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let rest = one_minus(builder, &squared);
    let gradient = builder.div(step.gradient()?, &rest);
    Ok(step.only_first(gradient))
}

/// `gradient/√a` for the only input.
fn over_root(
    builder: &mut GraphBuilder<'_>,
    gradient: &str,
    step: &VjpContext<'_>,
    a: &str,
) -> Gradients {
    let root = builder.op("Sqrt", &[a]);
    let gradient = builder.div(gradient, &root);
    Ok(step.only_first(gradient))
}
