//! Resizing backwards.
//!
//! `Resize` is linear and works axis by axis: along an axis, the output is a matrix
//! times the input. The matrix is what `Resize` itself makes of the identity, so the
//! runtime's own coordinates, rounding and edges go into it; it is folded to a
//! constant when the session is made. Back leads its transpose.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::proto::{AttributeProto, data_type};

pub(super) fn resize(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx.node.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" {
        return Err(ctx.unsupported("crops by a region of interest"));
    }
    if ctx.node.string("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(ctx.unsupported("keeps the aspect ratio"));
    }
    let (from, to) = (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?);
    let rank = from.len() as i64;
    let axes = ctx.node.ints("axes").map_or_else(|| (0..rank).collect(), <[i64]>::to_vec);
    let mut gradient = ctx.grad_output()?.to_owned();
    for (entry, axis) in axes.into_iter().enumerate() {
        let axis = (if axis < 0 { axis + rank } else { axis }) as usize;
        if axis == 0 || from[axis] == to[axis] {
            continue;
        }
        let matrix = matrix(builder, ctx, entry as i64, from[axis], to[axis]);
        gradient = times_along(builder, &gradient, &matrix, axis, from.len());
    }
    Ok(ctx.first_input(gradient))
}

/// `[to, from]`: what the node makes of the rows of an identity. `entry` is the axis's place among
/// the scales.
fn matrix(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    entry: i64,
    from: i64,
    to: i64,
) -> String {
    let square = builder.int64s(&[from, from]);
    let zeros = builder.op("ConstantOfShape", &[&square]);
    let float = vec![AttributeProto::int("dtype", i64::from(data_type::FLOAT))];
    let identity = builder.op_with("EyeLike", &[&zeros], float);
    let attributes = ctx.node.attributes(&[
        "antialias",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "mode",
        "nearest_mode",
    ]);
    match ctx.node.input_name(2) {
        // The scale is not quite to/from where the output was rounded down, and coordinates go by
        // the scale.
        Some(scales) => {
            let (start, end, axis) =
                (builder.int64s(&[entry]), builder.int64s(&[entry + 1]), builder.int64s(&[0]));
            let own = builder.op("Slice", &[scales, &start, &end, &axis]);
            let one = builder.float32s(&[1], &[1.0]);
            let scales =
                builder.op_with("Concat", &[&own, &one], vec![AttributeProto::int("axis", 0)]);
            builder.op_with("Resize", &[&identity, "", &scales], attributes)
        }
        None => {
            let sizes = builder.int64s(&[to, from]);
            builder.op_with("Resize", &[&identity, "", "", &sizes], attributes)
        }
    }
}

/// The product of a tensor with a matrix along one axis.
fn times_along(
    builder: &mut GraphBuilder,
    tensor: &str,
    matrix: &str,
    axis: usize,
    rank: usize,
) -> String {
    if axis + 1 == rank {
        return builder.op("MatMul", &[tensor, matrix]);
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(axis, rank - 1);
    let turn = vec![AttributeProto::ints("perm", order)];
    let turned = builder.op_with("Transpose", &[tensor], turn.clone());
    let product = builder.op("MatMul", &[&turned, matrix]);
    builder.op_with("Transpose", &[&product], turn)
}
