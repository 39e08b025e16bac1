//! Rounding to integers and back, by the straight-through estimate.
//!
//! Rounding is flat almost everywhere, so a quantised model has no gradient to speak
//! of. As its training does (Bengio et al., arXiv 1308.3432; PyTorch's
//! `FakeQuantize`), these rules take the gradient of the model that is rounded: a
//! number passes its gradient on, and one that was clipped to the integers' range
//! passes none. What is explained so is said to be an estimate. An operator of integers
//! has the gradient of the operators of floats that it stands for, [`Quantized`], so
//! that a model has the same in both formats of ONNX Runtime's quantiser.

use super::{Emit, Gradients, Step};
use crate::graph::proto::{AttributeProto, NodeProto, data_type};
use crate::graph::quantized::{Quantized, Scheme};

/// `[S]` as it is broadcast along an axis of `tensor`; one scale stands for all.
fn along(
    emit: &mut Emit<'_>,
    step: &Step<'_>,
    values: &str,
    tensor: &str,
    axis: i64,
) -> Result<String, String> {
    if step.node.int("block_size", 0) != 0 {
        return Err(step.refuse("scales by blocks"));
    }
    let rank = emit.shape(tensor)?.len();
    let count = emit.shape(values)?.iter().product::<i64>();
    if count == 1 || rank == 0 {
        return Ok(values.to_owned());
    }
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    let mut shape = vec![1; rank];
    *axis
        .and_then(|axis| shape.get_mut(axis))
        .ok_or_else(|| step.refuse("has an impossible axis"))? = -1;
    Ok(emit.reshape(values, &shape))
}

fn per_axis(emit: &mut Emit<'_>, step: &Step<'_>, values: &str) -> Result<String, String> {
    along(emit, step, values, step.input(0)?, step.node.int("axis", 1))
}

/// y = (x − zero point)·scale.
pub(super) fn dequantize(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let scale = per_axis(emit, step, step.input(1)?)?;
    let gradient = emit.mul(step.gradient()?, &scale);
    Ok(step.only_first(gradient))
}

/// y = clip(round(x/scale) + zero point): ∂x = ∂y/scale where nothing was clipped.
pub(super) fn quantize(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let (low, high) = match emit.element_type(step.output()) {
        data_type::UINT8 => (0.0, 255.0),
        data_type::INT8 => (-128.0, 127.0),
        data_type::UINT16 => (0.0, 65535.0),
        data_type::INT16 => (-32768.0, 32767.0),
        _ => return Err(step.refuse("quantises to a type that has no rule")),
    };
    let scale = per_axis(emit, step, step.input(1)?)?;
    let full = emit.div(step.gradient()?, &scale);
    if emit.rounds_what_was_told(step.node) {
        return Ok(step.only_first(full));
    }
    let scaled = emit.div(step.input(0)?, &scale);
    let mut rounded = emit.op("Round", &[&scaled]);
    if let Some(zero) = step.node.input_name(2) {
        let zero = per_axis(emit, step, zero)?;
        let zero = emit.to_float(&zero);
        rounded = emit.add(&rounded, &zero);
    }
    let (low, high) = (emit.scalar(low), emit.scalar(high));
    let above = emit.op("GreaterOrEqual", &[&rounded, &low]);
    let below = emit.op("LessOrEqual", &[&rounded, &high]);
    let open = emit.op("And", &[&above, &below]);
    let gradient = emit.keep_where(&open, &full);
    Ok(step.only_first(gradient))
}

/// The same by a scale that is made of the image's own range, so that nothing is clipped. The range
/// itself is taken for a constant, as in training, where no gradient flows through what observes
/// it.
pub(super) fn quantize_by_range(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let scale = step.node.output.get(1).ok_or_else(|| step.refuse("has no output 1"))?;
    let gradient = match step.outputs.first() {
        Some(Some(gradient)) => emit.div(gradient, scale),
        _ => emit.zeros_like(step.input(0)?),
    };
    Ok(step.only_first(gradient))
}

/// An operator of integers: its operands told in floats, the operator of floats on them, its result
/// rounded. The result is computed again, since of one that stands at the end of the range nobody
/// sees whether it was clipped.
pub(super) fn in_floats(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let Some(Quantized { mut node, operands, result }) = Quantized::of(step.node) else {
        return Err(step.refuse("has no gradient rule"));
    };
    for (operand, (_, scheme)) in node.input.iter_mut().zip(&operands) {
        *operand = told(emit, step, operand, scheme)?;
    }
    let mut gradient = step.gradient()?.to_owned();
    if let Some(Scheme { scales, zero, .. }) = &result {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let computed = emit.op_with(node.op(), &inputs, node.attribute.clone());
        emit.say_alike(&computed, step.output());
        node.output = vec![computed.clone()];
        let inputs: Vec<&str> =
            [&computed].into_iter().chain(scales).chain(zero).map(String::as_str).collect();
        let rounding = NodeProto::new("QuantizeLinear", &inputs, &[step.output()]);
        let of_rounding =
            Step { node: &rounding, outputs: vec![Some(gradient)], wanted: vec![true] };
        let passed = quantize(emit, &of_rounding)?.into_iter().next().flatten();
        gradient = passed.ok_or_else(|| step.refuse("passes nothing on"))?;
    }
    let rule = super::find(&node).ok_or_else(|| step.refuse("has no gradient rule"))?;
    let wanted = operands.iter().map(|&(place, _)| step.wants(place)).collect();
    let of_floats = rule(emit, &Step { node: &node, outputs: vec![Some(gradient)], wanted })?;
    let mut gradients = vec![None; step.node.input.len()];
    for ((place, scheme), gradient) in operands.iter().zip(of_floats) {
        let Some(mut gradient) = gradient.filter(|_| step.wants(*place)) else { continue };
        for scale in &scheme.scales {
            let scale = along(emit, step, scale, step.input(*place)?, scheme.axis)?;
            gradient = emit.mul(&gradient, &scale);
        }
        gradients[*place] = Some(gradient);
    }
    Ok(gradients)
}

/// Integers as the floats that they mean.
fn told(
    emit: &mut Emit<'_>,
    step: &Step<'_>,
    integers: &str,
    scheme: &Scheme,
) -> Result<String, String> {
    let floats = match scheme.scales.as_slice() {
        [scale] => {
            let inputs: Vec<&str> =
                [integers, scale].into_iter().chain(scheme.zero.as_deref()).collect();
            emit.op_with(
                "DequantizeLinear",
                &inputs,
                vec![AttributeProto::int("axis", scheme.axis)],
            )
        }
        scales => {
            let mut floats = emit.to_float(integers);
            if let Some(zero) = &scheme.zero {
                let zero = along(emit, step, zero, integers, scheme.axis)?;
                let zero = emit.to_float(&zero);
                floats = emit.sub(&floats, &zero);
            }
            for scale in scales {
                let scale = along(emit, step, scale, integers, scheme.axis)?;
                floats = emit.mul(&floats, &scale);
            }
            floats
        }
    };
    emit.say_alike(&floats, integers);
    Ok(floats)
}

/// True for the operators whose rule is an estimate.
#[must_use]
pub fn is_estimate(node: &NodeProto) -> bool {
    matches!(node.op(), "QuantizeLinear" | "DynamicQuantizeLinear") || Quantized::of(node).is_some()
}
