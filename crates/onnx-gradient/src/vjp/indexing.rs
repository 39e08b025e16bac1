//! Operators that take parts of a tensor or put parts together.

use super::pooling::scatter_add;
use super::{Gradients, GraphBuilder, VjpContext};
use crate::proto::AttributeProto;

/// The way back through any operator that only picks numbers: run it on the numbers' own places,
/// and add each gradient at the place that its number came from.
pub(super) fn scatter_back(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let input = step.input(0)?;
    let size = builder.op("Size", &[input]);
    let (zero, one) = (builder.int64(0), builder.int64(1));
    let count = builder.op("Range", &[&zero, &size, &one]);
    let places = builder.reshape_like(&count, input);
    let mut inputs: Vec<&str> = step.node.input.iter().map(String::as_str).collect();
    inputs[0] = &places;
    let picked = builder.op_with(step.node.op(), &inputs, step.node.attribute.clone());
    let picked = builder.reshape(&picked, &[-1]);
    let gradient = scatter_add(builder, step.gradient()?, &picked, input);
    Ok(step.only_first(gradient))
}

/// With step 1 the rest is padded with zeros; other steps go back place by place.
pub(super) fn slice(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let Some(pads) = slice_as_padding(builder, step)? else { return scatter_back(builder, step) };
    let pads = builder.int64s(&pads);
    let gradient = builder.op("Pad", &[step.gradient()?, &pads]);
    Ok(step.only_first(gradient))
}

fn slice_as_padding(
    builder: &GraphBuilder<'_>,
    step: &VjpContext<'_>,
) -> Result<Option<Vec<i64>>, String> {
    let known = |index: usize| step.node.input_name(index).map(|name| builder.known_int64s(name));
    let (Some(Some(starts)), Some(Some(ends))) = (known(1), known(2)) else { return Ok(None) };
    let sizes = builder.shape(step.input(0)?)?;
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
        let size = *sizes.get(axis).ok_or_else(|| step.refuse("has an impossible axis"))?;
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
pub(super) fn concat(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let rank = builder.shape(step.output())?.len() as i64;
    let axis = step.node.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    if axis == 0 {
        return concat_first(builder, step);
    }
    let axis_name = builder.int64s(&[axis]);
    let mut gradients = Vec::with_capacity(step.node.input.len());
    let mut start = 0;
    for index in 0..step.node.input.len() {
        let size = builder.shape(step.input(index)?)?[axis as usize];
        gradients.push(if step.wants(index) {
            let (from, to) = (builder.int64s(&[start]), builder.int64s(&[start + size]));
            Some(builder.op("Slice", &[step.gradient()?, &from, &to, &axis_name]))
        } else {
            None
        });
        start += size;
    }
    Ok(gradients)
}

/// The first axis may be the batch, whose size is known at run time only.
fn concat_first(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let axis = builder.int64s(&[0]);
    let mut start = builder.int64s(&[0]);
    let mut gradients = Vec::with_capacity(step.node.input.len());
    for index in 0..step.node.input.len() {
        let size = builder.size_along(step.input(index)?, 0);
        let end = builder.add(&start, &size);
        let part = step.wants(index).then(|| step.gradient()).transpose()?;
        gradients.push(part.map(|gradient| builder.op("Slice", &[gradient, &start, &end, &axis])));
        start = end;
    }
    Ok(gradients)
}

/// The parts are joined again, zeros where a part has no gradient.
pub(super) fn split(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let parts: Vec<String> = (step.node.output.iter().zip(&step.grad_outputs))
        .map(|(output, gradient)| gradient.clone().unwrap_or_else(|| builder.zeros_like(output)))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = AttributeProto::int("axis", step.node.int("axis", 0));
    let gradient = builder.op_with("Concat", &parts, vec![axis]);
    Ok(step.only_first(gradient))
}

/// What was added is cut off again, and what was cut off comes back as zeros: a `Pad` by as much
/// the other way. Reflected and repeated edges go back place by place.
pub(super) fn pad(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    if step.node.string("mode", "constant") != "constant" {
        return scatter_back(builder, step);
    }
    let pads = step.input(1)?;
    let opposite = match builder.known_int64s(pads) {
        Some(pads) => builder.int64s(&pads.iter().map(|pad| -pad).collect::<Vec<_>>()),
        None => builder.op("Neg", &[pads]),
    };
    let pads = match step.node.input_name(3) {
        Some(axes) => {
            // One entry an axis at both ends, for the same reason as in `gather`.
            let rank = builder.shape(step.input(0)?)?.len() as i64;
            let axes =
                builder.known_int64s(axes).ok_or_else(|| step.refuse("computes its axes"))?;
            let begin = axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis });
            let places: Vec<i64> = begin.clone().chain(begin.map(|axis| axis + rank)).collect();
            let (places, none) =
                (builder.int64s(&places), builder.int64s(&vec![0; 2 * rank as usize]));
            let axis = vec![AttributeProto::int("axis", 0)];
            builder.op_with("ScatterElements", &[&none, &places, &opposite], axis)
        }
        None => opposite,
    };
    let gradient = builder.op("Pad", &[step.gradient()?, &pads]);
    Ok(step.only_first(gradient))
}

