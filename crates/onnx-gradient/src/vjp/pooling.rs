//! Pooling over windows and over whole maps.

use super::context::{InputGradients, VjpContext};
use super::scatter::scatter_add;
use super::ties::share_evenly;
use super::window::Window;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// `∂L/∂x` gets `∂L/∂y` at the position of each window's maximum; among equal values the first
/// counts: see [`super::ties`].
///
/// A second `MaxPool` with an output for its indices finds the maxima again. Only the backward pass
/// pays for the indices, and the forward pass keeps the runtime's fastest kernel.
pub(super) fn max(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    // The storage order would change the indices of this node, which are row-major here.
    let mut attributes = ctx.node.attribute.clone();
    attributes.retain(|attribute| attribute.name() != "storage_order");
    let indices = builder.second_output("MaxPool", &[input], attributes);
    let indices = builder.reshape(&indices, &[-1]);
    let gradient = scatter_add(builder, ctx.grad_output()?, &indices, input);
    Ok(ctx.first_input(gradient))
}

/// Each position gets `∂L/∂y / n` from every window that it lies in, where `n` is the number of
/// positions that the window averages: a depthwise transposed convolution with a kernel of ones.
pub(super) fn average(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (input, output) = (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?);
    let kernel =
        ctx.node.ints("kernel_shape").ok_or_else(|| ctx.unsupported("has no kernel_shape"))?;
    if input.len() < 3 || output.len() != input.len() || kernel.len() + 2 != input.len() {
        return Err(ctx.unsupported("has shapes that are not a pooling's"));
    }
    let (channels, input, output) = (input[1], &input[2..], &output[2..]);
    let window = Window::read(ctx.node, kernel, input, output);
    let include_padding = ctx.node.int("count_include_pad", 0) != 0;

    let shares = shares(&window, input, output, include_padding);
    let shares = builder.float32s(&[&[1, 1], output].concat(), &shares);
    let shared = builder.mul(ctx.grad_output()?, &shares);

    let window = window.within(input);
    let dims = [&[channels, 1], &window.kernel[..]].concat();
    let size = dims.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
    let size = size
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| ctx.unsupported("has a kernel that is too large"))?;
    let ones = builder.float32s(&dims, &vec![1.0; size]);
    let mut attributes = window.transposed(input, output);
    attributes.push(AttributeProto::int("group", channels));
    let gradient = builder.op_with("ConvTranspose", &[&shared, &ones], attributes);
    Ok(ctx.first_input(gradient))
}

/// `1/n` for each window, with `n` the number of positions that it averages; spatial shape of the
/// output, flattened.
fn shares(window: &Window, input: &[i64], output: &[i64], include_padding: bool) -> Vec<f32> {
    let counts: Vec<Vec<i64>> = (0..input.len())
        .map(|axis| {
            let (low, high) = if include_padding {
                (-window.pads_begin[axis], input[axis] + window.pads_end[axis])
            } else {
                (0, input[axis])
            };
            (0..output[axis])
                .map(|position| {
                    let start = position * window.strides[axis] - window.pads_begin[axis];
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

/// `∂L/∂x = ∂L/∂y / (H·W)` everywhere.
pub(super) fn global_average(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let positions: i64 = ctx.shape(ctx.input(0)?)?.iter().skip(2).product();
    let share = builder.scale(ctx.grad_output()?, 1.0 / positions as f32);
    let gradient = builder.expand_like(&share, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// The vjp of `ReduceMax` over all spatial axes, with its rule for ties: see [`super::ties`].
pub(super) fn global_max(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let input = ctx.input(0)?;
    let axes: Vec<i64> = (2..ctx.shape(input)?.len() as i64).collect();
    if axes.is_empty() {
        return Err(ctx.unsupported("has shapes that are not a pooling's"));
    }
    let gradient = share_evenly(builder, input, ctx.output(), ctx.grad_output()?, &axes);
    Ok(ctx.first_input(gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::NodeProto;

    #[test]
    fn a_window_over_the_edge_counts_padding_only_when_asked_to() {
        let node = NodeProto::new("AveragePool", &["x"], &["y"])
            .with(AttributeProto::ints("pads", [1, 1]))
            .with(AttributeProto::ints("strides", [2]));
        let window = Window::read(&node, &[3], &[4], &[2]);
        assert_eq!(shares(&window, &[4], &[2], false), [0.5, 1.0 / 3.0]);
        assert_eq!(shares(&window, &[4], &[2], true), [1.0 / 3.0, 1.0 / 3.0]);
    }
}
