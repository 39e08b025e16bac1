//! Normalisations, as they run in a trained model, and softmax.

use super::{Emit, Gradients, Step};
use crate::graph::proto::AttributeProto;

/// With fixed statistics it is a multiplication by γ/√(σ² + ε).
pub(super) fn batch(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    if step.node.int("training_mode", 0) != 0 {
        return Err(step.refuse("is in training mode"));
    }
    let rank = emit.shape(step.input(0)?)?.len();
    let epsilon = emit.scalar(step.node.float("epsilon", 1e-5));
    let variance = emit.add(step.input(4)?, &epsilon);
    let deviation = emit.op("Sqrt", &[&variance]);
    let factor = emit.div(step.input(1)?, &deviation);
    let factor = per_channel(emit, &factor, rank);
    let gradient = emit.mul(step.gradient()?, &factor);
    Ok(step.only_first(gradient))
}

/// `[C]` as `[1, C, 1, …]`.
fn per_channel(emit: &mut Emit<'_>, values: &str, rank: usize) -> String {
    let mut shape = vec![1; rank];
    shape[1] = -1;
    emit.reshape(values, &shape)
}

/// The gradient of x̂ = (x − mean)/√(var + ε) over `axes`, for the gradient `g` of x̂:
/// (g − mean g − x̂·mean(g·x̂)) / √(var + ε).
fn standardised(emit: &mut Emit<'_>, x: &str, g: &str, axes: &[i64], epsilon: f32) -> String {
    let mean = emit.reduce_mean(x, axes);
    let centred = emit.sub(x, &mean);
    let squared = emit.mul(&centred, &centred);
    let variance = emit.reduce_mean(&squared, axes);
    let epsilon = emit.scalar(epsilon);
    let variance = emit.add(&variance, &epsilon);
    let deviation = emit.op("Sqrt", &[&variance]);
    let x_hat = emit.div(&centred, &deviation);
    let product = emit.mul(g, &x_hat);
    let along = emit.reduce_mean(&product, axes);
    let along = emit.mul(&x_hat, &along);
    let level = emit.reduce_mean(g, axes);
    let rest = emit.sub(g, &level);
    let rest = emit.sub(&rest, &along);
    emit.div(&rest, &deviation)
}

pub(super) fn layer(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let rank = emit.shape(step.input(0)?)?.len() as i64;
    let axis = step.node.int("axis", -1);
    let first = if axis < 0 { axis + rank } else { axis };
    let g = emit.mul(step.gradient()?, step.input(1)?);
    let axes: Vec<i64> = (first..rank).collect();
    let gradient = standardised(emit, step.input(0)?, &g, &axes, step.node.float("epsilon", 1e-5));
    Ok(step.only_first(gradient))
}

pub(super) fn instance(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let rank = emit.shape(step.input(0)?)?.len();
    let scale = per_channel(emit, step.input(1)?, rank);
    let g = emit.mul(step.gradient()?, &scale);
    let axes: Vec<i64> = (2..rank as i64).collect();
    let gradient = standardised(emit, step.input(0)?, &g, &axes, step.node.float("epsilon", 1e-5));
    Ok(step.only_first(gradient))
}

/// Statistics are taken over `[C/groups, spatial…]`; the scale has one number a channel (opset 21)
/// or one a group (opset 18).
pub(super) fn group(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    let sizes = emit.shape(input)?;
    let groups = step.node.int("num_groups", 1);
    let channels = sizes[1];
    let scale = step.input(1)?;
    let scale_is_per_group = emit.shape(scale)?.first() == Some(&groups) && groups != channels;
    let by_group = [0, groups, -1];
    let g = if scale_is_per_group {
        let rows = emit.reshape(step.gradient()?, &by_group);
        let scale = emit.reshape(scale, &[1, groups, 1]);
        emit.mul(&rows, &scale)
    } else {
        let scale = per_channel(emit, scale, sizes.len());
        let scaled = emit.mul(step.gradient()?, &scale);
        emit.reshape(&scaled, &by_group)
    };
    let x = emit.reshape(input, &by_group);
    let rows = standardised(emit, &x, &g, &[2], step.node.float("epsilon", 1e-5));
    let gradient = emit.reshape_like(&rows, input);
    Ok(step.only_first(gradient))
}

