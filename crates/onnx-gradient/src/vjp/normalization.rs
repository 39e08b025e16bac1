//! Normalisations in inference, and softmax.
//!
//! Scale and bias count as constants. `mean` is over the normalised axes.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// With fixed statistics, `y = γ·(x − μ)/√(σ² + ε) + β`: `∂L/∂x = ∂L/∂y · γ/√(σ² + ε)`.
pub(super) fn batch(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx.node.int("training_mode", 0) != 0 {
        return Err(ctx.unsupported("is in training mode"));
    }
    let rank = ctx.shape(ctx.input(0)?)?.len();
    let epsilon = builder.scalar(ctx.node.float("epsilon", 1e-5));
    let variance = builder.add(ctx.input(4)?, &epsilon);
    let deviation = builder.op("Sqrt", &[&variance]);
    let factor = builder.div(ctx.input(1)?, &deviation);
    let factor = per_channel(builder, &factor, rank);
    let gradient = builder.mul(ctx.grad_output()?, &factor);
    Ok(ctx.first_input(gradient))
}

/// `[C]` reshaped to `[1, C, 1, …]`.
fn per_channel(builder: &mut GraphBuilder, values: &str, rank: usize) -> String {
    let mut shape = vec![1; rank];
    shape[1] = -1;
    builder.reshape(values, &shape)
}

/// The gradient of `x̂ = (x − mean x)/√(var x + ε)` over `axes`, for `g = ∂L/∂x̂`:
/// `(g − mean g − x̂·mean(g·x̂)) / √(var x + ε)`.
fn standardised(
    builder: &mut GraphBuilder,
    x: &str,
    g: &str,
    axes: &[i64],
    epsilon: f32,
) -> String {
    let mean = builder.reduce_mean(x, axes);
    let centred = builder.sub(x, &mean);
    let squared = builder.mul(&centred, &centred);
    let variance = builder.reduce_mean(&squared, axes);
    let epsilon = builder.scalar(epsilon);
    let variance = builder.add(&variance, &epsilon);
    let deviation = builder.op("Sqrt", &[&variance]);
    let x_hat = builder.div(&centred, &deviation);
    let product = builder.mul(g, &x_hat);
    let along = builder.reduce_mean(&product, axes);
    let along = builder.mul(&x_hat, &along);
    let level = builder.reduce_mean(g, axes);
    let rest = builder.sub(g, &level);
    let rest = builder.sub(&rest, &along);
    builder.div(&rest, &deviation)
}

/// `y = γ·x̂ + β` over the axes from `axis` on: [`standardised`] with `g = γ·∂L/∂y`.
pub(super) fn layer(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rank = ctx.shape(ctx.input(0)?)?.len() as i64;
    let axis = ctx.node.int("axis", -1);
    let first = if axis < 0 { axis + rank } else { axis };
    let g = builder.mul(ctx.grad_output()?, ctx.input(1)?);
    let axes: Vec<i64> = (first..rank).collect();
    let gradient = standardised(builder, ctx.input(0)?, &g, &axes, ctx.node.float("epsilon", 1e-5));
    Ok(ctx.first_input(gradient))
}

/// `y = γ·x̂ + β` over the spatial axes of each channel: [`standardised`] with `g = γ·∂L/∂y`.
pub(super) fn instance(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rank = ctx.shape(ctx.input(0)?)?.len();
    let scale = per_channel(builder, ctx.input(1)?, rank);
    let g = builder.mul(ctx.grad_output()?, &scale);
    let axes: Vec<i64> = (2..rank as i64).collect();
    let gradient = standardised(builder, ctx.input(0)?, &g, &axes, ctx.node.float("epsilon", 1e-5));
    Ok(ctx.first_input(gradient))
}

/// `y = γ·x̂ + β` over `[C/groups, …]`: [`standardised`] with `g = γ·∂L/∂y`. The scale has one
/// element per channel (opset 21) or per group (opset 18).
pub(super) fn group(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let sizes = ctx.shape(input)?;
    let groups = ctx.node.int("num_groups", 1);
    let channels = sizes[1];
    let scale = ctx.input(1)?;
    let scale_is_per_group = ctx.shape(scale)?.first() == Some(&groups) && groups != channels;
    let by_group = [0, groups, -1];
    let g = if scale_is_per_group {
        let rows = builder.reshape(ctx.grad_output()?, &by_group);
        let scale = builder.reshape(scale, &[1, groups, 1]);
        builder.mul(&rows, &scale)
    } else {
        let scale = per_channel(builder, scale, sizes.len());
        let scaled = builder.mul(ctx.grad_output()?, &scale);
        builder.reshape(&scaled, &by_group)
    };
    let x = builder.reshape(input, &by_group);
    let rows = standardised(builder, &x, &g, &[2], ctx.node.float("epsilon", 1e-5));
    let gradient = builder.reshape_like(&rows, input);
    Ok(ctx.first_input(gradient))
}

