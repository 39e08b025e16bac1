//! Trigonometric and hyperbolic functions and their inverses, applied to each number: `∂x = ∂y ·
//! f′`.

use super::activation::{chain, one_minus, one_plus, square};
use super::{Emit, Gradients, Step};

pub(super) fn sin(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = emit.op("Cos", &[step.input(0)?]);
    chain(emit, step, &derivative)
}

pub(super) fn cos(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let sine = emit.op("Sin", &[step.input(0)?]);
    let derivative = emit.op("Neg", &[&sine]);
    chain(emit, step, &derivative)
}

/// 1 + tan².
pub(super) fn tan(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.output());
    let derivative = one_plus(emit, &squared);
    chain(emit, step, &derivative)
}

pub(super) fn sinh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = emit.op("Cosh", &[step.input(0)?]);
    chain(emit, step, &derivative)
}

pub(super) fn cosh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = emit.op("Sinh", &[step.input(0)?]);
    chain(emit, step, &derivative)
}

/// 1/√(1 − x²).
pub(super) fn asin(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let rest = one_minus(emit, &squared);
    over_root(emit, step.gradient()?, step, &rest)
}

/// −1/√(1 − x²).
pub(super) fn acos(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let rest = one_minus(emit, &squared);
    let negative = emit.op("Neg", &[step.gradient()?]);
    over_root(emit, &negative, step, &rest)
}

/// 1/(1 + x²).
pub(super) fn atan(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let level = one_plus(emit, &squared);
    let gradient = emit.div(step.gradient()?, &level);
    Ok(step.only_first(gradient))
}

/// 1/√(x² + 1).
pub(super) fn asinh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let level = one_plus(emit, &squared);
    over_root(emit, step.gradient()?, step, &level)
}

/// 1/√(x² − 1), which is defined above 1.
pub(super) fn acosh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let one = emit.scalar(1.0);
    let level = emit.sub(&squared, &one);
    over_root(emit, step.gradient()?, step, &level)
}

/// 1/(1 − x²).
pub(super) fn atanh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let rest = one_minus(emit, &squared);
    let gradient = emit.div(step.gradient()?, &rest);
    Ok(step.only_first(gradient))
}

/// `gradient/√a` for the only input.
fn over_root(emit: &mut Emit<'_>, gradient: &str, step: &Step<'_>, a: &str) -> Gradients {
    let root = emit.op("Sqrt", &[a]);
    let gradient = emit.div(gradient, &root);
    Ok(step.only_first(gradient))
}
