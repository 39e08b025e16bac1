//! Functions of one number, applied to each: `∂x = ∂y · f′`.
//!
//! Where `f′` can be had from the output it is: the runtime then may still fuse the
//! activation into the convolution before it, and the input need not be kept.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;

/// `∂x = ∂y · derivative`.
pub(super) fn chain(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    derivative: &str,
) -> InputGradients {
    let gradient = builder.mul(ctx.grad_output()?, derivative);
    Ok(ctx.first_input(gradient))
}

/// `∂x = ∂y` where the condition holds, else 0.
fn gate(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, open: &str) -> InputGradients {
    let gradient = builder.mask(open, ctx.grad_output()?);
    Ok(ctx.first_input(gradient))
}

/// `∂x = ∂y` for x > 0, else `∂y · below`.
fn kinked(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, below: &str) -> InputGradients {
    let positive = greater(builder, ctx.input(0)?, 0.0);
    let scaled = builder.mul(ctx.grad_output()?, below);
    let gradient = builder.op("Where", &[&positive, ctx.grad_output()?, &scaled]);
    Ok(ctx.first_input(gradient))
}

fn greater(builder: &mut GraphBuilder, a: &str, bound: f32) -> String {
    let bound = builder.scalar(bound);
    builder.op("Greater", &[a, &bound])
}

fn less(builder: &mut GraphBuilder, a: &str, bound: f32) -> String {
    let bound = builder.scalar(bound);
    builder.op("Less", &[a, &bound])
}

pub(super) fn square(builder: &mut GraphBuilder, a: &str) -> String {
    builder.mul(a, a)
}

pub(super) fn one_minus(builder: &mut GraphBuilder, a: &str) -> String {
    let one = builder.scalar(1.0);
    builder.sub(&one, a)
}

pub(super) fn one_plus(builder: &mut GraphBuilder, a: &str) -> String {
    let one = builder.scalar(1.0);
    builder.add(&one, a)
}

/// ReLU passes what it let through; at 0, nothing.
pub(super) fn relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = greater(builder, ctx.output(), 0.0);
    gate(builder, ctx, &open)
}

/// What lies above the threshold passes.
pub(super) fn thresholded_relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = greater(builder, ctx.input(0)?, ctx.node.float("alpha", 1.0));
    gate(builder, ctx, &open)
}

/// x beyond ±λ, less the bias; nothing between.
pub(super) fn shrink(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let size = builder.op("Abs", &[ctx.input(0)?]);
    let open = greater(builder, &size, ctx.node.float("lambd", 0.5));
    gate(builder, ctx, &open)
}

/// Clip passes what lies strictly between its bounds, as `ReLU6` does in PyTorch.
pub(super) fn clip(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let low = ctx.node.input_name(1).map(|low| builder.op("Greater", &[ctx.output(), low]));
    let high = ctx.node.input_name(2).map(|high| builder.op("Less", &[ctx.output(), high]));
    let open = match (low, high) {
        (Some(low), Some(high)) => builder.op("And", &[&low, &high]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(ctx.first_input(ctx.grad_output()?.to_owned())),
    };
    gate(builder, ctx, &open)
}

pub(super) fn leaky_relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let slope = builder.scalar(ctx.node.float("alpha", 0.01));
    kinked(builder, ctx, &slope)
}

pub(super) fn prelu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let slope = ctx.input(1)?.to_owned();
    kinked(builder, ctx, &slope)
}

/// Below 0, y = α(eˣ − 1) and so y′ = y + α.
pub(super) fn elu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let alpha = builder.scalar(ctx.node.float("alpha", 1.0));
    let below = builder.add(ctx.output(), &alpha);
    kinked(builder, ctx, &below)
}

/// Below 0, y = α(e^(x/α) − 1) and so y′ = y/α + 1.
pub(super) fn celu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scaled = builder.scale(ctx.output(), 1.0 / ctx.node.float("alpha", 1.0));
    let below = one_plus(builder, &scaled);
    kinked(builder, ctx, &below)
}

/// γ above 0; below, y = γα(eˣ − 1) and so y′ = y + γα.
pub(super) fn selu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gamma = ctx.node.float("gamma", 1.050_701);
    let offset = builder.scalar(gamma * ctx.node.float("alpha", 1.673_263_2));
    let below = builder.add(ctx.output(), &offset);
    let positive = greater(builder, ctx.input(0)?, 0.0);
    let gamma = builder.scalar(gamma);
    let derivative = builder.op("Where", &[&positive, &gamma, &below]);
    chain(builder, ctx, &derivative)
}

/// σ′ = σ(1 − σ).
pub(super) fn sigmoid(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rest = one_minus(builder, ctx.output());
    let derivative = builder.mul(ctx.output(), &rest);
    chain(builder, ctx, &derivative)
}

