//! Rounding to integers and back, by the straight-through estimate.
//!
//! Rounding is flat almost everywhere, so a quantised model has no gradient to speak
//! of. As its training does (Bengio et al., arXiv 1308.3432; PyTorch's
//! `FakeQuantize`), these rules take the gradient of the model that is rounded: a
//! number passes its gradient on, and one that was clipped to the integers' range
//! passes none. What is explained so is said to be an estimate. An operator of integers
//! has the gradient of the operators of floats that it stands for, [`Quantized`], so
//! that a model has the same in both formats of ONNX Runtime's quantiser.

use super::{Gradients, GraphBuilder, VjpContext};
use crate::proto::{AttributeProto, NodeProto, data_type};
use crate::quantized::{Quantized, Scheme};

/// `[S]` as it is broadcast along an axis of `tensor`; one scale stands for all.
fn along(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    values: &str,
    tensor: &str,
    axis: i64,
) -> Result<String, String> {
    if step.node.int("block_size", 0) != 0 {
        return Err(step.refuse("scales by blocks"));
    }
    let rank = builder.shape(tensor)?.len();
    let count = builder.shape(values)?.iter().product::<i64>();
    if count == 1 || rank == 0 {
        return Ok(values.to_owned());
    }
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    let mut shape = vec![1; rank];
    *axis
        .and_then(|axis| shape.get_mut(axis))
        .ok_or_else(|| step.refuse("has an impossible axis"))? = -1;
    Ok(builder.reshape(values, &shape))
}

fn per_axis(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    values: &str,
) -> Result<String, String> {
    along(builder, step, values, step.input(0)?, step.node.int("axis", 1))
}

/// y = (x − zero point)·scale.
pub(super) fn dequantize(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let scale = per_axis(builder, step, step.input(1)?)?;
    let gradient = builder.mul(step.gradient()?, &scale);
    Ok(step.only_first(gradient))
}

/// y = clip(round(x/scale) + zero point): ∂x = ∂y/scale where nothing was clipped.
pub(super) fn quantize(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let (low, high) = match builder.element_type(step.output()) {
        data_type::UINT8 => (0.0, 255.0),
        data_type::INT8 => (-128.0, 127.0),
        data_type::UINT16 => (0.0, 65535.0),
        data_type::INT16 => (-32768.0, 32767.0),
        _ => return Err(step.refuse("quantises to a type that has no rule")),
    };
    let scale = per_axis(builder, step, step.input(1)?)?;
    let full = builder.div(step.gradient()?, &scale);
    if builder.rounds_what_was_told(step.node) {
        return Ok(step.only_first(full));
    }
    let scaled = builder.div(step.input(0)?, &scale);
    let mut rounded = builder.op("Round", &[&scaled]);
    if let Some(zero) = step.node.input_name(2) {
        let zero = per_axis(builder, step, zero)?;
        let zero = builder.to_float(&zero);
        rounded = builder.add(&rounded, &zero);
    }
    let (low, high) = (builder.scalar(low), builder.scalar(high));
    let above = builder.op("GreaterOrEqual", &[&rounded, &low]);
    let below = builder.op("LessOrEqual", &[&rounded, &high]);
    let open = builder.op("And", &[&above, &below]);
    let gradient = builder.keep_where(&open, &full);
    Ok(step.only_first(gradient))
}

/// The same by a scale that is made of the image's own range, so that nothing is clipped. The range
/// itself is taken for a constant, as in training, where no gradient flows through what observes
/// it.
pub(super) fn quantize_by_range(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
) -> Gradients {
    let scale = step.node.output.get(1).ok_or_else(|| step.refuse("has no output 1"))?;
    let gradient = match step.grad_outputs.first() {
        Some(Some(gradient)) => builder.div(gradient, scale),
        _ => builder.zeros_like(step.input(0)?),
    };
    Ok(step.only_first(gradient))
}

/// An operator of integers: its operands told in floats, the operator of floats on them, its result
/// rounded. The result is computed again, since of one that stands at the end of the range nobody
/// sees whether it was clipped.
pub(super) fn in_floats(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let Some(Quantized { mut node, operands, result }) = Quantized::of(step.node) else {
        return Err(step.refuse("has no gradient rule"));
    };
    for (operand, (_, scheme)) in node.input.iter_mut().zip(&operands) {
        *operand = told(builder, step, operand, scheme)?;
    }
    let mut gradient = step.gradient()?.to_owned();
    if let Some(Scheme { scales, zero, .. }) = &result {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let computed = builder.op_with(node.op(), &inputs, node.attribute.clone());
        builder.set_shape_like(&computed, step.output());
        node.output = vec![computed.clone()];
        let inputs: Vec<&str> =
            [&computed].into_iter().chain(scales).chain(zero).map(String::as_str).collect();
        let rounding = NodeProto::new("QuantizeLinear", &inputs, &[step.output()]);
        let of_rounding = VjpContext {
            node: &rounding,
            grad_outputs: vec![Some(gradient)],
            needs_grad: vec![true],
        };
        let passed = quantize(builder, &of_rounding)?.into_iter().next().flatten();
        gradient = passed.ok_or_else(|| step.refuse("passes nothing on"))?;
    }
    let vjp_fn = super::find(&node).ok_or_else(|| step.refuse("has no gradient rule"))?;
    let wanted = operands.iter().map(|&(place, _)| step.wants(place)).collect();
    let of_floats = vjp_fn(
        builder,
        &VjpContext { node: &node, grad_outputs: vec![Some(gradient)], needs_grad: wanted },
    )?;
    let mut gradients = vec![None; step.node.input.len()];
    for ((place, scheme), gradient) in operands.iter().zip(of_floats) {
        let Some(mut gradient) = gradient.filter(|_| step.wants(*place)) else { continue };
        for scale in &scheme.scales {
            let scale = along(builder, step, scale, step.input(*place)?, scheme.axis)?;
            gradient = builder.mul(&gradient, &scale);
        }
        gradients[*place] = Some(gradient);
    }
    Ok(gradients)
}

/// Integers as the floats that they mean.
fn told(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    integers: &str,
    scheme: &Scheme,
) -> Result<String, String> {
    let floats = match scheme.scales.as_slice() {
        [scale] => {
            let inputs: Vec<&str> =
                [integers, scale].into_iter().chain(scheme.zero.as_deref()).collect();
            builder.op_with(
                "DequantizeLinear",
                &inputs,
                vec![AttributeProto::int("axis", scheme.axis)],
            )
        }
        scales => {
            let mut floats = builder.to_float(integers);
            if let Some(zero) = &scheme.zero {
                let zero = along(builder, step, zero, integers, scheme.axis)?;
                let zero = builder.to_float(&zero);
                floats = builder.sub(&floats, &zero);
            }
            for scale in scales {
                let scale = along(builder, step, scale, integers, scheme.axis)?;
                floats = builder.mul(&floats, &scale);
            }
            floats
        }
    };
    builder.set_shape_like(&floats, integers);
    Ok(floats)
}

/// True for the operators whose rule is an estimate.
#[must_use]
pub fn is_estimate(node: &NodeProto) -> bool {
    matches!(node.op(), "QuantizeLinear" | "DynamicQuantizeLinear") || Quantized::of(node).is_some()
}
