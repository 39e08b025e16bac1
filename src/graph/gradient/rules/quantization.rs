//! Rounding to integers and back, by the straight-through estimate.
//!
//! Rounding is flat almost everywhere, so a quantised model has no gradient to speak
//! of. As its training does (Bengio et al., arXiv 1308.3432; PyTorch's
//! `FakeQuantize`), these rules take the gradient of the model that is rounded: a
//! number passes its gradient on, and one that was clipped to the integers' range
//! passes none. What is explained so is said to be an estimate.

use super::{Emit, Gradients, Step};
use crate::graph::proto::data_type;

/// `[S]` as it is broadcast along the node's axis; one scale stands for all.
fn per_axis(emit: &mut Emit<'_>, step: &Step<'_>, values: &str) -> Result<String, String> {
    if step.node.int("block_size", 0) != 0 {
        return Err(step.refuse("scales by blocks"));
    }
    let rank = emit.shape(step.input(0)?)?.len();
    let count = emit.shape(values)?.iter().product::<i64>();
    if count == 1 || rank == 0 {
        return Ok(values.to_owned());
    }
    let axis = step.node.int("axis", 1);
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    let mut shape = vec![1; rank];
    *axis.and_then(|axis| shape.get_mut(axis)).ok_or_else(|| step.refuse("has an impossible axis"))? = -1;
    Ok(emit.reshape(values, &shape))
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
    let full = emit.div(step.gradient()?, &scale);
    let gradient = emit.keep_where(&open, &full);
    Ok(step.only_first(gradient))
}

/// True for the operators whose rule is an estimate.
#[must_use]
pub fn is_estimate(op: &str) -> bool {
    op == "QuantizeLinear"
}
