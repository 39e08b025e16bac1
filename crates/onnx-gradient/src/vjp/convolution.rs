//! Convolution and transposed convolution, with `g` groups: `x` `[N, C, …]`, `W` `[M, C/g, k…]`,
//! `b` `[M]`, `y` `[N, M, …]`.
//!
//! `∂L/∂x` is the transposed convolution of `∂L/∂y` with `W`. With stride 1 that is a convolution
//! with the flipped kernel and its channels swapped, for which ONNX Runtime takes two thirds of the
//! time of its `ConvTranspose`; the flipped kernel is folded to a constant when the session is
//! made. A 1×1 kernel needs a matrix product only.
//!
//! `∂L/∂W` and `∂L/∂b` are for networks that compute weights for each image: CondConv, dynamic
//! convolutions, cross-correlation.

use super::context::{InputGradients, VjpContext};
use super::window::Window;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// Adds a `group` attribute.
fn with_group(mut attributes: Vec<AttributeProto>, group: i64) -> Vec<AttributeProto> {
    attributes.push(AttributeProto::int("group", group));
    attributes
}

/// `∂L/∂x = conv_transpose(∂L/∂y, W)`; for `∂L/∂W` see [`weight_gradient`]; `∂L/∂b = Σ ∂L/∂y` over
/// all axes but the channels.
pub(super) fn conv(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = ctx.grad_output()?;
    let (x, weight) = (ctx.input(0)?, ctx.input(1)?);
    let (input, output, kernel) = (ctx.shape(x)?, ctx.shape(ctx.output())?, ctx.shape(weight)?);
    if kernel.len() < 3 || input.len() != kernel.len() || output.len() != kernel.len() {
        return Err(ctx.unsupported("has shapes that are not a convolution's"));
    }
    let group = ctx.node.int("group", 1);
    let window = Window::read(ctx.node, &kernel[2..], &input[2..], &output[2..]);
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        gradients[0] = Some(input_gradient(builder, ctx, &window, gradient)?);
    }
    if ctx.needs_grad(1) {
        gradients[1] =
            Some(weight_gradient(builder, &window, [x, gradient], [input, output], group));
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(bias_gradient(builder, gradient, output.len()));
    }
    Ok(gradients)
}

/// `∂L/∂x`, of the shape `[N, C, …]`.
fn input_gradient(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    window: &Window,
    gradient: &str,
) -> Result<String, Error> {
    let weight = ctx.input(1)?;
    let (input, output, kernel) =
        (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?, ctx.shape(weight)?);
    let (input, output) = (&input[2..], &output[2..]);
    let group = ctx.node.int("group", 1);
    if is_pointwise(window, group) {
        return Ok(pointwise(builder, gradient, weight, kernel, input));
    }
    Ok(match flipped_convolution(window, input, output) {
        Some(attributes) => {
            let swapped = swap_channels(builder, weight, kernel, group);
            let flipped = flip(builder, &swapped, &kernel[2..]);
            builder.op_with("Conv", &[gradient, &flipped], with_group(attributes, group))
        }
        None => {
            let attributes = with_group(window.transposed(input, output), group);
            builder.op_with("ConvTranspose", &[gradient, weight], attributes)
        }
    })
}

/// `∂L/∂W`, of the shape `[M, C/g, k…]`.
///
/// A weight at offset `t` of the kernel meets, at each output position `p`, the input at
/// `p·stride + t·dilation − pad`. So `∂L/∂W` is a convolution of the input with `∂L/∂y` as its
/// kernel, in which batch and channels swap roles, and strides and dilations too. `maps` are the
/// input `[N, C, …]` and the gradient `[N, M, …]`, and `sizes` are their shapes.
fn weight_gradient(
    builder: &mut GraphBuilder,
    window: &Window,
    maps: [&str; 2],
    sizes: [&[i64]; 2],
    group: i64,
) -> String {
    let ([x, gradient], [input, output]) = (maps, sizes);
    let axes = window.kernel.len() as i64;
    let spatial = |from: i64| (from..from + axes).collect::<Vec<_>>();
    let transpose = |builder: &mut GraphBuilder, tensor: &str, order: &[i64]| {
        let order = [order, &spatial(order.len() as i64)].concat();
        builder.transpose(tensor, order)
    };
    let group_channels = input[1] / group;
    // [N, g·C/g, …] to [C/g, g·N, …]: the images of a group become its channels.
    let split = builder.reshape(x, &[&[-1, group, group_channels], &input[2..]].concat());
    let transposed = transpose(builder, &split, &[2, 1, 0]);
    let x = builder.reshape(&transposed, &[&[group_channels, -1], &input[2..]].concat());
    let kernel = transpose(builder, gradient, &[1, 0]);
    let attributes = vec![
        AttributeProto::ints("kernel_shape", output[2..].to_vec()),
        AttributeProto::ints("strides", window.dilations.clone()),
        AttributeProto::ints("dilations", window.strides.clone()),
        AttributeProto::ints("pads", [&window.pads_begin[..], &window.pads_end].concat()),
    ];
    let taps = builder.op_with("Conv", &[&x, &kernel], with_group(attributes, group));
    // Rows after the last window give taps beyond the kernel.
    let (starts, ends) = (builder.int64s(&vec![0; axes as usize]), builder.int64s(&window.kernel));
    let axes = builder.int64s(&spatial(2));
    let taps = builder.op("Slice", &[&taps, &starts, &ends, &axes]);
    transpose(builder, &taps, &[1, 0])
}

