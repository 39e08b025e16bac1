//! Activation functions and other functions of one tensor, applied element by element.
//!
//! For `y = f(x)` every gradient is `∂L/∂x = ∂L/∂y · f′(x)`, of the shape of `x`; the functions
//! below document `f′`. Where `f′` can be computed from `y`, it is: a runtime may then fuse the
//! activation into the operator before it, and need not keep `x`.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;

/// `∂L/∂x = ∂L/∂y · derivative`.
pub(super) fn times_derivative(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    derivative: &str,
) -> InputGradients {
    let gradient = builder.mul(ctx.grad_output()?, derivative);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y` where `open` holds, else 0.
fn where_open(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, open: &str) -> InputGradients {
    let gradient = builder.mask(open, ctx.grad_output()?);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y` for `x > 0`, else `∂L/∂y · below`.
fn piecewise(builder: &mut GraphBuilder, ctx: &VjpContext<'_>, below: &str) -> InputGradients {
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

/// `f′ = 1` for `y > 0`, else 0. At the kink it is 0, as in PyTorch.
pub(super) fn relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = greater(builder, ctx.output(), 0.0);
    where_open(builder, ctx, &open)
}

/// `f′ = 1` for `x > α`, else 0.
pub(super) fn thresholded_relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = greater(builder, ctx.input(0)?, ctx.node.float("alpha", 1.0));
    where_open(builder, ctx, &open)
}

/// `f(x) = x ∓ bias` beyond `±λ`, else 0: `f′ = 1` for `|x| > λ`, else 0.
pub(super) fn shrink(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let magnitude = builder.op("Abs", &[ctx.input(0)?]);
    let open = greater(builder, &magnitude, ctx.node.float("lambd", 0.5));
    where_open(builder, ctx, &open)
}

/// `f′ = 1` strictly between the bounds, else 0, as in PyTorch's `ReLU6`.
pub(super) fn clip(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let low = ctx.node.input_name(1).map(|low| builder.op("Greater", &[ctx.output(), low]));
    let high = ctx.node.input_name(2).map(|high| builder.op("Less", &[ctx.output(), high]));
    let open = match (low, high) {
        (Some(low), Some(high)) => builder.op("And", &[&low, &high]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(ctx.first_input(ctx.grad_output()?.to_owned())),
    };
    where_open(builder, ctx, &open)
}

/// `f′ = 1` for `x > 0`, else `α`.
pub(super) fn leaky_relu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let slope = builder.scalar(ctx.node.float("alpha", 0.01));
    piecewise(builder, ctx, &slope)
}

/// `f′ = 1` for `x > 0`, else the slope, which is broadcast to `x`. The slope itself counts as a
/// constant.
pub(super) fn prelu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let slope = ctx.input(1)?.to_owned();
    piecewise(builder, ctx, &slope)
}

/// For `x ≤ 0`, `y = α(eˣ − 1)`, so `f′ = y + α`.
pub(super) fn elu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let alpha = builder.scalar(ctx.node.float("alpha", 1.0));
    let below = builder.add(ctx.output(), &alpha);
    piecewise(builder, ctx, &below)
}

/// For `x ≤ 0`, `y = α(e^(x/α) − 1)`, so `f′ = y/α + 1`.
pub(super) fn celu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scaled = builder.scale(ctx.output(), 1.0 / ctx.node.float("alpha", 1.0));
    let below = one_plus(builder, &scaled);
    piecewise(builder, ctx, &below)
}

