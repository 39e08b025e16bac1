//! Operators that take parts of a tensor or put parts together.

use super::context::{InputGradients, VjpContext};
use super::scatter::scatter_back;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// With step 1 the rest is padded with zeros; other steps go back place by place.
pub(super) fn slice(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let Some(pads) = slice_as_padding(ctx)? else { return scatter_back(builder, ctx) };
    let pads = builder.int64s(&pads);
    let gradient = builder.op("Pad", &[ctx.grad_output()?, &pads]);
    Ok(ctx.first_input(gradient))
}

fn slice_as_padding(ctx: &VjpContext<'_>) -> Result<Option<Vec<i64>>, Error> {
    let known = |index: usize| ctx.node.input_name(index).map(|name| ctx.known_int64s(name));
    let (Some(Some(starts)), Some(Some(ends))) = (known(1), known(2)) else { return Ok(None) };
    let sizes = ctx.shape(ctx.input(0)?)?;
    let rank = sizes.len();
    let axes = match known(3) {
        Some(Some(axes)) => axes,
        Some(None) => return Ok(None),
        None => (0..starts.len() as i64).collect(),
    };
    match known(4) {
        None => {}
        Some(Some(steps)) if steps.iter().all(|&step| step == 1) => {}
        Some(_) => return Ok(None),
    }
    let mut pads = vec![0; 2 * rank];
    for ((&start, &end), &axis) in starts.iter().zip(&ends).zip(&axes) {
        let axis = (if axis < 0 { axis + rank as i64 } else { axis }) as usize;
        let size = *sizes.get(axis).ok_or_else(|| ctx.unsupported("has an impossible axis"))?;
        // The batch is another size at run time than it was when it was measured; all of it is all
        // of it.
        if axis == 0 {
            if start == 0 && end >= i64::from(i32::MAX) {
                continue;
            }
            return Ok(None);
        }
        let place = |at: i64| if at < 0 { (at.saturating_add(size)).max(0) } else { at.min(size) };
        pads[axis] = place(start);
        pads[axis + rank] = size - place(end);
    }
    Ok(Some(pads))
}

/// Each part gets its stretch of the gradient.
pub(super) fn concat(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rank = ctx.shape(ctx.output())?.len() as i64;
    let axis = ctx.node.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    if axis == 0 {
        return concat_first(builder, ctx);
    }
    let axis_name = builder.int64s(&[axis]);
    let mut gradients = Vec::with_capacity(ctx.node.input.len());
    let mut start = 0;
    for index in 0..ctx.node.input.len() {
        let size = ctx.shape(ctx.input(index)?)?[axis as usize];
        gradients.push(if ctx.needs_grad(index) {
            let (from, to) = (builder.int64s(&[start]), builder.int64s(&[start + size]));
            Some(builder.op("Slice", &[ctx.grad_output()?, &from, &to, &axis_name]))
        } else {
            None
        });
        start += size;
    }
    Ok(gradients)
}

/// The first axis may be the batch, whose size is known at run time only.
fn concat_first(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axis = builder.int64s(&[0]);
    let mut start = builder.int64s(&[0]);
    let mut gradients = Vec::with_capacity(ctx.node.input.len());
    for index in 0..ctx.node.input.len() {
        let size = builder.sizes(ctx.input(index)?, 0, 1);
        let end = builder.add(&start, &size);
        let part = ctx.needs_grad(index).then(|| ctx.grad_output()).transpose()?;
        gradients.push(part.map(|gradient| builder.op("Slice", &[gradient, &start, &end, &axis])));
        start = end;
    }
    Ok(gradients)
}

/// The parts are joined again, zeros where a part has no gradient.
pub(super) fn split(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let parts: Vec<String> = (ctx.node.output.iter().zip(&ctx.grad_outputs))
        .map(|(output, gradient)| gradient.clone().unwrap_or_else(|| builder.zeros_like(output)))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = AttributeProto::int("axis", ctx.node.int("axis", 0));
    let gradient = builder.op_with("Concat", &parts, vec![axis]);
    Ok(ctx.first_input(gradient))
}