/// `Gather` of one place, as exporters take a token or one of q, k and v apart: zeros around its
/// gradient. Several places go back one by one.
pub(super) fn gather(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let (input, places) = (step.input(0)?, step.input(1)?);
    let place = match (builder.known_int64s(places).as_deref(), builder.shape(places)) {
        (Some(&[place]), Ok([] | [1])) => place,
        _ => return scatter_back(builder, step),
    };
    let rank = builder.shape(input)?.len() as i64;
    let axis = step.node.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    let axes = builder.int64s(&[axis]);
    let gradient = match builder.shape(places)? {
        [] => builder.op("Unsqueeze", &[step.gradient()?, &axes]),
        _ => step.gradient()?.to_owned(),
    };
    // Taken at run time, since the axis may be the batch's.
    let size = builder.size_along(input, axis);
    let (before, after) = if place < 0 {
        let (offset, after) = (builder.int64s(&[place]), builder.int64s(&[-1 - place]));
        (builder.add(&size, &offset), after)
    } else {
        let (before, own) = (builder.int64s(&[place]), builder.int64s(&[place + 1]));
        (before, builder.sub(&size, &own))
    };
    // One entry an axis at both ends. `Pad` would take this axis alone, but ONNX Runtime 1.32 mixes
    // up such pads when it moves a `Transpose` past them.
    let zeros =
        |builder: &mut GraphBuilder<'_>, count: i64| builder.int64s(&vec![0; count as usize]);
    let (first, between) = (zeros(builder, axis), zeros(builder, rank - 1));
    let last = zeros(builder, rank - 1 - axis);
    let pads = [&first, &before, &between, &after, &last].map(String::as_str);
    let pads = builder.op_with("Concat", &pads, vec![AttributeProto::int("axis", 0)]);
    let gradient = builder.op("Pad", &[&gradient, &pads]);
    Ok(step.only_first(gradient))
}

/// `TopK`'s values came from the places that its second output names.
pub(super) fn top_k(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let places = step.node.output.get(1).filter(|name| !name.is_empty());
    let places = places.ok_or_else(|| step.refuse("hides its places"))?;
    let zeros = builder.zeros_like(step.input(0)?);
    let axis = vec![AttributeProto::int("axis", step.node.int("axis", -1))];
    let gradient = builder.op_with("ScatterElements", &[&zeros, places, step.gradient()?], axis);
    Ok(step.only_first(gradient))
}

/// Updates take the gradient of the places that they went to; the data keep the rest, or with
/// `reduction="add"` all of it.
fn scatter(
    builder: &mut GraphBuilder<'_>,
    step: &VjpContext<'_>,
    gather: &str,
    attributes: &[AttributeProto],
) -> Gradients {
    let gradient = step.gradient()?;
    let places = step.input(1)?;
    let adds = match step.node.string("reduction", "none") {
        "none" => false,
        "add" => true,
        _ => return Err(step.refuse("reduces in a way that has no rule")),
    };
    let mut gradients = vec![None; step.node.input.len()];
    if step.wants(0) {
        gradients[0] = Some(if adds {
            gradient.to_owned()
        } else {
            let zeros = builder.zeros_like(step.input(2)?);
            builder.op_with(step.node.op(), &[gradient, places, &zeros], attributes.to_vec())
        });
    }
    if step.wants(2) {
        gradients[2] = Some(builder.op_with(gather, &[gradient, places], attributes.to_vec()));
    }
    Ok(gradients)
}

pub(super) fn scatter_elements(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    scatter(
        builder,
        step,
        "GatherElements",
        &[AttributeProto::int("axis", step.node.int("axis", 0))],
    )
}

pub(super) fn scatter_nd(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    scatter(builder, step, "GatherND", &[])
}

/// The part of a matrix that was kept gets its gradient, the rest zero.
pub(super) fn trilu(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let mut inputs = vec![step.gradient()?];
    inputs.extend(step.node.input_name(1));
    let gradient = builder.op_with("Trilu", &inputs, step.node.attribute.clone());
    Ok(step.only_first(gradient))
}

/// A number takes part in all sums after it, so its gradient is the sum from behind.
pub(super) fn cumulative_sum(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let attributes = vec![
        AttributeProto::int("exclusive", step.node.int("exclusive", 0)),
        AttributeProto::int("reverse", 1 - step.node.int("reverse", 0)),
    ];
    let gradient = builder.op_with("CumSum", &[step.gradient()?, step.input(1)?], attributes);
    Ok(step.only_first(gradient))
}