/// tanh′ = 1 − tanh².
pub(super) fn tanh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = one_minus(builder, &squared);
    chain(builder, ctx, &derivative)
}

fn strictly_between(builder: &mut GraphBuilder, a: &str, low: f32, high: f32) -> String {
    let (above, below) = (greater(builder, a, low), less(builder, a, high));
    builder.op("And", &[&above, &below])
}

/// α on the slope, 0 on the flat parts.
pub(super) fn hard_sigmoid(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = strictly_between(builder, ctx.output(), 0.0, 1.0);
    let scaled = builder.scale(ctx.grad_output()?, ctx.node.float("alpha", 0.2));
    let gradient = builder.mask(&open, &scaled);
    Ok(ctx.first_input(gradient))
}

/// x·clip(x/6 + ½, 0, 1): (2x + 3)/6 between −3 and 3, 1 above, 0 below.
pub(super) fn hard_swish(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let third = builder.scale(input, 1.0 / 3.0);
    let half = builder.scalar(0.5);
    let slope = builder.add(&third, &half);
    let between = strictly_between(builder, input, -3.0, 3.0);
    let inner = builder.mask(&between, &slope);
    let three = builder.scalar(3.0);
    let above = builder.op("GreaterOrEqual", &[input, &three]);
    let above = builder.to_float(&above);
    let derivative = builder.add(&inner, &above);
    chain(builder, ctx, &derivative)
}

/// 2/√π · e^(−x²).
pub(super) fn erf(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let negative = builder.op("Neg", &[&squared]);
    let bell = builder.op("Exp", &[&negative]);
    let derivative = builder.scale(&bell, std::f32::consts::FRAC_2_SQRT_PI);
    chain(builder, ctx, &derivative)
}

/// Exact: Φ(x) + x·φ(x). The tanh form: ½(1 + t) + ½x(1 − t²)·u′ with t = tanh u.
pub(super) fn gelu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?.to_owned();
    let squared = square(builder, &input);
    if ctx.node.string("approximate", "none") == "tanh" {
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
        return chain(builder, ctx, &derivative);
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
    chain(builder, ctx, &derivative)
}

/// x·tanh(s), s = softplus(x): tanh s + x·σ(x)·(1 − tanh² s).
pub(super) fn mish(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?.to_owned();
    let soft = builder.op("Softplus", &[&input]);
    let t = builder.op("Tanh", &[&soft]);
    let squared = square(builder, &t);
    let rest = one_minus(builder, &squared);
    let sigmoid = builder.op("Sigmoid", &[&input]);
    let bent = builder.mul(&rest, &sigmoid);
    let bent = builder.mul(&bent, &input);
    let derivative = builder.add(&t, &bent);
    chain(builder, ctx, &derivative)
}

/// x·σ(αx): σ + αx·σ(1 − σ).
pub(super) fn swish(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scaled = builder.scale(ctx.input(0)?, ctx.node.float("alpha", 1.0));
    let sigmoid = builder.op("Sigmoid", &[&scaled]);
    let rest = one_minus(builder, &sigmoid);
    let bent = builder.mul(&scaled, &rest);
    let level = one_plus(builder, &bent);
    let derivative = builder.mul(&sigmoid, &level);
    chain(builder, ctx, &derivative)
}

/// softplus′ = σ.
pub(super) fn softplus(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sigmoid", &[ctx.input(0)?]);
    chain(builder, ctx, &derivative)
}

/// 1 / (1 + |x|)².
pub(super) fn softsign(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let absolute = builder.op("Abs", &[ctx.input(0)?]);
    let level = one_plus(builder, &absolute);
    let squared = square(builder, &level);
    let gradient = builder.div(ctx.grad_output()?, &squared);
    Ok(ctx.first_input(gradient))
}

pub(super) fn exp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = ctx.output().to_owned();
    chain(builder, ctx, &derivative)
}

pub(super) fn log(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.div(ctx.grad_output()?, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// 1 / (2√x).
pub(super) fn sqrt(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let doubled = builder.scale(ctx.output(), 2.0);
    let gradient = builder.div(ctx.grad_output()?, &doubled);
    Ok(ctx.first_input(gradient))
}

/// −1/x² = −y².
pub(super) fn reciprocal(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = builder.op("Neg", &[&squared]);
    chain(builder, ctx, &derivative)
}

pub(super) fn neg(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.op("Neg", &[ctx.grad_output()?]);
    Ok(ctx.first_input(gradient))
}

pub(super) fn abs(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sign", &[ctx.input(0)?]);
    chain(builder, ctx, &derivative)
}
