//! `Resize`.
//!
//! Along each axis `Resize` is a matrix product: `y = x·R`. The matrix `R` is what `Resize` makes
//! of the identity, so it contains the runtime's own coordinates, rounding and borders; a runtime
//! folds it to a constant when the session is made.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::proto::{AttributeProto, data_type};

/// `∂L/∂x = ∂L/∂y·Rᵀ` along each resized axis.
pub(super) fn resize(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    if ctx.node.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" {
        return Err(ctx.unsupported("crops by a region of interest"));
    }
    if ctx.node.string("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(ctx.unsupported("keeps the aspect ratio"));
    }
    let (from, to) = (ctx.shape(ctx.input(0)?)?, ctx.shape(ctx.output())?);
    let axes =
        ctx.node.ints("axes").map_or_else(|| (0..from.len() as i64).collect(), <[i64]>::to_vec);
    let mut gradient = ctx.grad_output()?.to_owned();
    for (index, axis) in axes.into_iter().enumerate() {
        let axis = ctx.axis_index(axis, from.len().min(to.len()))?;
        if axis == 0 || from[axis] == to[axis] {
            continue;
        }
        let matrix = matrix(builder, ctx, index as i64, from[axis], to[axis]);
        gradient = matmul_along(builder, &gradient, &matrix, axis, from.len());
    }
    Ok(ctx.first_input(gradient))
}

/// `Rᵀ` `[to, from]`: the node applied to the rows of an identity matrix. `index` is the axis's
/// index among the scales.
fn matrix(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    index: i64,
    from: i64,
    to: i64,
) -> String {
    let square = builder.int64s(&[from, from]);
    let zeros = builder.op("ConstantOfShape", &[&square]);
    let float = [AttributeProto::int("dtype", i64::from(data_type::FLOAT))];
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
        // Coordinates follow the scale, which is not exactly to/from where the output size was
        // rounded down.
        Some(scales) => {
            let (start, end, axis) =
                (builder.int64s(&[index]), builder.int64s(&[index + 1]), builder.int64s(&[0]));
            let own = builder.op("Slice", &[scales, &start, &end, &axis]);
            let one = builder.float32s(&[1], &[1.0]);
            let scales = builder.op_with("Concat", &[&own, &one], [AttributeProto::int("axis", 0)]);
            builder.op_with("Resize", &[&identity, "", &scales], attributes)
        }
        None => {
            let sizes = builder.int64s(&[to, from]);
            builder.op_with("Resize", &[&identity, "", "", &sizes], attributes)
        }
    }
}

/// The product of a tensor with a matrix along one axis.
fn matmul_along(
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
    let transposed = builder.transpose(tensor, order.clone());
    let product = builder.op("MatMul", &[&transposed, matrix]);
    builder.transpose(&product, order)
}