/// `∂L/∂b`, of the shape `[M]`.
fn bias_gradient(builder: &mut GraphBuilder, gradient: &str, rank: usize) -> String {
    let others: Vec<i64> = (0..rank as i64).filter(|&axis| axis != 1).collect();
    builder.reduce_sum(gradient, &others, false)
}

/// True for a 1×1 convolution of all positions.
fn is_pointwise(window: &Window, group: i64) -> bool {
    let is = |values: &[i64], value: i64| values.iter().all(|&other| other == value);
    group == 1
        && is(&window.kernel, 1)
        && is(&window.strides, 1)
        && is(&window.pads_begin, 0)
        && is(&window.pads_end, 0)
}

/// `Wᵀ·∂L/∂y`, with the positions as columns. As a convolution, ONNX Runtime would compute it in a
/// channel layout of its own and copy every map of the backward pass there and back.
fn pointwise(
    builder: &mut GraphBuilder,
    gradient: &str,
    weight: &str,
    sizes: &[i64],
    input: &[i64],
) -> String {
    let matrix = builder.reshape(weight, &sizes[..2]);
    let transposed = builder.transpose(&matrix, [1, 0]);
    let columns = builder.reshape(gradient, &[0, sizes[0], -1]);
    let product = builder.op("MatMul", &[&transposed, &columns]);
    builder.reshape(&product, &[&[0, sizes[1]], input].concat())
}

/// Attributes of the stride-1 convolution with the flipped kernel that leads from `output` back to
/// `input`; `None` when there is none.
fn flipped_convolution(
    window: &Window,
    input: &[i64],
    output: &[i64],
) -> Option<Vec<AttributeProto>> {
    let axes = window.kernel.len();
    if window.strides.iter().any(|&stride| stride != 1) {
        return None;
    }
    let begin: Vec<i64> =
        (0..axes).map(|axis| window.reach(axis) - 1 - window.pads_begin[axis]).collect();
    let end: Vec<i64> = (0..axes)
        .map(|axis| input[axis] - (output[axis] + begin[axis] - window.reach(axis) + 1))
        .collect();
    if begin.iter().chain(&end).any(|&pad| pad < 0) {
        return None;
    }
    Some(vec![
        AttributeProto::ints("kernel_shape", window.kernel.clone()),
        AttributeProto::ints("dilations", window.dilations.clone()),
        AttributeProto::ints("pads", [begin, end].concat()),
    ])
}

/// `[M, C/g, k…]` to `[C, M/g, k…]`: swaps output and input channels within each group.
fn swap_channels(builder: &mut GraphBuilder, weight: &str, sizes: &[i64], group: i64) -> String {
    let (outputs, inputs, kernel) = (sizes[0] / group, sizes[1], &sizes[2..]);
    let axes = kernel.len() as i64;
    if group == 1 {
        let order: Vec<i64> = [1, 0].into_iter().chain(2..2 + axes).collect();
        return builder.transpose(weight, order);
    }
    if outputs == 1 && inputs == 1 {
        return weight.to_owned();
    }
    let split = builder.reshape(weight, &[&[group, outputs, inputs], kernel].concat());
    let order: Vec<i64> = [0, 2, 1].into_iter().chain(3..3 + axes).collect();
    let transposed = builder.transpose(&split, order);
    builder.reshape(&transposed, &[&[group * inputs, outputs], kernel].concat())
}

/// Reverses a kernel along every spatial axis.
fn flip(builder: &mut GraphBuilder, weight: &str, kernel: &[i64]) -> String {
    let axes: Vec<i64> =
        (0..kernel.len()).filter(|&axis| kernel[axis] > 1).map(|axis| axis as i64 + 2).collect();
    if axes.is_empty() {
        return weight.to_owned();
    }
    let starts = builder.int64s(&vec![-1; axes.len()]);
    let ends = builder.int64s(&vec![i64::MIN; axes.len()]);
    let steps = builder.int64s(&vec![-1; axes.len()]);
    let axes = builder.int64s(&axes);
    builder.op("Slice", &[weight, &starts, &ends, &axes, &steps])
}

/// `∂L/∂x = conv(∂L/∂y, W)`, with the same attributes. `∂L/∂W` is that of the convolution, with
/// input and output swapped.
pub(super) fn conv_transpose(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx.node.string("auto_pad", "NOTSET") != "NOTSET" || ctx.node.ints("output_shape").is_some()
    {
        return Err(ctx.unsupported("derives its padding from its output shape"));
    }
    let gradient = ctx.grad_output()?;
    let (x, weight) = (ctx.input(0)?, ctx.input(1)?);
    let (input, output, kernel) = (ctx.shape(x)?, ctx.shape(ctx.output())?, ctx.shape(weight)?);
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        let names = ["kernel_shape", "strides", "dilations", "pads", "group"];
        let attributes = ctx.node.attributes(&names);
        gradients[0] = Some(builder.op_with("Conv", &[gradient, weight], attributes));
    }
    if ctx.needs_grad(1) {
        let window = Window::read(ctx.node, &kernel[2..], &output[2..], &input[2..]);
        let group = ctx.node.int("group", 1);
        gradients[1] =
            Some(weight_gradient(builder, &window, [gradient, x], [output, input], group));
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(bias_gradient(builder, gradient, output.len()));
    }
    Ok(gradients)
}
