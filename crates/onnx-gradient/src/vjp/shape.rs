//! Operators that give the same numbers another shape: the way back is the other way round.

use super::{Gradients, GraphBuilder, VjpContext};
use crate::dtype::is_float;
use crate::proto::AttributeProto;

pub(super) fn identity(_: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    Ok(step.only_first(step.gradient()?.to_owned()))
}

/// What a trained model drops is nothing. In training mode it would be another part at every run.
pub(super) fn dropout(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    if step
        .node
        .input_name(2)
        .is_some_and(|training| builder.known_int64s(training).as_deref() != Some(&[0]))
    {
        return Err(step.refuse("is in training mode"));
    }
    identity(builder, step)
}

pub(super) fn reshape(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = builder.reshape_like(step.gradient()?, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// To floats; a cast to integers cuts the gradient and never gets here. From integers (exact sums,
/// as `ConvInteger` gives them) the gradient stays one of floats. Of `CastLike`'s second input
/// nothing but the type is read.
pub(super) fn cast(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    if !is_float(builder.element_type(step.input(0)?)) {
        return identity(builder, step);
    }
    let gradient = builder.op("CastLike", &[step.gradient()?, step.input(0)?]);
    Ok(step.only_first(gradient))
}

pub(super) fn transpose(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let rank = builder.shape(step.input(0)?)?.len();
    let order =
        step.node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let mut inverse = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        let place = usize::try_from(from).ok().and_then(|from| inverse.get_mut(from));
        *place.ok_or_else(|| step.refuse("has an impossible permutation"))? = to as i64;
    }
    let gradient = builder.op_with(
        "Transpose",
        &[step.gradient()?],
        vec![AttributeProto::ints("perm", inverse)],
    );
    Ok(step.only_first(gradient))
}

pub(super) fn expand(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = builder.unbroadcast(step.gradient()?, step.input(0)?, step.output())?;
    Ok(step.only_first(gradient))
}

/// Opset 28 brought it the mode `CRD`, too.
pub(super) fn space_to_depth(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let block = AttributeProto::int("blocksize", step.node.int("blocksize", 1));
    let mode = AttributeProto::string("mode", step.node.string("mode", "DCR"));
    let gradient = builder.op_with("DepthToSpace", &[step.gradient()?], vec![block, mode]);
    Ok(step.only_first(gradient))
}

/// In mode `CRD` the channels of a block stand together; before opset 28 `SpaceToDepth` only knows
/// the other order.
pub(super) fn depth_to_space(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let size = step.node.int("blocksize", 1);
    let block = AttributeProto::int("blocksize", size);
    let mut gradient = builder.op_with("SpaceToDepth", &[step.gradient()?], vec![block]);
    if step.node.string("mode", "DCR") == "CRD" {
        let shape = builder.shape(step.input(0)?)?;
        let (channels, height, width) = (shape[1] / (size * size), shape[2], shape[3]);
        let split = builder.reshape(&gradient, &[-1, size * size, channels, height, width]);
        let order = AttributeProto::ints("perm", [0, 2, 1, 3, 4]);
        let turned = builder.op_with("Transpose", &[&split], vec![order]);
        gradient = builder.reshape_like(&turned, step.input(0)?);
    }
    Ok(step.only_first(gradient))
}
