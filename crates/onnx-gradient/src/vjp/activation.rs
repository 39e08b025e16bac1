//! Functions of one number, applied to each: `∂x = ∂y · f′`.
//!
//! Where `f′` can be had from the output it is: the runtime then may still fuse the
//! activation into the convolution before it, and the input need not be kept.

use super::{Gradients, GraphBuilder, VjpContext};

/// `∂x = ∂y · derivative`.
pub(super) fn chain(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    derivative: &str,
) -> Gradients {
    let gradient = builder.mul(step.gradient()?, derivative);
    Ok(step.only_first(gradient))
}

/// `∂x = ∂y` where the condition holds, else 0.
fn gate(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>, open: &str) -> Gradients {
    let gradient = builder.mask(open, step.gradient()?);
    Ok(step.only_first(gradient))
}

/// `∂x = ∂y` for x > 0, else `∂y · below`.
fn kinked(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>, below: &str) -> Gradients {
    let positive = greater(builder, step.input(0)?, 0.0);
    let scaled = builder.mul(step.gradient()?, below);
    let gradient = builder.op("Where", &[&positive, step.gradient()?, &scaled]);
    Ok(step.only_first(gradient))
}

fn greater(builder: &mut GraphBuilder<'_>, a: &str, bound: f32) -> String {
    let bound = builder.scalar(bound);
    builder.op("Greater", &[a, &bound])
}

fn less(builder: &mut GraphBuilder<'_>, a: &str, bound: f32) -> String {
    let bound = builder.scalar(bound);
    builder.op("Less", &[a, &bound])
}

pub(super) fn square(builder: &mut GraphBuilder<'_>, a: &str) -> String {
    builder.mul(a, a)
}

pub(super) fn one_minus(builder: &mut GraphBuilder<'_>, a: &str) -> String {
    let one = builder.scalar(1.0);
    builder.sub(&one, a)
}

pub(super) fn one_plus(builder: &mut GraphBuilder<'_>, a: &str) -> String {
    let one = builder.scalar(1.0);
    builder.add(&one, a)
}

/// ReLU passes what it let through; at 0, nothing.
pub(super) fn relu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let open = greater(builder, step.output(), 0.0);
    gate(builder, step, &open)
}

/// What lies above the threshold passes.
pub(super) fn thresholded_relu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let open = greater(builder, step.input(0)?, step.node.float("alpha", 1.0));
    gate(builder, step, &open)
}

/// x beyond ±λ, less the bias; nothing between.
pub(super) fn shrink(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let size = builder.op("Abs", &[step.input(0)?]);
    let open = greater(builder, &size, step.node.float("lambd", 0.5));
    gate(builder, step, &open)
}

/// Clip passes what lies strictly between its bounds, as `ReLU6` does in PyTorch.
pub(super) fn clip(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let low = step.node.input_name(1).map(|low| builder.op("Greater", &[step.output(), low]));
    let high = step.node.input_name(2).map(|high| builder.op("Less", &[step.output(), high]));
    let open = match (low, high) {
        (Some(low), Some(high)) => builder.op("And", &[&low, &high]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(step.only_first(step.gradient()?.to_owned())),
    };
    gate(builder, step, &open)
}

pub(super) fn leaky_relu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let slope = builder.scalar(step.node.float("alpha", 0.01));
    kinked(builder, step, &slope)
}

pub(super) fn prelu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let slope = step.input(1)?.to_owned();
    kinked(builder, step, &slope)
}

/// Below 0, y = α(eˣ − 1) and so y′ = y + α.
pub(super) fn elu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let alpha = builder.scalar(step.node.float("alpha", 1.0));
    let below = builder.add(step.output(), &alpha);
    kinked(builder, step, &below)
}

/// Below 0, y = α(e^(x/α) − 1) and so y′ = y/α + 1.
pub(super) fn celu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let scaled = builder.scale(step.output(), 1.0 / step.node.float("alpha", 1.0));
    let below = one_plus(builder, &scaled);
    kinked(builder, step, &below)
}

/// γ above 0; below, y = γα(eˣ − 1) and so y′ = y + γα.
pub(super) fn selu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gamma = step.node.float("gamma", 1.050_701);
    let offset = builder.scalar(gamma * step.node.float("alpha", 1.673_263_2));
    let below = builder.add(step.output(), &offset);
    let positive = greater(builder, step.input(0)?, 0.0);
    let gamma = builder.scalar(gamma);
    let derivative = builder.op("Where", &[&positive, &gamma, &below]);
    chain(builder, step, &derivative)
}

/// σ′ = σ(1 − σ).
pub(super) fn sigmoid(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let rest = one_minus(builder, step.output());
    let derivative = builder.mul(step.output(), &rest);
    chain(builder, step, &derivative)
}

/// tanh′ = 1 − tanh².
pub(super) fn tanh(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.output());
    let derivative = one_minus(builder, &squared);
    chain(builder, step, &derivative)
}

fn strictly_between(builder: &mut GraphBuilder<'_>, a: &str, low: f32, high: f32) -> String {
    let (above, below) = (greater(builder, a, low), less(builder, a, high));
    builder.op("And", &[&above, &below])
}

/// α on the slope, 0 on the flat parts.
pub(super) fn hard_sigmoid(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let open = strictly_between(builder, step.output(), 0.0, 1.0);
    let scaled = builder.scale(step.gradient()?, step.node.float("alpha", 0.2));
    let gradient = builder.mask(&open, &scaled);
    Ok(step.only_first(gradient))
}

