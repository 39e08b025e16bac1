//! Normalisations, as they run in a trained model, and softmax.

use super::{Gradients, GraphBuilder, VjpContext};
use crate::proto::AttributeProto;

/// With fixed statistics it is a multiplication by γ/√(σ² + ε).
pub(super) fn batch(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    if step.node.int("training_mode", 0) != 0 {
        return Err(step.refuse("is in training mode"));
    }
    let rank = builder.shape(step.input(0)?)?.len();
    let epsilon = builder.scalar(step.node.float("epsilon", 1e-5));
    let variance = builder.add(step.input(4)?, &epsilon);
    let deviation = builder.op("Sqrt", &[&variance]);
    let factor = builder.div(step.input(1)?, &deviation);
    let factor = per_channel(builder, &factor, rank);
    let gradient = builder.mul(step.gradient()?, &factor);
    Ok(step.only_first(gradient))
}

/// `[C]` as `[1, C, 1, …]`.
fn per_channel(builder: &mut GraphBuilder<'_>, values: &str, rank: usize) -> String {
    let mut shape = vec![1; rank];
    shape[1] = -1;
    builder.reshape(values, &shape)
}

/// The gradient of x̂ = (x − mean)/√(var + ε) over `axes`, for the gradient `g` of x̂:
/// (g − mean g − x̂·mean(g·x̂)) / √(var + ε).
fn standardised(
    builder: &mut GraphBuilder<'_>,
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

pub(super) fn layer(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let rank = builder.shape(step.input(0)?)?.len() as i64;
    let axis = step.node.int("axis", -1);
    let first = if axis < 0 { axis + rank } else { axis };
    let g = builder.mul(step.gradient()?, step.input(1)?);
    let axes: Vec<i64> = (first..rank).collect();
    let gradient =
        standardised(builder, step.input(0)?, &g, &axes, step.node.float("epsilon", 1e-5));
    Ok(step.only_first(gradient))
}

pub(super) fn instance(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let rank = builder.shape(step.input(0)?)?.len();
    let scale = per_channel(builder, step.input(1)?, rank);
    let g = builder.mul(step.gradient()?, &scale);
    let axes: Vec<i64> = (2..rank as i64).collect();
    let gradient =
        standardised(builder, step.input(0)?, &g, &axes, step.node.float("epsilon", 1e-5));
    Ok(step.only_first(gradient))
}

/// Statistics are taken over `[C/groups, spatial…]`; the scale has one number a channel (opset 21)
/// or one a group (opset 18).
pub(super) fn group(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?;
    let sizes = builder.shape(input)?;
    let groups = step.node.int("num_groups", 1);
    let channels = sizes[1];
    let scale = step.input(1)?;
    let scale_is_per_group = builder.shape(scale)?.first() == Some(&groups) && groups != channels;
    let by_group = [0, groups, -1];
    let g = if scale_is_per_group {
        let rows = builder.reshape(step.gradient()?, &by_group);
        let scale = builder.reshape(scale, &[1, groups, 1]);
        builder.mul(&rows, &scale)
    } else {
        let scale = per_channel(builder, scale, sizes.len());
        let scaled = builder.mul(step.gradient()?, &scale);
        builder.reshape(&scaled, &by_group)
    };
    let x = builder.reshape(input, &by_group);
    let rows = standardised(builder, &x, &g, &[2], step.node.float("epsilon", 1e-5));
    let gradient = builder.reshape_like(&rows, input);
    Ok(step.only_first(gradient))
}

/// x/√(mean x² + ε)·γ: as [`standardised`], with nothing taken for the mean of x.
pub(super) fn root_mean_square(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let x = step.input(0)?;
    let rank = builder.shape(x)?.len() as i64;
    let axis = step.node.int("axis", -1);
    let axes: Vec<i64> = (if axis < 0 { axis + rank } else { axis }..rank).collect();
    let g = builder.mul(step.gradient()?, step.input(1)?);
    let squared = builder.mul(x, x);
    let square = builder.reduce_mean(&squared, &axes);
    let epsilon = builder.scalar(step.node.float("epsilon", 1e-5));
    let square = builder.add(&square, &epsilon);
    let size = builder.op("Sqrt", &[&square]);
    let x_hat = builder.div(x, &size);
    let product = builder.mul(&g, &x_hat);
    let along = builder.reduce_mean(&product, &axes);
    let along = builder.mul(&x_hat, &along);
    let rest = builder.sub(&g, &along);
    let gradient = builder.div(&rest, &size);
    Ok(step.only_first(gradient))
}

/// (x − mean)/√(var + ε); the standard's ε is 1e-9, beside the root instead of under it.
pub(super) fn mean_variance(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = step.node.ints("axes").map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    let g = step.gradient()?.to_owned();
    let gradient = standardised(builder, step.input(0)?, &g, &axes, 1e-18);
    Ok(step.only_first(gradient))
}

/// x/‖x‖ along an axis: (∂y − x̂′·Σ ∂y·y)/‖x‖, where x̂′ is y for the Euclidean norm and sign x for
/// the sum.
pub(super) fn lp(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axes = [step.node.int("axis", -1)];
    let input = step.input(0)?;
    let axes_name = builder.int64s(&axes);
    let (norm, direction) = if step.node.int("p", 2) == 1 {
        (builder.op("ReduceL1", &[input, &axes_name]), builder.op("Sign", &[input]))
    } else {
        (builder.op("ReduceL2", &[input, &axes_name]), step.output().to_owned())
    };
    let product = builder.mul(step.gradient()?, step.output());
    let along = builder.reduce_sum(&product, &axes, true);
    let along = builder.mul(&direction, &along);
    let rest = builder.sub(step.gradient()?, &along);
    let gradient = builder.div(&rest, &norm);
    Ok(step.only_first(gradient))
}

/// `LRN`: y = x·s^(−β) with s = k + α/size · Σ x² over the channels near by, so that
/// ∂x = ∂y·s^(−β) − 2αβ/size · x·Σ (∂y·y/s) over the channels whose windows x lies in.
pub(super) fn local_response(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?;
    let channels = builder.shape(input)?[1];
    let size = step.node.int("size", 1);
    let (alpha, beta) = (step.node.float("alpha", 1e-4), step.node.float("beta", 0.75));
    // The sum over a window as a product with a matrix of ones near the diagonal. ONNX Runtime
    // takes odd sizes only, so a channel lies in the windows of those that lie in its own.
    let near = |place: i64| (place / channels - place % channels).abs() <= size / 2;
    let band: Vec<f32> =
        (0..channels * channels).map(|place| if near(place) { 1.0 } else { 0.0 }).collect();
    let window = builder.float32s(&[channels, channels], &band);

    let rows = builder.reshape(input, &[0, 0, -1]);
    let squared = builder.mul(&rows, &rows);
    let sums = builder.op("MatMul", &[&window, &squared]);
    let scaled = builder.scale(&sums, alpha / size as f32);
    let bias = builder.scalar(step.node.float("bias", 1.0));
    let s = builder.add(&scaled, &bias);
    let gradient = builder.reshape(step.gradient()?, &[0, 0, -1]);
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
    Ok(step.only_first(gradient))
}

/// ∂x = y·(∂y − Σ ∂y·y) along the axis.
pub(super) fn softmax(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axis = step.node.int("axis", -1);
    let weighted = builder.mul(step.gradient()?, step.output());
    let total = builder.reduce_sum(&weighted, &[axis], true);
    let shifted = builder.sub(step.gradient()?, &total);
    let gradient = builder.mul(step.output(), &shifted);
    Ok(step.only_first(gradient))
}

/// ∂x = ∂y − e^y·Σ ∂y along the axis.
pub(super) fn log_softmax(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axis = step.node.int("axis", -1);
    let total = builder.reduce_sum(step.gradient()?, &[axis], true);
    let soft =
        builder.op_with("Softmax", &[step.input(0)?], vec![AttributeProto::int("axis", axis)]);
    let spread = builder.mul(&soft, &total);
    let gradient = builder.sub(step.gradient()?, &spread);
    Ok(step.only_first(gradient))
}
