//! Functions of one number, applied to each: `∂x = ∂y · f′`.
//!
//! Where `f′` can be had from the output it is: the runtime then may still fuse the
//! activation into the convolution before it, and the input need not be kept.

use super::{Emit, Gradients, Step};

/// `∂x = ∂y · derivative`.
pub(super) fn chain(emit: &mut Emit<'_>, step: &Step<'_>, derivative: &str) -> Gradients {
    let gradient = emit.mul(step.gradient()?, derivative);
    Ok(step.only_first(gradient))
}

/// `∂x = ∂y` where the condition holds, else 0.
fn gate(emit: &mut Emit<'_>, step: &Step<'_>, open: &str) -> Gradients {
    let gradient = emit.mask(open, step.gradient()?);
    Ok(step.only_first(gradient))
}

/// `∂x = ∂y` for x > 0, else `∂y · below`.
fn kinked(emit: &mut Emit<'_>, step: &Step<'_>, below: &str) -> Gradients {
    let positive = greater(emit, step.input(0)?, 0.0);
    let scaled = emit.mul(step.gradient()?, below);
    let gradient = emit.op("Where", &[&positive, step.gradient()?, &scaled]);
    Ok(step.only_first(gradient))
}

fn greater(emit: &mut Emit<'_>, a: &str, bound: f32) -> String {
    let bound = emit.scalar(bound);
    emit.op("Greater", &[a, &bound])
}

fn less(emit: &mut Emit<'_>, a: &str, bound: f32) -> String {
    let bound = emit.scalar(bound);
    emit.op("Less", &[a, &bound])
}

pub(super) fn square(emit: &mut Emit<'_>, a: &str) -> String {
    emit.mul(a, a)
}

pub(super) fn one_minus(emit: &mut Emit<'_>, a: &str) -> String {
    let one = emit.scalar(1.0);
    emit.sub(&one, a)
}

pub(super) fn one_plus(emit: &mut Emit<'_>, a: &str) -> String {
    let one = emit.scalar(1.0);
    emit.add(&one, a)
}

/// ReLU passes what it let through; at 0, nothing.
pub(super) fn relu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let open = greater(emit, step.output(), 0.0);
    gate(emit, step, &open)
}

/// What lies above the threshold passes.
pub(super) fn thresholded_relu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let open = greater(emit, step.input(0)?, step.node.float("alpha", 1.0));
    gate(emit, step, &open)
}

/// x beyond ±λ, less the bias; nothing between.
pub(super) fn shrink(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let size = emit.op("Abs", &[step.input(0)?]);
    let open = greater(emit, &size, step.node.float("lambd", 0.5));
    gate(emit, step, &open)
}

/// Clip passes what lies strictly between its bounds, as `ReLU6` does in PyTorch.
pub(super) fn clip(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let low = step.node.input_name(1).map(|low| emit.op("Greater", &[step.output(), low]));
    let high = step.node.input_name(2).map(|high| emit.op("Less", &[step.output(), high]));
    let open = match (low, high) {
        (Some(low), Some(high)) => emit.op("And", &[&low, &high]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(step.only_first(step.gradient()?.to_owned())),
    };
    gate(emit, step, &open)
}

pub(super) fn leaky_relu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let slope = emit.scalar(step.node.float("alpha", 0.01));
    kinked(emit, step, &slope)
}

pub(super) fn prelu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let slope = step.input(1)?.to_owned();
    kinked(emit, step, &slope)
}

/// Below 0, y = α(eˣ − 1) and so y′ = y + α.
pub(super) fn elu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let alpha = emit.scalar(step.node.float("alpha", 1.0));
    let below = emit.add(step.output(), &alpha);
    kinked(emit, step, &below)
}

/// Below 0, y = α(e^(x/α) − 1) and so y′ = y/α + 1.
pub(super) fn celu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let scaled = emit.scale(step.output(), 1.0 / step.node.float("alpha", 1.0));
    let below = one_plus(emit, &scaled);
    kinked(emit, step, &below)
}

/// γ above 0; below, y = γα(eˣ − 1) and so y′ = y + γα.
pub(super) fn selu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let gamma = step.node.float("gamma", 1.050_701);
    let offset = emit.scalar(gamma * step.node.float("alpha", 1.673_263_2));
    let below = emit.add(step.output(), &offset);
    let positive = greater(emit, step.input(0)?, 0.0);
    let gamma = emit.scalar(gamma);
    let derivative = emit.op("Where", &[&positive, &gamma, &below]);
    chain(emit, step, &derivative)
}

/// σ′ = σ(1 − σ).
pub(super) fn sigmoid(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let rest = one_minus(emit, step.output());
    let derivative = emit.mul(step.output(), &rest);
    chain(emit, step, &derivative)
}

/// tanh′ = 1 − tanh².
pub(super) fn tanh(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.output());
    let derivative = one_minus(emit, &squared);
    chain(emit, step, &derivative)
}

fn strictly_between(emit: &mut Emit<'_>, a: &str, low: f32, high: f32) -> String {
    let (above, below) = (greater(emit, a, low), less(emit, a, high));
    emit.op("And", &[&above, &below])
}

/// α on the slope, 0 on the flat parts.
pub(super) fn hard_sigmoid(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let open = strictly_between(emit, step.output(), 0.0, 1.0);
    let scaled = emit.scale(step.gradient()?, step.node.float("alpha", 0.2));
    let gradient = emit.mask(&open, &scaled);
    Ok(step.only_first(gradient))
}

