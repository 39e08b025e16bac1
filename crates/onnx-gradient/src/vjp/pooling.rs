//! Pooling backwards.

use super::context::{InputGradients, VjpContext};
use super::scatter::scatter_add;
use super::window::Window;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// The places of the maxima are found again by a `MaxPool` that hands out its indices: only the
/// backward pass pays for them, the forward pass keeps the runtime's fastest kernel. Of equal
/// values the first is taken.
pub(super) fn max(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    // Its own order of storage is for the indices that the forward pass may hand out.
    let mut attributes = ctx.node.attribute.clone();
    attributes.retain(|attribute| attribute.name() != "storage_order");
    let indices = builder.second_output("MaxPool", &[input], attributes);
    let places = builder.reshape(&indices, &[-1]);
    let gradient = scatter_add(builder, ctx.grad_output()?, &places, input);
    Ok(ctx.first_input(gradient))
}

/// Each place gets its share from every window that it lies in: a depthwise transposed convolution
/// with a kernel of ones, after each window's gradient is divided by the places that it counted.
pub(super) fn average(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (input, output) = (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?);
    let kernel =
        ctx.node.ints("kernel_shape").ok_or_else(|| ctx.unsupported("has no kernel_shape"))?;
    if input.len() < 3 || output.len() != input.len() || kernel.len() + 2 != input.len() {
        return Err(ctx.unsupported("has shapes that are not a pooling's"));
    }
    let (channels, input, output) = (input[1], &input[2..], &output[2..]);
    let window = Window::read(ctx.node, kernel, input, output);
    let padding_counts = ctx.node.int("count_include_pad", 0) != 0;

    let shares = shares(&window, input, output, padding_counts);
    let shares = builder.float32s(&[&[1, 1], output].concat(), &shares);
    let shared = builder.mul(ctx.grad_output()?, &shares);

    let window = window.within(input);
    let size = window.kernel.iter().product::<i64>() * channels;
    let ones =
        builder.float32s(&[&[channels, 1], &window.kernel[..]].concat(), &vec![1.0; size as usize]);
    let mut attributes = window.transposed(input, output);
    attributes.push(AttributeProto::int("group", channels));
    let gradient = builder.op_with("ConvTranspose", &[&shared, &ones], attributes);
    Ok(ctx.first_input(gradient))
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

pub(super) fn global_average(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let places: i64 = ctx.shape(ctx.input(0)?)?.iter().skip(2).product();
    let share = builder.scale(ctx.grad_output()?, 1.0 / places as f32);
    let gradient = builder.expand_like(&share, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// The first of the largest places takes it all.
pub(super) fn global_max(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let rows = builder.reshape(input, &[0, 0, -1]);
    let attributes = vec![AttributeProto::int("axis", 2), AttributeProto::int("keepdims", 1)];
    let place = builder.op_with("ArgMax", &[&rows], attributes);
    let zeros = builder.zeros_like(&rows);
    let gradient = builder.reshape(ctx.grad_output()?, &[0, 0, 1]);
    let axis = vec![AttributeProto::int("axis", 2)];
    let scattered = builder.op_with("ScatterElements", &[&zeros, &place, &gradient], axis);
    let gradient = builder.reshape_like(&scattered, input);
    Ok(ctx.first_input(gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::NodeProto;

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
