//! Resizing backwards.
//!
//! `Resize` is linear and works axis by axis: along an axis, the output is a matrix
//! times the input. The matrix is what `Resize` itself makes of the identity, so the
//! runtime's own coordinates, rounding and edges go into it; it is folded to a
//! constant when the session is made. Back leads its transpose.

use super::{Emit, Gradients, Step};
use crate::graph::proto::{AttributeProto, data_type};

pub(super) fn resize(emit: &mut Emit<'_>, step: &Step<'_>) -> Gradients {
    if step.node.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" {
        return Err(step.refuse("crops by a region of interest"));
    }
    if step.node.string("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(step.refuse("keeps the aspect ratio"));
    }
    let (from, to) = (emit.shape(step.input(0)?)?, emit.shape(step.output())?);
    let rank = from.len() as i64;
    let axes = step.node.ints("axes").map_or_else(|| (0..rank).collect(), <[i64]>::to_vec);
    let mut gradient = step.gradient()?.to_owned();
    for (entry, axis) in axes.into_iter().enumerate() {
        let axis = (if axis < 0 { axis + rank } else { axis }) as usize;
        if axis == 0 || from[axis] == to[axis] {
            continue;
        }
        let matrix = matrix(emit, step, entry as i64, from[axis], to[axis]);
        gradient = times_along(emit, &gradient, &matrix, axis, from.len());
    }
    Ok(step.only_first(gradient))
}

/// `[to, from]`: what the node makes of the rows of an identity. `entry` is the axis's place among
/// the scales.
fn matrix(emit: &mut Emit<'_>, step: &Step<'_>, entry: i64, from: i64, to: i64) -> String {
    let square = emit.int64s(&[from, from]);
    let zeros = emit.op("ConstantOfShape", &[&square]);
    let float = vec![AttributeProto::int("dtype", i64::from(data_type::FLOAT))];
    let identity = emit.op_with("EyeLike", &[&zeros], float);
    let kept = |name: &&str| step.node.attribute(name).cloned();
    let attributes = [
        "antialias",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "mode",
        "nearest_mode",
    ]
    .iter()
    .filter_map(kept)
    .collect();
    match step.node.input_name(2) {
        // The scale is not quite to/from where the output was rounded down, and coordinates go by
        // the scale.
        Some(scales) => {
            let (start, end, axis) =
                (emit.int64s(&[entry]), emit.int64s(&[entry + 1]), emit.int64s(&[0]));
            let own = emit.op("Slice", &[scales, &start, &end, &axis]);
            let one = emit.float32s(&[1], &[1.0]);
            let scales =
                emit.op_with("Concat", &[&own, &one], vec![AttributeProto::int("axis", 0)]);
            emit.op_with("Resize", &[&identity, "", &scales], attributes)
        }
        None => {
            let sizes = emit.int64s(&[to, from]);
            emit.op_with("Resize", &[&identity, "", "", &sizes], attributes)
        }
    }
}

/// The product of a tensor with a matrix along one axis.
fn times_along(
    emit: &mut Emit<'_>,
    tensor: &str,
    matrix: &str,
    axis: usize,
    rank: usize,
) -> String {
    if axis + 1 == rank {
        return emit.op("MatMul", &[tensor, matrix]);
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(axis, rank - 1);
    let turn = vec![AttributeProto::ints("perm", order)];
    let turned = emit.op_with("Transpose", &[tensor], turn.clone());
    let product = emit.op("MatMul", &[&turned, matrix]);
    emit.op_with("Transpose", &[&product], turn)
}
