//! Operators that change the element type, the shape or the order of the elements: `∂L/∂x` is
//! `∂L/∂y` with the change undone.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::dtype::is_float;
use crate::proto::AttributeProto;

/// `∂L/∂x = ∂L/∂y`.
pub(super) fn identity(_: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    Ok(ctx.first_input(ctx.grad_output()?.to_owned()))
}

/// `∂L/∂x = ∂L/∂y`, as in inference. In training mode the mask would differ from run to run.
pub(super) fn dropout(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx
        .node
        .input_name(2)
        .is_some_and(|training| ctx.known_int64s(training).as_deref() != Some(&[0]))
    {
        return Err(ctx.unsupported("is in training mode"));
    }
    identity(builder, ctx)
}

/// `∂L/∂x = ∂L/∂y` in the shape of `x`.
pub(super) fn reshape(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.reshape_like(ctx.grad_output()?, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y` in the element type of `x`.
///
/// A cast to integers is not differentiable and never gets here. For a cast from integers (the
/// exact sums of `ConvInteger`) the gradient stays float32.
pub(super) fn cast(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if !is_float(ctx.element_type(ctx.input(0)?)) {
        return identity(builder, ctx);
    }
    let gradient = builder.op("CastLike", &[ctx.grad_output()?, ctx.input(0)?]);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x` is `∂L/∂y` with the inverse permutation.
pub(super) fn transpose(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rank = ctx.shape(ctx.input(0)?)?.len();
    let order =
        ctx.node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let mut inverse = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        let entry = usize::try_from(from).ok().and_then(|from| inverse.get_mut(from));
        *entry.ok_or_else(|| ctx.unsupported("has an invalid permutation"))? = to as i64;
    }
    let gradient = builder.transpose(ctx.grad_output()?, inverse);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = ∂L/∂y`, summed over the axes along which `x` was broadcast.
pub(super) fn expand(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = ctx.unbroadcast(builder, ctx.grad_output()?, ctx.input(0)?, ctx.output())?;
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = DepthToSpace(∂L/∂y)`. Both have the same `mode` since opset 28; before it was always
/// `DCR`.
pub(super) fn space_to_depth(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let block = AttributeProto::int("blocksize", ctx.node.int("blocksize", 1));
    let mode = AttributeProto::string("mode", ctx.node.string("mode", "DCR"));
    let gradient = builder.op_with("DepthToSpace", &[ctx.grad_output()?], vec![block, mode]);
    Ok(ctx.first_input(gradient))
}

/// `∂L/∂x = SpaceToDepth(∂L/∂y)`. In mode `CRD` the result's channels are transposed, because
/// `SpaceToDepth` before opset 28 knows `DCR` only.
pub(super) fn depth_to_space(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let size = ctx.node.int("blocksize", 1);
    let block = AttributeProto::int("blocksize", size);
    let mut gradient = builder.op_with("SpaceToDepth", &[ctx.grad_output()?], vec![block]);
    if ctx.node.string("mode", "DCR") == "CRD" {
        let shape = ctx.shape(ctx.input(0)?)?;
        let (channels, height, width) = (shape[1] / (size * size), shape[2], shape[3]);
        let split = builder.reshape(&gradient, &[-1, size * size, channels, height, width]);
        let transposed = builder.transpose(&split, [0, 2, 1, 3, 4]);
        gradient = builder.reshape_like(&transposed, ctx.input(0)?);
    }
    Ok(ctx.first_input(gradient))
}
