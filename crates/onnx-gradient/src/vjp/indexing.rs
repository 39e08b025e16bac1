//! Operators that select parts of a tensor or join parts.

use super::context::{InputGradients, VjpContext};
use super::scatter::scatter_back;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// `∂L/∂x = ∂L/∂y`, padded with zeros where the slice was cut off. Steps other than 1 scatter.
pub(super) fn slice(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let Some(pads) = slice_as_padding(ctx)? else { return scatter_back(builder, ctx) };
    let pads = builder.int64s(&pads);
    let gradient = builder.op("Pad", &[ctx.grad_output()?, &pads]);
    Ok(ctx.first_input(gradient))
}

/// The pads that undo a slice with step 1; `None` for other steps, for bounds that are computed,
/// and where the batch is cut.
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
        let axis = ctx.axis_index(axis, rank)?;
        let size = sizes[axis];
        // The batch may have another size at run time. Only a slice that keeps all of it is known.
        if axis == 0 {
            if start == 0 && end >= i64::from(i32::MAX) {
                continue;
            }
            return Ok(None);
        }
        let index = |at: i64| if at < 0 { (at.saturating_add(size)).max(0) } else { at.min(size) };
        pads[axis] = index(start);
        pads[axis + rank] = size - index(end);
    }
    Ok(Some(pads))
}

/// Each input gets its part of `∂L/∂y` along the axis.
pub(super) fn concat(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let axis = ctx.axis_index(ctx.node.int("axis", 0), ctx.shape(ctx.output())?.len())?;
    if axis == 0 {
        return concat_first(builder, ctx);
    }
    let axis_name = builder.int64s(&[axis as i64]);
    let mut gradients = Vec::with_capacity(ctx.node.input.len());
    let mut start = 0;
    for index in 0..ctx.node.input.len() {
        let sizes = ctx.shape(ctx.input(index)?)?;
        let size =
            *sizes.get(axis).ok_or_else(|| ctx.unsupported("joins tensors of different ranks"))?;
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

/// [`concat`] along the first axis, which may be the batch: sizes are read at run time.
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

/// `∂L/∂x` is the concatenation of the outputs' gradients, with zeros for outputs without one.
pub(super) fn split(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let parts: Vec<String> = (ctx.node.output.iter().zip(&ctx.grad_outputs))
        .map(|(output, gradient)| gradient.clone().unwrap_or_else(|| builder.zeros_like(output)))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = AttributeProto::int("axis", ctx.node.int("axis", 0));
    let gradient = builder.op_with("Concat", &parts, vec![axis]);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = pad(∂L/∂y, −pads)`: added positions are cut off, and positions that were cut off become
/// 0. Modes other than `constant` scatter.
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
            // Pads for all axes, for the same reason as in `gather`.
            let rank = ctx.shape(ctx.input(0)?)?.len();
            let axes =
                ctx.known_int64s(axes).ok_or_else(|| ctx.unsupported("computes its axes"))?;
            let begin = axes.into_iter().map(|axis| ctx.axis_index(axis, rank));
            let begin = begin.collect::<Result<Vec<usize>, _>>()?;
            let end = begin.iter().map(|axis| axis + rank);
            let entries: Vec<i64> =
                begin.iter().copied().chain(end).map(|entry| entry as i64).collect();
            let (entries, none) = (builder.int64s(&entries), builder.int64s(&vec![0; 2 * rank]));
            let axis = [AttributeProto::int("axis", 0)];
            builder.op_with("ScatterElements", &[&none, &entries, &opposite], axis)
        }
        None => opposite,
    };
    let gradient = builder.op("Pad", &[ctx.grad_output()?, &pads]);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y` at the gathered index, else 0. A single index, which exporters use to select a
/// token or one of q, k and v, becomes a `Pad`; several indices scatter.
pub(super) fn gather(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (input, indices) = (ctx.input(0)?, ctx.input(1)?);
    let index = match (ctx.known_int64s(indices).as_deref(), ctx.shape(indices)) {
        (Some(&[index]), Ok([] | [1])) => index,
        _ => return scatter_back(builder, ctx),
    };
    let rank = ctx.shape(input)?.len();
    let index_of_axis = ctx.axis_index(ctx.node.int("axis", 0), rank)?;
    let axis = index_of_axis as i64;
    let axes = builder.int64s(&[axis]);
    let gradient = match ctx.shape(indices)? {
        [] => builder.op("Unsqueeze", &[ctx.grad_output()?, &axes]),
        _ => ctx.grad_output()?.to_owned(),
    };
    // The size is read at run time, since the axis may be the batch.
    let size = builder.sizes(input, axis, axis + 1);
    let (before, after) = if index < 0 {
        let (offset, after) = (builder.int64s(&[index]), builder.int64s(&[-1 - index]));
        (builder.add(&size, &offset), after)
    } else {
        let (before, own) = (builder.int64s(&[index]), builder.int64s(&[index + 1]));
        (before, builder.sub(&size, &own))
    };
    // Pads for all axes. `Pad` also takes pads for this axis alone, but ONNX Runtime 1.32 mixes
    // them up when it moves a `Transpose` past the `Pad`.
    let zeros = |builder: &mut GraphBuilder, count: usize| builder.int64s(&vec![0; count]);
    let (first, between) = (zeros(builder, index_of_axis), zeros(builder, rank - 1));
    let last = zeros(builder, rank - 1 - index_of_axis);
    let pads = [&first, &before, &between, &after, &last].map(String::as_str);
    let pads = builder.op_with("Concat", &pads, [AttributeProto::int("axis", 0)]);
    let gradient = builder.op("Pad", &[&gradient, &pads]);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = trilu(∂L/∂y)`.
pub(super) fn trilu(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let mut inputs = vec![ctx.grad_output()?];
    inputs.extend(ctx.node.input_name(1));
    let gradient = builder.op_with("Trilu", &inputs, ctx.node.attribute.clone());
    Ok(ctx.first_input(gradient))
}

/// An element contributes to all sums after it: `∂L/∂x` is the cumulative sum of `∂L/∂y` in the
/// opposite direction.
pub(super) fn cumulative_sum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let attributes = vec![
        AttributeProto::int("exclusive", ctx.node.int("exclusive", 0)),
        AttributeProto::int("reverse", 1 - ctx.node.int("reverse", 0)),
    ];
    let gradient = builder.op_with("CumSum", &[ctx.grad_output()?, ctx.input(1)?], attributes);
    Ok(ctx.first_input(gradient))
}
