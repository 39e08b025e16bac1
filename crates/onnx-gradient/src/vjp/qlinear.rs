//! Integer operators of ONNX Runtime's quantiser, such as `QLinearConv`.
//!
//! Each has the gradient of the float operators that it stands for: dequantise the operands, apply
//! the float operator, quantise the result. A model therefore has the same gradient in both formats
//! of the quantiser, QDQ and QOperator. Quantisation itself is a straight-through estimate, see
//! [`super::quantization`].

use std::collections::HashMap;

use super::context::{InputGradients, VjpContext};
use super::quantization::{broadcast_along, quantize};
use super::table;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::{AttributeProto, NodeProto};
use crate::quantized::{QuantParams, QuantizedOp};

/// For an operand `q` with scale `s`: `∂L/∂q = s · ∂L/∂(dequantised q)`, where the right-hand side
/// is the vjp of the float operator.
///
/// The float result is computed again from the dequantised operands: an integer result at the end
/// of its range does not show whether it was clipped.
pub(super) fn vjp(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let Some(QuantizedOp { mut node, operands, result }) = QuantizedOp::from_node(ctx.node) else {
        return Err(Error::no_vjp(ctx.node));
    };
    let mut shape_aliases = HashMap::new();
    for (operand, (_, params)) in node.input.iter_mut().zip(&operands) {
        let floats = dequantised(builder, ctx, operand, params)?;
        shape_aliases.insert(floats.clone(), std::mem::replace(operand, floats));
    }
    let mut gradient = ctx.grad_output()?.to_owned();
    if let Some(QuantParams { scales, zero_point, .. }) = &result {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let computed = builder.op_with(node.op(), &inputs, node.attribute.clone());
        shape_aliases.insert(computed.clone(), ctx.output().to_owned());
        let inputs: Vec<&str> =
            [&computed].into_iter().chain(scales).chain(zero_point).map(String::as_str).collect();
        let rounding = NodeProto::new("QuantizeLinear", &inputs, &[ctx.output()]);
        node.output = vec![computed.clone()];
        let rounding = VjpContext {
            node: &rounding,
            grad_outputs: vec![Some(gradient)],
            needs_grad: vec![true],
            shape_aliases: shape_aliases.clone(),
            ..*ctx
        };
        let passed = quantize(builder, &rounding)?.into_iter().next().flatten();
        gradient = passed.ok_or_else(|| ctx.unsupported("passes no gradient"))?;
    }
    let float_vjp = table::lookup(&node).ok_or_else(|| Error::no_vjp(ctx.node))?;
    let float_ctx = VjpContext {
        node: &node,
        grad_outputs: vec![Some(gradient)],
        needs_grad: operands.iter().map(|&(index, _)| ctx.needs_grad(index)).collect(),
        shape_aliases,
        ..*ctx
    };
    let float_gradients = float_vjp(builder, &float_ctx)?;
    let mut gradients = vec![None; ctx.node.input.len()];
    for ((index, params), gradient) in operands.iter().zip(float_gradients) {
        let Some(mut gradient) = gradient.filter(|_| ctx.needs_grad(*index)) else { continue };
        for scale in &params.scales {
            let scale = broadcast_along(builder, ctx, scale, ctx.input(*index)?, params.axis)?;
            gradient = builder.mul(&gradient, &scale);
        }
        gradients[*index] = Some(gradient);
    }
    Ok(gradients)
}

/// `(q − zero point) · scale` as float32, of the shape of `q`.
fn dequantised(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    integers: &str,
    params: &QuantParams,
) -> Result<String, Error> {
    if let [scale] = params.scales.as_slice() {
        let zero_point = params.zero_point.as_deref();
        let inputs: Vec<&str> = [integers, scale].into_iter().chain(zero_point).collect();
        let axis = AttributeProto::int("axis", params.axis);
        return Ok(builder.op_with("DequantizeLinear", &inputs, [axis]));
    }
    let mut floats = builder.to_float(integers);
    if let Some(zero_point) = &params.zero_point {
        let zero_point = broadcast_along(builder, ctx, zero_point, integers, params.axis)?;
        let zero_point = builder.to_float(&zero_point);
        floats = builder.sub(&floats, &zero_point);
    }
    for scale in &params.scales {
        let scale = broadcast_along(builder, ctx, scale, integers, params.axis)?;
        floats = builder.mul(&floats, &scale);
    }
    Ok(floats)
}