/// x/√(mean x² + ε)·γ: as [`standardised`], with nothing taken for the mean of x.
pub(super) fn root_mean_square(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let x = step.input(0)?;
    let rank = emit.shape(x)?.len() as i64;
    let axis = step.node.int("axis", -1);
    let axes: Vec<i64> = (if axis < 0 { axis + rank } else { axis }..rank).collect();
    let g = emit.mul(step.gradient()?, step.input(1)?);
    let squared = emit.mul(x, x);
    let square = emit.reduce_mean(&squared, &axes);
    let epsilon = emit.scalar(step.node.float("epsilon", 1e-5));
    let square = emit.add(&square, &epsilon);
    let size = emit.op("Sqrt", &[&square]);
    let x_hat = emit.div(x, &size);
    let product = emit.mul(&g, &x_hat);
    let along = emit.reduce_mean(&product, &axes);
    let along = emit.mul(&x_hat, &along);
    let rest = emit.sub(&g, &along);
    let gradient = emit.div(&rest, &size);
    Ok(step.only_first(gradient))
}

/// (x − mean)/√(var + ε); the standard's ε is 1e-9, beside the root instead of under it.
pub(super) fn mean_variance(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = step.node.ints("axes").map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    let g = step.gradient()?.to_owned();
    let gradient = standardised(emit, step.input(0)?, &g, &axes, 1e-18);
    Ok(step.only_first(gradient))
}

/// x/‖x‖ along an axis: (∂y − x̂′·Σ ∂y·y)/‖x‖, where x̂′ is y for the Euclidean norm and sign x for
/// the sum.
pub(super) fn lp(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axes = [step.node.int("axis", -1)];
    let input = step.input(0)?;
    let axes_name = emit.int64s(&axes);
    let (norm, direction) = if step.node.int("p", 2) == 1 {
        (emit.op("ReduceL1", &[input, &axes_name]), emit.op("Sign", &[input]))
    } else {
        (emit.op("ReduceL2", &[input, &axes_name]), step.output().to_owned())
    };
    let product = emit.mul(step.gradient()?, step.output());
    let along = emit.reduce_sum(&product, &axes, true);
    let along = emit.mul(&direction, &along);
    let rest = emit.sub(step.gradient()?, &along);
    let gradient = emit.div(&rest, &norm);
    Ok(step.only_first(gradient))
}

/// `LRN`: y = x·s^(−β) with s = k + α/size · Σ x² over the channels near by, so that
/// ∂x = ∂y·s^(−β) − 2αβ/size · x·Σ (∂y·y/s) over the channels whose windows x lies in.
pub(super) fn local_response(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    let channels = emit.shape(input)?[1];
    let size = step.node.int("size", 1);
    let (alpha, beta) = (step.node.float("alpha", 1e-4), step.node.float("beta", 0.75));
    // The sum over a window as a product with a matrix of ones near the diagonal. ONNX Runtime
    // takes odd sizes only, so a channel lies in the windows of those that lie in its own.
    let near = |place: i64| (place / channels - place % channels).abs() <= size / 2;
    let band: Vec<f32> =
        (0..channels * channels).map(|place| if near(place) { 1.0 } else { 0.0 }).collect();
    let window = emit.float32s(&[channels, channels], &band);

    let rows = emit.reshape(input, &[0, 0, -1]);
    let squared = emit.mul(&rows, &rows);
    let sums = emit.op("MatMul", &[&window, &squared]);
    let scaled = emit.scale(&sums, alpha / size as f32);
    let bias = emit.scalar(step.node.float("bias", 1.0));
    let s = emit.add(&scaled, &bias);
    let gradient = emit.reshape(step.gradient()?, &[0, 0, -1]);
    let power = emit.scalar(-beta);
    let factor = emit.op("Pow", &[&s, &power]);
    let own = emit.mul(&gradient, &factor);
    let shared = emit.mul(&own, &rows);
    let shared = emit.div(&shared, &s);
    let shared = emit.op("MatMul", &[&window, &shared]);
    let shared = emit.mul(&shared, &rows);
    let shared = emit.scale(&shared, 2.0 * alpha * beta / size as f32);
    let rows = emit.sub(&own, &shared);
    let gradient = emit.reshape_like(&rows, input);
    Ok(step.only_first(gradient))
}

/// ∂x = y·(∂y − Σ ∂y·y) along the axis.
pub(super) fn softmax(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axis = step.node.int("axis", -1);
    let weighted = emit.mul(step.gradient()?, step.output());
    let total = emit.reduce_sum(&weighted, &[axis], true);
    let shifted = emit.sub(step.gradient()?, &total);
    let gradient = emit.mul(step.output(), &shifted);
    Ok(step.only_first(gradient))
}

/// ∂x = ∂y − e^y·Σ ∂y along the axis.
pub(super) fn log_softmax(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let axis = step.node.int("axis", -1);
    let total = emit.reduce_sum(step.gradient()?, &[axis], true);
    let soft = emit.op_with("Softmax", &[step.input(0)?], vec![AttributeProto::int("axis", axis)]);
    let spread = emit.mul(&soft, &total);
    let gradient = emit.sub(step.gradient()?, &spread);
    Ok(step.only_first(gradient))
}