/// What was added is cut off again, and what was cut off comes back as zeros: a `Pad` by as much
/// the other way. Reflected and repeated edges go back place by place.
pub(super) fn pad(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx.node.string("mode", "constant") != "constant" {
        return scatter_back(builder, ctx);
    }
    let pads = ctx.input(1)?;
    let opposite = match ctx.known_int64s(pads) {
        Some(pads) => builder.int64s(&pads.iter().map(|pad| -pad).collect::<Vec<_>>()),
        None => builder.op("Neg", &[pads]),
    };
    let pads = match ctx.node.input_name(3) {
        Some(axes) => {
            // One entry an axis at both ends, for the same reason as in `gather`.
            let rank = ctx.shape(ctx.input(0)?)?.len() as i64;
            let axes =
                ctx.known_int64s(axes).ok_or_else(|| ctx.unsupported("computes its axes"))?;
            let begin = axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis });
            let places: Vec<i64> = begin.clone().chain(begin.map(|axis| axis + rank)).collect();
            let (places, none) =
                (builder.int64s(&places), builder.int64s(&vec![0; 2 * rank as usize]));
            let axis = vec![AttributeProto::int("axis", 0)];
            builder.op_with("ScatterElements", &[&none, &places, &opposite], axis)
        }
        None => opposite,
    };
    let gradient = builder.op("Pad", &[ctx.grad_output()?, &pads]);
    Ok(ctx.first_input(gradient))
}

/// `Gather` of one place, as exporters take a token or one of q, k and v apart: zeros around its
/// gradient. Several places go back one by one.
pub(super) fn gather(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (input, places) = (ctx.input(0)?, ctx.input(1)?);
    let place = match (ctx.known_int64s(places).as_deref(), ctx.shape(places)) {
        (Some(&[place]), Ok([] | [1])) => place,
        _ => return scatter_back(builder, ctx),
    };
    let rank = ctx.shape(input)?.len() as i64;
    let axis = ctx.node.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    let axes = builder.int64s(&[axis]);
    let gradient = match ctx.shape(places)? {
        [] => builder.op("Unsqueeze", &[ctx.grad_output()?, &axes]),
        _ => ctx.grad_output()?.to_owned(),
    };
    // Taken at run time, since the axis may be the batch's.
    let size = builder.sizes(input, axis, axis + 1);
    let (before, after) = if place < 0 {
        let (offset, after) = (builder.int64s(&[place]), builder.int64s(&[-1 - place]));
        (builder.add(&size, &offset), after)
    } else {
        let (before, own) = (builder.int64s(&[place]), builder.int64s(&[place + 1]));
        (before, builder.sub(&size, &own))
    };
    // One entry an axis at both ends. `Pad` would take this axis alone, but ONNX Runtime 1.32 mixes
    // up such pads when it moves a `Transpose` past them.
    let zeros = |builder: &mut GraphBuilder, count: i64| builder.int64s(&vec![0; count as usize]);
    let (first, between) = (zeros(builder, axis), zeros(builder, rank - 1));
    let last = zeros(builder, rank - 1 - axis);
    let pads = [&first, &before, &between, &after, &last].map(String::as_str);
    let pads = builder.op_with("Concat", &pads, vec![AttributeProto::int("axis", 0)]);
    let gradient = builder.op("Pad", &[&gradient, &pads]);
    Ok(ctx.first_input(gradient))
}

/// The part of a matrix that was kept gets its gradient, the rest zero.
pub(super) fn trilu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let mut inputs = vec![ctx.grad_output()?];
    inputs.extend(ctx.node.input_name(1));
    let gradient = builder.op_with("Trilu", &inputs, ctx.node.attribute.clone());
    Ok(ctx.first_input(gradient))
}

/// A number takes part in all sums after it, so its gradient is the sum from behind.
pub(super) fn cumulative_sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let attributes = vec![
        AttributeProto::int("exclusive", ctx.node.int("exclusive", 0)),
        AttributeProto::int("reverse", 1 - ctx.node.int("reverse", 0)),
    ];
    let gradient = builder.op_with("CumSum", &[ctx.grad_output()?, ctx.input(1)?], attributes);
    Ok(ctx.first_input(gradient))
}
