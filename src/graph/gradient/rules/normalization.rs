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

fn refuse_learned(step: &Step<'_>) -> Result<(), String> {
    if step.wants(1) || step.wants(2) {
        return Err(step.refuse("has a scale or bias that depends on the layer"));
    }
    Ok(())
}

pub(super) fn layer(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    refuse_learned(step)?;
    let rank = emit.shape(step.input(0)?)?.len() as i64;
    let axis = step.node.int("axis", -1);
    let first = if axis < 0 { axis + rank } else { axis };
    let g = emit.mul(step.gradient()?, step.input(1)?);
    let axes: Vec<i64> = (first..rank).collect();
    let gradient = standardised(emit, step.input(0)?, &g, &axes, step.node.float("epsilon", 1e-5));
    Ok(step.only_first(gradient))
}

pub(super) fn instance(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    refuse_learned(step)?;
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
    refuse_learned(step)?;
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
