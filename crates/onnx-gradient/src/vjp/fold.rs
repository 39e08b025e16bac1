//! `Col2Im`, which adds each tap of each window to the image.

use super::context::{InputGradients, VjpContext};
use super::window::Window;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// `∂L/∂x[n, c·taps + t, w]` is `∂L/∂y` at the position that tap `t` of window `w` covers. A
/// depthwise convolution reads it, with one kernel for each tap that is 1 at the tap and 0
/// elsewhere: `[N, C, …]` to `[N, C·taps, windows]`.
pub(super) fn col2im(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let (columns, image) = (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?);
    let kernel = ctx
        .known_int64s(ctx.input(2)?)
        .ok_or_else(|| ctx.unsupported("has windows of computed size"))?;
    if columns.len() != 3 || image.len() != kernel.len() + 2 {
        return Err(ctx.unsupported("has shapes that are not a folding's"));
    }
    let (channels, spatial) = (image[1], &image[2..]);
    // The output size serves `auto_pad` only, which Col2Im does not have.
    let window = Window::read(ctx.node, &kernel, spatial, spatial);
    let taps: i64 = kernel.iter().product();
    let ones: Vec<f32> = (0..channels * taps * taps)
        .map(|at| if at / taps % taps == at % taps { 1.0 } else { 0.0 })
        .collect();
    let ones = builder.float32s(&[&[channels * taps, 1], &kernel[..]].concat(), &ones);
    let attributes = vec![
        AttributeProto::ints("kernel_shape", kernel),
        AttributeProto::ints("strides", window.strides),
        AttributeProto::ints("dilations", window.dilations),
        AttributeProto::ints("pads", [window.pads_begin, window.pads_end].concat()),
        AttributeProto::int("group", channels),
    ];
    let gradient = builder.op_with("Conv", &[ctx.grad_output()?, &ones], attributes);
    let gradient = builder.reshape(&gradient, &[0, channels * taps, -1]);
    Ok(ctx.first_input(gradient))
}