/// For `x > 0`, `f′ = γ`. For `x ≤ 0`, `y = γα(eˣ − 1)`, so `f′ = y + γα`.
pub(super) fn selu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gamma = ctx.node.float("gamma", 1.050_701);
    let offset = builder.scalar(gamma * ctx.node.float("alpha", 1.673_263_2));
    let below = builder.add(ctx.output(), &offset);
    let positive = greater(builder, ctx.input(0)?, 0.0);
    let gamma = builder.scalar(gamma);
    let derivative = builder.op("Where", &[&positive, &gamma, &below]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = y(1 − y)`.
pub(super) fn sigmoid(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let complement = one_minus(builder, ctx.output());
    let derivative = builder.mul(ctx.output(), &complement);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 1 − y²`.
pub(super) fn tanh(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = one_minus(builder, &squared);
    times_derivative(builder, ctx, &derivative)
}

fn strictly_between(builder: &mut GraphBuilder, a: &str, low: f32, high: f32) -> String {
    let (above, below) = (greater(builder, a, low), less(builder, a, high));
    builder.op("And", &[&above, &below])
}

/// `f′ = α` for `0 < y < 1`, else 0.
pub(super) fn hard_sigmoid(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let open = strictly_between(builder, ctx.output(), 0.0, 1.0);
    let scaled = builder.scale(ctx.grad_output()?, ctx.node.float("alpha", 0.2));
    let gradient = builder.mask(&open, &scaled);
    Ok(ctx.first_input(gradient))
}

/// `f(x) = x·clip(x/6 + ½, 0, 1)`: `f′ = x/3 + ½` between −3 and 3, 1 from 3 on, 0 below −3.
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
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 2/√π · e^(−x²)`.
pub(super) fn erf(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.input(0)?);
    let negative = builder.op("Neg", &[&squared]);
    let bell = builder.op("Exp", &[&negative]);
    let derivative = builder.scale(&bell, std::f32::consts::FRAC_2_SQRT_PI);
    times_derivative(builder, ctx, &derivative)
}

/// Exact: `f′ = Φ(x) + x·φ(x)`, with the normal distribution's `Φ` and density `φ`.
///
/// With `approximate="tanh"`: `f′ = ½(1 + t) + ½x(1 − t²)·u′`, where `t = tanh u` and
/// `u = √(2/π)·(x + 0.044715x³)`.
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
        let complement = one_minus(builder, &t_squared);
        let product = builder.mul(&complement, &inner);
        let product = builder.mul(&input, &product);
        let sum = one_plus(builder, &t);
        let total = builder.add(&sum, &product);
        let derivative = builder.scale(&total, 0.5);
        return times_derivative(builder, ctx, &derivative);
    }
    let scaled = builder.scale(&input, std::f32::consts::FRAC_1_SQRT_2);
    let error = builder.op("Erf", &[&scaled]);
    let sum = one_plus(builder, &error);
    let cumulative = builder.scale(&sum, 0.5);
    let exponent = builder.scale(&squared, -0.5);
    let bell = builder.op("Exp", &[&exponent]);
    let density = builder
        .scale(&bell, 0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    let slope_term = builder.mul(&input, &density);
    let derivative = builder.add(&cumulative, &slope_term);
    times_derivative(builder, ctx, &derivative)
}

/// `f(x) = x·t` with `t = tanh(softplus(x))`: `f′ = t + x·σ(x)·(1 − t²)`.
pub(super) fn mish(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?.to_owned();
    let soft = builder.op("Softplus", &[&input]);
    let t = builder.op("Tanh", &[&soft]);
    let squared = square(builder, &t);
    let complement = one_minus(builder, &squared);
    let sigmoid = builder.op("Sigmoid", &[&input]);
    let product = builder.mul(&complement, &sigmoid);
    let product = builder.mul(&product, &input);
    let derivative = builder.add(&t, &product);
    times_derivative(builder, ctx, &derivative)
}

/// `f(x) = x·σ(αx)`: `f′ = s·(1 + αx(1 − s))` with `s = σ(αx)`.
pub(super) fn swish(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scaled = builder.scale(ctx.input(0)?, ctx.node.float("alpha", 1.0));
    let sigmoid = builder.op("Sigmoid", &[&scaled]);
    let complement = one_minus(builder, &sigmoid);
    let product = builder.mul(&scaled, &complement);
    let sum = one_plus(builder, &product);
    let derivative = builder.mul(&sigmoid, &sum);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = σ(x)`.
pub(super) fn softplus(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sigmoid", &[ctx.input(0)?]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 1/(1 + |x|)²`.
pub(super) fn softsign(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let absolute = builder.op("Abs", &[ctx.input(0)?]);
    let sum = one_plus(builder, &absolute);
    let squared = square(builder, &sum);
    let gradient = builder.div(ctx.grad_output()?, &squared);
    Ok(ctx.first_input(gradient))
}

/// `f′ = y`.
pub(super) fn exp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = ctx.output().to_owned();
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = 1/x`.
pub(super) fn log(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.div(ctx.grad_output()?, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// `f′ = 1/(2y)`.
pub(super) fn sqrt(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let doubled = builder.scale(ctx.output(), 2.0);
    let gradient = builder.div(ctx.grad_output()?, &doubled);
    Ok(ctx.first_input(gradient))
}

/// `f′ = −1/x² = −y²`.
pub(super) fn reciprocal(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let squared = square(builder, ctx.output());
    let derivative = builder.op("Neg", &[&squared]);
    times_derivative(builder, ctx, &derivative)
}

/// `f′ = −1`.
pub(super) fn neg(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.op("Neg", &[ctx.grad_output()?]);
    Ok(ctx.first_input(gradient))
}

/// `f′ = sign x`, which is 0 at 0, as in PyTorch.
pub(super) fn abs(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let derivative = builder.op("Sign", &[ctx.input(0)?]);
    times_derivative(builder, ctx, &derivative)
}
