//! Matrix products. A weight is never transposed in memory: `Gemm` reads it either way round,
//! so the backward pass of a classifier's large layers shares the forward pass's weights.

use super::{Gradients, GraphBuilder, VjpContext};
use crate::proto::AttributeProto;

fn product(
    builder: &mut GraphBuilder<'_>,
    a: &str,
    b: &str,
    transpose_a: bool,
    transpose_b: bool,
    alpha: f32,
) -> String {
    let attributes = vec![
        AttributeProto::float("alpha", alpha),
        AttributeProto::int("transA", i64::from(transpose_a)),
        AttributeProto::int("transB", i64::from(transpose_b)),
    ];
    builder.op_with("Gemm", &[a, b], attributes)
}

/// Y = α·A′·B′ + β·C, where ′ transposes when the attribute says so.
pub(super) fn gemm(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = step.gradient()?;
    let (a, b) = (step.input(0)?, step.input(1)?);
    let (alpha, beta) = (step.node.float("alpha", 1.0), step.node.float("beta", 1.0));
    let (ta, tb) = (step.node.int("transA", 0) != 0, step.node.int("transB", 0) != 0);
    let mut gradients = vec![None; step.node.input.len()];
    if step.wants(0) {
        gradients[0] = Some(match ta {
            false => product(builder, gradient, b, false, !tb, alpha),
            true => product(builder, b, gradient, tb, true, alpha),
        });
    }
    if step.wants(1) {
        gradients[1] = Some(match tb {
            false => product(builder, a, gradient, !ta, false, alpha),
            true => product(builder, gradient, a, true, ta, alpha),
        });
    }
    if step.wants(2) {
        let scaled = if beta == 1.0 { gradient.to_owned() } else { builder.scale(gradient, beta) };
        gradients[2] = Some(builder.unbroadcast(&scaled, step.input(2)?, step.output())?);
    }
    Ok(gradients)
}

/// Y = A·B over the last two axes, broadcast over the others.
pub(super) fn matmul(builder: &mut GraphBuilder<'_>, step: &VjpContext<'_>) -> Gradients {
    let gradient = step.gradient()?;
    let (a, b) = (step.input(0)?, step.input(1)?);
    let (a_rank, b_rank) = (builder.shape(a)?.len(), builder.shape(b)?.len());
    if a_rank >= 2 && b_rank == 1 && !step.wants(1) {
        // A vector of weights: one number a row, each row's gradient a multiple of the vector.
        let last = builder.int64s(&[-1]);
        let column = builder.op("Unsqueeze", &[gradient, &last]);
        let gradient = builder.mul(&column, b);
        return Ok(step.only_first(gradient));
    }
    if a_rank < 2 || b_rank < 2 {
        return Err(step.refuse("multiplies a vector, not a matrix"));
    }
    let mut gradients = vec![None; step.node.input.len()];
    if step.wants(0) {
        gradients[0] = Some(if b_rank == 2 {
            times_transposed_matrix(builder, gradient, a, b, a_rank)?
        } else {
            let transposed = swap_last(builder, b, b_rank);
            let full = builder.op("MatMul", &[gradient, &transposed]);
            unbroadcast_batch(builder, &full, a, step.output())?
        });
    }
    if step.wants(1) {
        let transposed = swap_last(builder, a, a_rank);
        let full = builder.op("MatMul", &[&transposed, gradient]);
        gradients[1] = Some(unbroadcast_batch(builder, &full, b, step.output())?);
    }
    Ok(gradients)
}

/// ∂Y·Bᵀ for a matrix B, with all other axes of ∂Y taken as rows.
fn times_transposed_matrix(
    builder: &mut GraphBuilder<'_>,
    gradient: &str,
    a: &str,
    b: &str,
    a_rank: usize,
) -> Result<String, String> {
    if a_rank == 2 {
        return Ok(product(builder, gradient, b, false, true, 1.0));
    }
    let columns = builder.shape(b)?[1];
    let rows = builder.reshape(gradient, &[-1, columns]);
    let flat = product(builder, &rows, b, false, true, 1.0);
    Ok(builder.reshape_like(&flat, a))
}

fn swap_last(builder: &mut GraphBuilder<'_>, tensor: &str, rank: usize) -> String {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(rank - 1, rank - 2);
    builder.op_with("Transpose", &[tensor], vec![AttributeProto::ints("perm", order)])
}

/// Sums over the leading axes along which `input` was broadcast; the last two belong to the
/// matrices.
fn unbroadcast_batch(
    builder: &mut GraphBuilder<'_>,
    full: &str,
    input: &str,
    output: &str,
) -> Result<String, String> {
    let (from, to) = (builder.shape(input)?, builder.shape(output)?);
    let extra = to.len().saturating_sub(from.len());
    let axes: Vec<i64> = (0..to.len().saturating_sub(2))
        .filter(|&axis| axis < extra || (from[axis - extra] == 1 && to[axis] != 1))
        .map(|axis| axis as i64)
        .collect();
    if axes.is_empty() {
        return Ok(full.to_owned());
    }
    let summed = builder.reduce_sum(full, &axes, true);
    Ok(if extra > 0 { builder.reshape_like(&summed, input) } else { summed })
}
