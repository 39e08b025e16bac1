//! Operators that take parts of a tensor or put parts together.

use super::pooling::scatter_add;
use super::{Emit, Gradients, Step};
use crate::graph::proto::AttributeProto;

/// The way back through any operator that only picks numbers: run it on the numbers' own places,
/// and add each gradient at the place that its number came from.
pub(super) fn scatter_back(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    let size = emit.op("Size", &[input]);
    let (zero, one) = (emit.int64(0), emit.int64(1));
    let count = emit.op("Range", &[&zero, &size, &one]);
    let places = emit.reshape_like(&count, input);
    let mut inputs: Vec<&str> = step.node.input.iter().map(String::as_str).collect();
    inputs[0] = &places;
    let picked = emit.op_with(step.node.op(), &inputs, step.node.attribute.clone());
    let picked = emit.reshape(&picked, &[-1]);
    let gradient = scatter_add(emit, step.gradient()?, &picked, input);
    Ok(step.only_first(gradient))
}

/// With step 1 the rest is padded with zeros; other steps go back place by place.
pub(super) fn slice(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let Some(pads) = slice_as_padding(emit, step)? else { return scatter_back(emit, step) };
    let pads = emit.int64s(&pads);
    let gradient = emit.op("Pad", &[step.gradient()?, &pads]);
    Ok(step.only_first(gradient))
}

fn slice_as_padding(emit: &Emit<'_>, step: &Step<'_>) -> Result<Option<Vec<i64>>, String> {
    let known = |index: usize| step.node.input_name(index).map(|name| emit.known_int64s(name));
    let (Some(Some(starts)), Some(Some(ends))) = (known(1), known(2)) else { return Ok(None) };
    let sizes = emit.shape(step.input(0)?)?;
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
        // The batch is another size at run time than it was when it was measured.
        if axis == 0 {
            return Ok(None);
        }
        let place = |at: i64| if at < 0 { (at.saturating_add(size)).max(0) } else { at.min(size) };
        pads[axis] = place(start);
        pads[axis + rank] = size - place(end);
    }
    Ok(Some(pads))
}

/// Each part gets its stretch of the gradient.
pub(super) fn concat(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let rank = emit.shape(step.output())?.len() as i64;
    let axis = step.node.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    if axis == 0 {
        return Err(step.refuse("joins along the batch"));
    }
    let axis_name = emit.int64s(&[axis]);
    let mut gradients = Vec::with_capacity(step.node.input.len());
    let mut start = 0;
    for index in 0..step.node.input.len() {
        let size = emit.shape(step.input(index)?)?[axis as usize];
        gradients.push(if step.wants(index) {
            let (from, to) = (emit.int64s(&[start]), emit.int64s(&[start + size]));
            Some(emit.op("Slice", &[step.gradient()?, &from, &to, &axis_name]))
        } else {
            None
        });
        start += size;
    }
    Ok(gradients)
}

/// The parts are joined again, zeros where a part has no gradient.
pub(super) fn split(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let parts: Vec<String> = (step.node.output.iter().zip(&step.outputs))
        .map(|(output, gradient)| gradient.clone().unwrap_or_else(|| emit.zeros_like(output)))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = AttributeProto::int("axis", step.node.int("axis", 0));
    let gradient = emit.op_with("Concat", &parts, vec![axis]);
    Ok(step.only_first(gradient))
}

/// What was added is cut off again. Reflected and repeated edges go back place by place.
pub(super) fn pad(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    if step.node.string("mode", "constant") != "constant" {
        return scatter_back(emit, step);
    }
    let sizes = emit.shape(step.input(0)?)?;
    let rank = sizes.len();
    let pads = emit.known_int64s(step.input(1)?).ok_or_else(|| step.refuse("computes its pads"))?;
    let axes: Vec<i64> = match step.node.input_name(3) {
        Some(axes) => emit.known_int64s(axes).ok_or_else(|| step.refuse("computes its axes"))?,
        None => (0..rank as i64).collect(),
    };
    let count = axes.len();
    if pads.len() != 2 * count || pads.iter().any(|&pad| pad < 0) {
        return Err(step.refuse("cuts instead of padding"));
    }
    let padded: Vec<usize> =
        (0..count).filter(|&index| pads[index] != 0 || pads[index + count] != 0).collect();
    let axis_of = |index: usize| if axes[index] < 0 { axes[index] + rank as i64 } else { axes[index] };
    let starts: Vec<i64> = padded.iter().map(|&index| pads[index]).collect();
    let ends: Vec<i64> = padded.iter().map(|&index| pads[index] + sizes[axis_of(index) as usize]).collect();
    let cut: Vec<i64> = padded.iter().map(|&index| axis_of(index)).collect();
    let (starts, ends, cut) = (emit.int64s(&starts), emit.int64s(&ends), emit.int64s(&cut));
    let gradient = emit.op("Slice", &[step.gradient()?, &starts, &ends, &cut]);
    Ok(step.only_first(gradient))
}
