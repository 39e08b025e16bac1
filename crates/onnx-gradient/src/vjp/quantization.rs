//! Rounding to integers and back, with a straight-through estimate.
//!
//! Rounding is flat almost everywhere, so the derivative of a quantised model is 0. As in
//! quantisation-aware training (Bengio et al., arXiv 1308.3432; PyTorch's `FakeQuantize`), these
//! functions give the gradient of the model without the rounding: a value within the integers'
//! range passes its gradient on, and a value that was clipped to the range passes none.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::data_type;
use crate::quantized::requantized_input;

/// A vector `[S]` reshaped so that it broadcasts along `axis` of `tensor`. A single value is used
/// as it is.
pub(super) fn broadcast_along(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    values: &str,
    tensor: &str,
    axis: i64,
) -> Result<String, Error> {
    if ctx.node.int("block_size", 0) != 0 {
        return Err(ctx.unsupported("scales by blocks"));
    }
    let rank = ctx.shape(tensor)?.len();
    let count = ctx.shape(values)?.iter().product::<i64>();
    if count == 1 || rank == 0 {
        return Ok(values.to_owned());
    }
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    let mut shape = vec![1; rank];
    *axis
        .and_then(|axis| shape.get_mut(axis))
        .ok_or_else(|| ctx.unsupported("has an axis out of range"))? = -1;
    Ok(builder.reshape(values, &shape))
}

/// A scale or zero point of this node, broadcast along the node's `axis`.
fn per_axis(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    values: &str,
) -> Result<String, Error> {
    broadcast_along(builder, ctx, values, ctx.input(0)?, ctx.node.int("axis", 1))
}

/// `y = (q − zero point) · s`, so `∂L/∂q = s · ∂L/∂y`.
pub(super) fn dequantize(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scale = per_axis(builder, ctx, ctx.input(1)?)?;
    let gradient = builder.mul(ctx.grad_output()?, &scale);
    Ok(ctx.first_input(gradient))
}

/// `q = clip(round(x/s) + zero point, low, high)`: `∂L/∂x = ∂L/∂q / s` where nothing was clipped,
/// else 0.
///
/// A node that quantises a dequantised tensor again, with the same scale and zero point, never
/// clips, so its test is left out.
pub(super) fn quantize(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (low, high) = match ctx.element_type(ctx.output()) {
        data_type::UINT8 => (0.0, 255.0),
        data_type::INT8 => (-128.0, 127.0),
        data_type::UINT16 => (0.0, 65535.0),
        data_type::INT16 => (-32768.0, 32767.0),
        _ => return Err(ctx.unsupported("quantises to a type that has no rule")),
    };
    let scale = per_axis(builder, ctx, ctx.input(1)?)?;
    let full = builder.div(ctx.grad_output()?, &scale);
    if requantized_input(ctx.graph, ctx.node).is_some() {
        return Ok(ctx.first_input(full));
    }
    let scaled = builder.div(ctx.input(0)?, &scale);
    let mut rounded = builder.op("Round", &[&scaled]);
    if let Some(zero_point) = ctx.node.input_name(2) {
        let zero_point = per_axis(builder, ctx, zero_point)?;
        let zero_point = builder.to_float(&zero_point);
        rounded = builder.add(&rounded, &zero_point);
    }
    let (low, high) = (builder.scalar(low), builder.scalar(high));
    let above = builder.op("GreaterOrEqual", &[&rounded, &low]);
    let below = builder.op("LessOrEqual", &[&rounded, &high]);
    let in_range = builder.op("And", &[&above, &below]);
    let gradient = builder.keep_where(&in_range, &full);
    Ok(ctx.first_input(gradient))
}

/// `DynamicQuantizeLinear` takes its scale `s` from the range of `x` itself, so it clips nothing:
/// `∂L/∂x = ∂L/∂q / s`.
///
/// The range counts as a constant, as in quantisation-aware training, where no gradient flows
/// through the observer of the range.
pub(super) fn quantize_dynamic(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let scale = ctx.node.output.get(1).ok_or_else(|| ctx.unsupported("has no output 1"))?;
    let gradient = match ctx.grad_outputs.first() {
        Some(Some(gradient)) => builder.div(gradient, scale),
        _ => builder.zeros_like(ctx.input(0)?),
    };
    Ok(ctx.first_input(gradient))
}
