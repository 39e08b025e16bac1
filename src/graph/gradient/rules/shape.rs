//! Operators that give the same numbers another shape: the way back is the other way round.

use super::{Emit, Gradients, Step};
use crate::graph::proto::AttributeProto;
use crate::graph::types::is_float;

pub(super) fn identity(_: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    Ok(step.only_first(step.gradient()?.to_owned()))
}

/// What a trained model drops is nothing. In training mode it would be another part at every run.
pub(super) fn dropout(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    if step
        .node
        .input_name(2)
        .is_some_and(|training| emit.known_int64s(training).as_deref() != Some(&[0]))
    {
        return Err(step.refuse("is in training mode"));
    }
    identity(emit, step)
}

pub(super) fn reshape(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let gradient = emit.reshape_like(step.gradient()?, step.input(0)?);
    Ok(step.only_first(gradient))
}

/// To floats; a cast to integers cuts the gradient and never gets here. From integers (exact sums,
/// as `ConvInteger` gives them) the gradient stays one of floats. Of `CastLike`'s second input
/// nothing but the type is read.
pub(super) fn cast(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    if !is_float(emit.element_type(step.input(0)?)) {
        return identity(emit, step);
    }
    let gradient = emit.op("CastLike", &[step.gradient()?, step.input(0)?]);
    Ok(step.only_first(gradient))
}

pub(super) fn transpose(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let rank = emit.shape(step.input(0)?)?.len();
    let order =
        step.node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let mut inverse = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        let place = usize::try_from(from).ok().and_then(|from| inverse.get_mut(from));
        *place.ok_or_else(|| step.refuse("has an impossible permutation"))? = to as i64;
    }
    let gradient =
        emit.op_with("Transpose", &[step.gradient()?], vec![AttributeProto::ints("perm", inverse)]);
    Ok(step.only_first(gradient))
}

pub(super) fn expand(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let gradient = emit.unbroadcast(step.gradient()?, step.input(0)?, step.output())?;
    Ok(step.only_first(gradient))
}

/// Opset 28 brought it the mode `CRD`, too.
pub(super) fn space_to_depth(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let block = AttributeProto::int("blocksize", step.node.int("blocksize", 1));
    let mode = AttributeProto::string("mode", step.node.string("mode", "DCR"));
    let gradient = emit.op_with("DepthToSpace", &[step.gradient()?], vec![block, mode]);
    Ok(step.only_first(gradient))
}

/// In mode `CRD` the channels of a block stand together; before opset 28 `SpaceToDepth` only knows
/// the other order.
pub(super) fn depth_to_space(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    let size = step.node.int("blocksize", 1);
    let block = AttributeProto::int("blocksize", size);
    let mut gradient = emit.op_with("SpaceToDepth", &[step.gradient()?], vec![block]);
    if step.node.string("mode", "DCR") == "CRD" {
        let shape = emit.shape(step.input(0)?)?;
        let (channels, height, width) = (shape[1] / (size * size), shape[2], shape[3]);
        let split = emit.reshape(&gradient, &[-1, size * size, channels, height, width]);
        let order = AttributeProto::ints("perm", [0, 2, 1, 3, 4]);
        let turned = emit.op_with("Transpose", &[&split], vec![order]);
        gradient = emit.reshape_like(&turned, step.input(0)?);
    }
    Ok(step.only_first(gradient))
}