/// x·clip(x/6 + ½, 0, 1): (2x + 3)/6 between −3 and 3, 1 above, 0 below.
pub(super) fn hard_swish(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?;
    let third = builder.scale(input, 1.0 / 3.0);
    let half = builder.scalar(0.5);
    let slope = builder.add(&third, &half);
    let between = strictly_between(builder, input, -3.0, 3.0);
    let inner = builder.mask(&between, &slope);
    let three = builder.scalar(3.0);
    let above = builder.op("GreaterOrEqual", &[input, &three]);
    let above = builder.to_float(&above);
    let derivative = builder.add(&inner, &above);
    chain(builder, step, &derivative)
}

/// 2/√π · e^(−x²).
pub(super) fn erf(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.input(0)?);
    let negative = builder.op("Neg", &[&squared]);
    let bell = builder.op("Exp", &[&negative]);
    let derivative = builder.scale(&bell, std::f32::consts::FRAC_2_SQRT_PI);
    chain(builder, step, &derivative)
}

/// Exact: Φ(x) + x·φ(x). The tanh form: ½(1 + t) + ½x(1 − t²)·u′ with t = tanh u.
pub(super) fn gelu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?.to_owned();
    let squared = square(builder, &input);
    if step.node.string("approximate", "none") == "tanh" {
        const CUBIC: f32 = 0.044_715;
        let slope = (2.0 / std::f32::consts::PI).sqrt();
        let cubic = builder.scale(&squared, CUBIC);
        let factor = one_plus(builder, &cubic);
        let scaled = builder.scale(&input, slope);
        let u = builder.mul(&scaled, &factor);
        let t = builder.op("Tanh", &[&u]);
        let three = builder.scale(&squared, 3.0 * CUBIC);
        let inner = one_plus(builder, &three);
        let inner = builder.scale(&inner, slope);
        let t_squared = square(builder, &t);
        let rest = one_minus(builder, &t_squared);
        let bent = builder.mul(&rest, &inner);
        let bent = builder.mul(&input, &bent);
        let level = one_plus(builder, &t);
        let both = builder.add(&level, &bent);
        let derivative = builder.scale(&both, 0.5);
        return chain(builder, step, &derivative);
    }
    let scaled = builder.scale(&input, std::f32::consts::FRAC_1_SQRT_2);
    let error = builder.op("Erf", &[&scaled]);
    let level = one_plus(builder, &error);
    let cumulative = builder.scale(&level, 0.5);
    let exponent = builder.scale(&squared, -0.5);
    let bell = builder.op("Exp", &[&exponent]);
    let density = builder
        .scale(&bell, 0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    let tilt = builder.mul(&input, &density);
    let derivative = builder.add(&cumulative, &tilt);
    chain(builder, step, &derivative)
}

/// x·tanh(s), s = softplus(x): tanh s + x·σ(x)·(1 − tanh² s).
pub(super) fn mish(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?.to_owned();
    let soft = builder.op("Softplus", &[&input]);
    let t = builder.op("Tanh", &[&soft]);
    let squared = square(builder, &t);
    let rest = one_minus(builder, &squared);
    let sigmoid = builder.op("Sigmoid", &[&input]);
    let bent = builder.mul(&rest, &sigmoid);
    let bent = builder.mul(&bent, &input);
    let derivative = builder.add(&t, &bent);
    chain(builder, step, &derivative)
}

/// x·σ(αx): σ + αx·σ(1 − σ).
pub(super) fn swish(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let scaled = builder.scale(step.input(0)?, step.node.float("alpha", 1.0));
    let sigmoid = builder.op("Sigmoid", &[&scaled]);
    let rest = one_minus(builder, &sigmoid);
    let bent = builder.mul(&scaled, &rest);
    let level = one_plus(builder, &bent);
    let derivative = builder.mul(&sigmoid, &level);
    chain(builder, step, &derivative)
}

/// softplus′ = σ.
pub(super) fn softplus(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = builder.op("Sigmoid", &[step.input(0)?]);
    chain(builder, step, &derivative)
}

/// 1 / (1 + |x|)².
pub(super) fn softsign(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let absolute = builder.op("Abs", &[step.input(0)?]);
    let level = one_plus(builder, &absolute);
    let squared = square(builder, &level);
    let gradient = builder.div(step.gradient()?, &squared);
    Ok(step.only_first(gradient))
}

pub(super) fn exp(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = step.output().to_owned();
    chain(builder, step, &derivative)
}

pub(super) fn log(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = builder.div(step.gradient()?, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// 1 / (2√x).
pub(super) fn sqrt(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let doubled = builder.scale(step.output(), 2.0);
    let gradient = builder.div(step.gradient()?, &doubled);
    Ok(step.only_first(gradient))
}

/// −1/x² = −y².
pub(super) fn reciprocal(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let squared = square(builder, step.output());
    let derivative = builder.op("Neg", &[&squared]);
    chain(builder, step, &derivative)
}

pub(super) fn neg(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = builder.op("Neg", &[step.gradient()?]);
    Ok(step.only_first(gradient))
}

pub(super) fn abs(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let derivative = builder.op("Sign", &[step.input(0)?]);
    chain(builder, step, &derivative)
}
