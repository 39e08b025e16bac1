//! Operators that give the same numbers another shape: the way back is the other way round.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::dtype::is_float;
use crate::proto::AttributeProto;

pub(super) fn identity(_: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    Ok(ctx.first_input(ctx.grad_output()?.to_owned()))
}

/// What a trained model drops is nothing. In training mode it would be another part at every run.
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

pub(super) fn reshape(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = builder.reshape_like(ctx.grad_output()?, ctx.input(0)?);
    Ok(ctx.first_input(gradient))
}

/// To floats; a cast to integers cuts the gradient and never gets here. From integers (exact sums,
/// as `ConvInteger` gives them) the gradient stays one of floats. Of `CastLike`'s second input
/// nothing but the type is read.
pub(super) fn cast(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if !is_float(ctx.element_type(ctx.input(0)?)) {
        return identity(builder, ctx);
    }
    let gradient = builder.op("CastLike", &[ctx.grad_output()?, ctx.input(0)?]);
    Ok(ctx.first_input(gradient))
}

pub(super) fn transpose(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let rank = ctx.shape(ctx.input(0)?)?.len();
    let order =
        ctx.node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let mut inverse = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        let place = usize::try_from(from).ok().and_then(|from| inverse.get_mut(from));
        *place.ok_or_else(|| ctx.unsupported("has an impossible permutation"))? = to as i64;
    }
    let gradient = builder.op_with(
        "Transpose",
        &[ctx.grad_output()?],
        vec![AttributeProto::ints("perm", inverse)],
    );
    Ok(ctx.first_input(gradient))
}

pub(super) fn expand(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = ctx.unbroadcast(builder, ctx.grad_output()?, ctx.input(0)?, ctx.output())?;
    Ok(ctx.first_input(gradient))
}

/// Opset 28 brought it the mode `CRD`, too.
pub(super) fn space_to_depth(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let block = AttributeProto::int("blocksize", ctx.node.int("blocksize", 1));
    let mode = AttributeProto::string("mode", ctx.node.string("mode", "DCR"));
    let gradient = builder.op_with("DepthToSpace", &[ctx.grad_output()?], vec![block, mode]);
    Ok(ctx.first_input(gradient))
}

/// In mode `CRD` the channels of a block stand together; before opset 28 `SpaceToDepth` only knows
/// the other order.
pub(super) fn depth_to_space(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let size = ctx.node.int("blocksize", 1);
    let block = AttributeProto::int("blocksize", size);
    let mut gradient = builder.op_with("SpaceToDepth", &[ctx.grad_output()?], vec![block]);
    if ctx.node.string("mode", "DCR") == "CRD" {
        let shape = ctx.shape(ctx.input(0)?)?;
        let (channels, height, width) = (shape[1] / (size * size), shape[2], shape[3]);
        let split = builder.reshape(&gradient, &[-1, size * size, channels, height, width]);
        let order = AttributeProto::ints("perm", [0, 2, 1, 3, 4]);
        let turned = builder.op_with("Transpose", &[&split], vec![order]);
        gradient = builder.reshape_like(&turned, ctx.input(0)?);
    }
    Ok(ctx.first_input(gradient))
}
