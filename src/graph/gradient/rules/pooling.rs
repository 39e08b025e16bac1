//! Pooling backwards.

use super::convolution::Window;
use super::{Emit, Gradients, Step};
use crate::graph::proto::AttributeProto;

/// The places of the maxima are found again by a `MaxPool` that hands out its indices: only the
/// backward pass pays for them, the forward pass keeps the runtime's fastest kernel. Of equal
/// values the first is taken.
pub(super) fn max(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    // Its own order of storage is for the indices that the forward pass may hand out.
    let attributes =
        step.node.attribute.iter().filter(|attribute| attribute.name() != "storage_order");
    let indices = emit.second_output("MaxPool", &[input], attributes.cloned().collect());
    let places = emit.reshape(&indices, &[-1]);
    let gradient = scatter_add(emit, step.gradient()?, &places, input);
    Ok(step.only_first(gradient))
}

/// Adds each number of `gradient` at its place in a tensor of the shape of `input`.
pub(super) fn scatter_add(
    emit: &mut Emit<'_>,
    gradient: &str,
    places: &str,
    input: &str,
) -> String {
    let zeros = emit.zeros_like(input);
    let flat = emit.reshape(&zeros, &[-1]);
    let updates = emit.reshape(gradient, &[-1]);
    let attributes =
        vec![AttributeProto::int("axis", 0), AttributeProto::string("reduction", "add")];
    let scattered = emit.op_with("ScatterElements", &[&flat, places, &updates], attributes);
    emit.reshape_like(&scattered, input)
}

/// Each place gets its share from every window that it lies in: a depthwise transposed convolution
/// with a kernel of ones, after each window's gradient is divided by the places that it counted.
pub(super) fn average(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let (input, output) = (emit.shape(step.input(0)?)?, emit.shape(step.output())?);
    let kernel =
        step.node.ints("kernel_shape").ok_or_else(|| step.refuse("has no kernel_shape"))?;
    if input.len() < 3 || output.len() != input.len() || kernel.len() + 2 != input.len() {
        return Err(step.refuse("has shapes that are not a pooling's"));
    }
    let (channels, input, output) = (input[1], &input[2..], &output[2..]);
    let window = Window::read(step.node, kernel, input, output);
    let padding_counts = step.node.int("count_include_pad", 0) != 0;

    let shares = shares(&window, input, output, padding_counts);
    let shares = emit.float32s(&[&[1, 1], output].concat(), &shares);
    let shared = emit.mul(step.gradient()?, &shares);

    let window = window.within(input);
    let size = window.kernel.iter().product::<i64>() * channels;
    let ones =
        emit.float32s(&[&[channels, 1], &window.kernel[..]].concat(), &vec![1.0; size as usize]);
    let mut attributes = window.transposed(input, output);
    attributes.push(AttributeProto::int("group", channels));
    let gradient = emit.op_with("ConvTranspose", &[&shared, &ones], attributes);
    Ok(step.only_first(gradient))
}

/// For each window, one over the number of places that it averages, `[oh, ow]` flattened.
fn shares(window: &Window, input: &[i64], output: &[i64], padding_counts: bool) -> Vec<f32> {
    let counts: Vec<Vec<i64>> = (0..input.len())
        .map(|axis| {
            let (low, high) = if padding_counts {
                (-window.pads_begin[axis], input[axis] + window.pads_end[axis])
            } else {
                (0, input[axis])
            };
            (0..output[axis])
                .map(|place| {
                    let start = place * window.strides[axis] - window.pads_begin[axis];
                    let taps =
                        (0..window.kernel[axis]).map(|tap| start + tap * window.dilations[axis]);
                    taps.filter(|tap| (low..high).contains(tap)).count() as i64
                })
                .collect()
        })
        .collect();
    let mut shares = vec![1.0];
    for axis in counts {
        shares = shares
            .iter()
            .flat_map(|share| axis.iter().map(move |&count| share / count.max(1) as f32))
            .collect();
    }
    shares
}

pub(super) fn global_average(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let places: i64 = emit.shape(step.input(0)?)?.iter().skip(2).product();
    let share = emit.scale(step.gradient()?, 1.0 / places as f32);
    let gradient = emit.expand_like(&share, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// The first of the largest places takes it all.
pub(super) fn global_max(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let input = step.input(0)?;
    let rows = emit.reshape(input, &[0, 0, -1]);
    let attributes = vec![AttributeProto::int("axis", 2), AttributeProto::int("keepdims", 1)];
    let place = emit.op_with("ArgMax", &[&rows], attributes);
    let zeros = emit.zeros_like(&rows);
    let gradient = emit.reshape(step.gradient()?, &[0, 0, 1]);
    let axis = vec![AttributeProto::int("axis", 2)];
    let scattered = emit.op_with("ScatterElements", &[&zeros, &place, &gradient], axis);
    let gradient = emit.reshape_like(&scattered, input);
    Ok(step.only_first(gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::NodeProto;

    #[test]
    fn windows_over_the_edge_count_what_they_cover() {
        let node = NodeProto::new("AveragePool", &["x"], &["y"])
            .with(AttributeProto::ints("pads", [1, 1]))
            .with(AttributeProto::ints("strides", [2]));
        let window = Window::read(&node, &[3], &[4], &[2]);
        assert_eq!(shares(&window, &[4], &[2], false), [0.5, 1.0 / 3.0]);
        assert_eq!(shares(&window, &[4], &[2], true), [1.0 / 3.0, 1.0 / 3.0]);
    }
}
