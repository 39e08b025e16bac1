//! Convolutions backwards.
//!
//! The gradient of a convolution's input is the transposed convolution of the
//! gradient of its output. With stride 1 that is a plain convolution with the kernel
//! flipped and its channels exchanged, which ONNX Runtime does half as fast again as
//! its `ConvTranspose`; the flipped kernel is folded to a constant when the session
//! is made. One of 1×1 is a product of matrices. With other strides `ConvTranspose` reads the
//! kernel as it is.
//!
//! Weights need a gradient where a network makes them for each image (CondConv, dynamic
//! convolutions, cross-correlation).

use super::context::{InputGradients, VjpContext};
use super::window::Window;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// A node with a group count besides.
fn grouped(mut attributes: Vec<AttributeProto>, group: i64) -> Vec<AttributeProto> {
    attributes.push(AttributeProto::int("group", group));
    attributes
}

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
        gradients[0] = Some(of_input(builder, ctx, &window, gradient)?);
    }
    if ctx.needs_grad(1) {
        gradients[1] = Some(of_weight(builder, &window, [x, gradient], [input, output], group));
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(of_bias(builder, gradient, output.len()));
    }
    Ok(gradients)
}

fn of_input(
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
    Ok(match as_convolution(window, input, output) {
        Some(attributes) => {
            let turned = exchange_channels(builder, weight, kernel, group);
            let flipped = flip(builder, &turned, &kernel[2..]);
            builder.op_with("Conv", &[gradient, &flipped], grouped(attributes, group))
        }
        None => {
            let attributes = grouped(window.transposed(input, output), group);
            builder.op_with("ConvTranspose", &[gradient, weight], attributes)
        }
    })
}

/// `[M, C/g, k…]`: each weight is a tap that met, at every place of the output, the input a stride
/// farther on, so the gradient of all of them is a convolution of the input with the output's
/// gradient as its kernel: images and channels change places, strides and dilations too. `maps` are
/// the input `[N, C, …]` and the gradient `[N, M, …]`, `sizes` those of both.
fn of_weight(
    builder: &mut GraphBuilder,
    window: &Window,
    maps: [&str; 2],
    sizes: [&[i64]; 2],
    group: i64,
) -> String {
    let ([x, gradient], [input, output]) = (maps, sizes);
    let axes = window.kernel.len() as i64;
    let spatial = |from: i64| (from..from + axes).collect::<Vec<_>>();
    let turn = |builder: &mut GraphBuilder, tensor: &str, order: &[i64]| {
        let order = [order, &spatial(order.len() as i64)].concat();
        builder.op_with("Transpose", &[tensor], vec![AttributeProto::ints("perm", order)])
    };
    let of_group = input[1] / group;
    // [N, g·C/g, …] to [C/g, g·N, …]: a group's images are its channels.
    let split = builder.reshape(x, &[&[-1, group, of_group], &input[2..]].concat());
    let turned = turn(builder, &split, &[2, 1, 0]);
    let x = builder.reshape(&turned, &[&[of_group, -1], &input[2..]].concat());
    let kernel = turn(builder, gradient, &[1, 0]);
    let attributes = vec![
        AttributeProto::ints("kernel_shape", output[2..].to_vec()),
        AttributeProto::ints("strides", window.dilations.clone()),
        AttributeProto::ints("dilations", window.strides.clone()),
        AttributeProto::ints("pads", [&window.pads_begin[..], &window.pads_end].concat()),
    ];
    let taps = builder.op_with("Conv", &[&x, &kernel], grouped(attributes, group));
    // Rows behind the last window give taps that the kernel has not.
    let (starts, ends) = (builder.int64s(&vec![0; axes as usize]), builder.int64s(&window.kernel));
    let places = builder.int64s(&spatial(2));
    let taps = builder.op("Slice", &[&taps, &starts, &ends, &places]);
    turn(builder, &taps, &[1, 0])
}

/// `[M]`: all that its channel has.
fn of_bias(builder: &mut GraphBuilder, gradient: &str, rank: usize) -> String {
    let others: Vec<i64> = (0..rank as i64).filter(|&axis| axis != 1).collect();
    builder.reduce_sum(gradient, &others, false)
}

/// Whether a convolution looks at one place only, and at every one.
fn is_pointwise(window: &Window, group: i64) -> bool {
    let is = |values: &[i64], value: i64| values.iter().all(|&other| other == value);
    group == 1
        && is(&window.kernel, 1)
        && is(&window.strides, 1)
        && is(&window.pads_begin, 0)
        && is(&window.pads_end, 0)
}

/// A product of matrices, the places being columns. ONNX Runtime would do a convolution in a layout
/// of its own, and copy every map of the backward pass there and back.
fn pointwise(
    builder: &mut GraphBuilder,
    gradient: &str,
    weight: &str,
    sizes: &[i64],
    input: &[i64],
) -> String {
    let matrix = builder.reshape(weight, &sizes[..2]);
    let turned =
        builder.op_with("Transpose", &[&matrix], vec![AttributeProto::ints("perm", [1, 0])]);
    let columns = builder.reshape(gradient, &[0, sizes[0], -1]);
    let product = builder.op("MatMul", &[&turned, &columns]);
    builder.reshape(&product, &[&[0, sizes[1]], input].concat())
}

/// The padding of the plain convolution that goes back through one of stride 1; `None` where there
/// is none.
fn as_convolution(window: &Window, input: &[i64], output: &[i64]) -> Option<Vec<AttributeProto>> {
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

/// `[M, C/g, k…]` to `[C, M/g, k…]`: within each group, outputs and inputs change places.
fn exchange_channels(
    builder: &mut GraphBuilder,
    weight: &str,
    sizes: &[i64],
    group: i64,
) -> String {
    let (outputs, inputs, kernel) = (sizes[0] / group, sizes[1], &sizes[2..]);
    let axes = kernel.len() as i64;
    if group == 1 {
        let order: Vec<i64> = [1, 0].into_iter().chain(2..2 + axes).collect();
        return builder.op_with("Transpose", &[weight], vec![AttributeProto::ints("perm", order)]);
    }
    if outputs == 1 && inputs == 1 {
        return weight.to_owned();
    }
    let split = builder.reshape(weight, &[&[group, outputs, inputs], kernel].concat());
    let order: Vec<i64> = [0, 2, 1].into_iter().chain(3..3 + axes).collect();
    let turned = builder.op_with("Transpose", &[&split], vec![AttributeProto::ints("perm", order)]);
    builder.reshape(&turned, &[&[group * inputs, outputs], kernel].concat())
}

/// Turns a kernel round along every spatial axis.
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

/// The transposed convolution's gradient is the convolution with the same kernel; that of its
/// weights is the convolution's, with input and output in each other's place.
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
        gradients[1] = Some(of_weight(builder, &window, [gradient, x], [output, input], group));
    }
    if ctx.needs_grad(2) {
        gradients[2] = Some(of_bias(builder, gradient, output.len()));
    }
    Ok(gradients)
}