/// `y = γ·x̂` with `x̂ = x/√(mean x² + ε)`: `∂L/∂x = (g − x̂·mean(g·x̂)) / √(mean x² + ε)`, where
/// `g = γ·∂L/∂y`.
pub(super) fn root_mean_square(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let x = ctx.input(0)?;
    let rank = ctx.shape(x)?.len() as i64;
    let axis = ctx.node.int("axis", -1);
    let axes: Vec<i64> = (if axis < 0 { axis + rank } else { axis }..rank).collect();
    let g = builder.mul(ctx.grad_output()?, ctx.input(1)?);
    let squared = builder.mul(x, x);
    let square = builder.reduce_mean(&squared, &axes);
    let epsilon = builder.scalar(ctx.node.float("epsilon", 1e-5));
    let square = builder.add(&square, &epsilon);
    let root = builder.op("Sqrt", &[&square]);
    let x_hat = builder.div(x, &root);
    let product = builder.mul(&g, &x_hat);
    let along = builder.reduce_mean(&product, &axes);
    let along = builder.mul(&x_hat, &along);
    let rest = builder.sub(&g, &along);
    let gradient = builder.div(&rest, &root);
    Ok(ctx.first_input(gradient))
}

/// `y = (x − mean x)/√(var x)`: [`standardised`]. The ONNX specification adds `1e-9` to the root,
/// which is as good as `1e-18` under it.
pub(super) fn mean_variance(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = ctx.node.ints("axes").map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    let g = ctx.grad_output()?.to_owned();
    let gradient = standardised(builder, ctx.input(0)?, &g, &axes, 1e-18);
    Ok(ctx.first_input(gradient))
}

/// `y = x/‖x‖` along an axis: `∂L/∂x = (∂L/∂y − d·Σ(∂L/∂y · y)) / ‖x‖`, where `d = y` for the L2
/// norm and `d = sign x` for the L1 norm.
pub(super) fn lp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axes = [ctx.node.int("axis", -1)];
    let input = ctx.input(0)?;
    let axes_name = builder.int64s(&axes);
    let (norm, direction) = if ctx.node.int("p", 2) == 1 {
        (builder.op("ReduceL1", &[input, &axes_name]), builder.op("Sign", &[input]))
    } else {
        (builder.op("ReduceL2", &[input, &axes_name]), ctx.output().to_owned())
    };
    let product = builder.mul(ctx.grad_output()?, ctx.output());
    let along = builder.reduce_sum(&product, &axes, true);
    let along = builder.mul(&direction, &along);
    let rest = builder.sub(ctx.grad_output()?, &along);
    let gradient = builder.div(&rest, &norm);
    Ok(ctx.first_input(gradient))
}

/// `LRN`: `y = x·s^(−β)` with `s = k + α/size · Σx²` over the neighbouring channels, so
/// `∂L/∂x = ∂L/∂y·s^(−β) − 2αβ/size · x·Σ(∂L/∂y·y/s)`, summed over the channels whose windows
/// contain that of `x`.
pub(super) fn local_response(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let channels = ctx.shape(input)?[1];
    let size = ctx.node.int("size", 1);
    let (alpha, beta) = (ctx.node.float("alpha", 1e-4), ctx.node.float("beta", 0.75));
    // The sum over a window is a product with a band matrix of ones. ONNX Runtime requires odd
    // sizes, so the matrix is symmetric: a channel lies in the windows of the channels in its own.
    let near = |entry: i64| (entry / channels - entry % channels).abs() <= size / 2;
    let band: Vec<f32> =
        (0..channels * channels).map(|entry| if near(entry) { 1.0 } else { 0.0 }).collect();
    let window = builder.float32s(&[channels, channels], &band);

    let rows = builder.reshape(input, &[0, 0, -1]);
    let squared = builder.mul(&rows, &rows);
    let sums = builder.op("MatMul", &[&window, &squared]);
    let scaled = builder.scale(&sums, alpha / size as f32);
    let bias = builder.scalar(ctx.node.float("bias", 1.0));
    let s = builder.add(&scaled, &bias);
    let gradient = builder.reshape(ctx.grad_output()?, &[0, 0, -1]);
    let power = builder.scalar(-beta);
    let factor = builder.op("Pow", &[&s, &power]);
    let own = builder.mul(&gradient, &factor);
    let shared = builder.mul(&own, &rows);
    let shared = builder.div(&shared, &s);
    let shared = builder.op("MatMul", &[&window, &shared]);
    let shared = builder.mul(&shared, &rows);
    let shared = builder.scale(&shared, 2.0 * alpha * beta / size as f32);
    let rows = builder.sub(&own, &shared);
    let gradient = builder.reshape_like(&rows, input);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = y·(∂L/∂y − Σ(∂L/∂y · y))`, summed along the axis.
pub(super) fn softmax(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axis = ctx.node.int("axis", -1);
    let weighted = builder.mul(ctx.grad_output()?, ctx.output());
    let total = builder.reduce_sum(&weighted, &[axis], true);
    let shifted = builder.sub(ctx.grad_output()?, &total);
    let gradient = builder.mul(ctx.output(), &shifted);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y − eʸ·Σ ∂L/∂y`, summed along the axis.
pub(super) fn log_softmax(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axis = ctx.node.int("axis", -1);
    let total = builder.reduce_sum(ctx.grad_output()?, &[axis], true);
    let soft = builder.op_with("Softmax", &[ctx.input(0)?], [AttributeProto::int("axis", axis)]);
    let spread = builder.mul(&soft, &total);
    let gradient = builder.sub(ctx.grad_output()?, &spread);
    Ok(ctx.first_input(gradient))
}