/// x·clip(x/6 + ½, 0, 1): (2x + 3)/6 between −3 and 3, 1 above, 0 below.
pub(super) fn hard_swish(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    let third = emit.scale(input, 1.0 / 3.0);
    let half = emit.scalar(0.5);
    let slope = emit.add(&third, &half);
    let between = strictly_between(emit, input, -3.0, 3.0);
    let inner = emit.mask(&between, &slope);
    let three = emit.scalar(3.0);
    let above = emit.op("GreaterOrEqual", &[input, &three]);
    let above = emit.to_float(&above);
    let derivative = emit.add(&inner, &above);
    chain(emit, step, &derivative)
}

/// 2/√π · e^(−x²).
pub(super) fn erf(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.input(0)?);
    let negative = emit.op("Neg", &[&squared]);
    let bell = emit.op("Exp", &[&negative]);
    let derivative = emit.scale(&bell, std::f32::consts::FRAC_2_SQRT_PI);
    chain(emit, step, &derivative)
}

/// Exact: Φ(x) + x·φ(x). The tanh form: ½(1 + t) + ½x(1 − t²)·u′ with t = tanh u.
pub(super) fn gelu(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?.to_owned();
    let squared = square(emit, &input);
    if step.node.string("approximate", "none") == "tanh" {
        const CUBIC: f32 = 0.044_715;
        let slope = (2.0 / std::f32::consts::PI).sqrt();
        let cubic = emit.scale(&squared, CUBIC);
        let factor = one_plus(emit, &cubic);
        let scaled = emit.scale(&input, slope);
        let u = emit.mul(&scaled, &factor);
        let t = emit.op("Tanh", &[&u]);
        let three = emit.scale(&squared, 3.0 * CUBIC);
        let inner = one_plus(emit, &three);
        let inner = emit.scale(&inner, slope);
        let t_squared = square(emit, &t);
        let rest = one_minus(emit, &t_squared);
        let bent = emit.mul(&rest, &inner);
        let bent = emit.mul(&input, &bent);
        let level = one_plus(emit, &t);
        let both = emit.add(&level, &bent);
        let derivative = emit.scale(&both, 0.5);
        return chain(emit, step, &derivative);
    }
    let scaled = emit.scale(&input, std::f32::consts::FRAC_1_SQRT_2);
    let error = emit.op("Erf", &[&scaled]);
    let level = one_plus(emit, &error);
    let cumulative = emit.scale(&level, 0.5);
    let exponent = emit.scale(&squared, -0.5);
    let bell = emit.op("Exp", &[&exponent]);
    let density =
        emit.scale(&bell, 0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    let tilt = emit.mul(&input, &density);
    let derivative = emit.add(&cumulative, &tilt);
    chain(emit, step, &derivative)
}

/// x·tanh(s), s = softplus(x): tanh s + x·σ(x)·(1 − tanh² s).
pub(super) fn mish(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?.to_owned();
    let soft = emit.op("Softplus", &[&input]);
    let t = emit.op("Tanh", &[&soft]);
    let squared = square(emit, &t);
    let rest = one_minus(emit, &squared);
    let sigmoid = emit.op("Sigmoid", &[&input]);
    let bent = emit.mul(&rest, &sigmoid);
    let bent = emit.mul(&bent, &input);
    let derivative = emit.add(&t, &bent);
    chain(emit, step, &derivative)
}

/// x·σ(αx): σ + αx·σ(1 − σ).
pub(super) fn swish(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let scaled = emit.scale(step.input(0)?, step.node.float("alpha", 1.0));
    let sigmoid = emit.op("Sigmoid", &[&scaled]);
    let rest = one_minus(emit, &sigmoid);
    let bent = emit.mul(&scaled, &rest);
    let level = one_plus(emit, &bent);
    let derivative = emit.mul(&sigmoid, &level);
    chain(emit, step, &derivative)
}

/// softplus′ = σ.
pub(super) fn softplus(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = emit.op("Sigmoid", &[step.input(0)?]);
    chain(emit, step, &derivative)
}

/// 1 / (1 + |x|)².
pub(super) fn softsign(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let absolute = emit.op("Abs", &[step.input(0)?]);
    let level = one_plus(emit, &absolute);
    let squared = square(emit, &level);
    let gradient = emit.div(step.gradient()?, &squared);
    Ok(step.only_first(gradient))
}

pub(super) fn exp(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = step.output().to_owned();
    chain(emit, step, &derivative)
}

pub(super) fn log(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let gradient = emit.div(step.gradient()?, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// 1 / (2√x).
pub(super) fn sqrt(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let doubled = emit.scale(step.output(), 2.0);
    let gradient = emit.div(step.gradient()?, &doubled);
    Ok(step.only_first(gradient))
}

/// −1/x² = −y².
pub(super) fn reciprocal(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let squared = square(emit, step.output());
    let derivative = emit.op("Neg", &[&squared]);
    chain(emit, step, &derivative)
}

pub(super) fn neg(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let gradient = emit.op("Neg", &[step.gradient()?]);
    Ok(step.only_first(gradient))
}

pub(super) fn abs(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let derivative = emit.op("Sign", &[step.input(0)?]);
    chain(emit, step, &derivative)
}
