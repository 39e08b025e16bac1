//! Matrix products.
//!
//! No weight is transposed in memory: `Gemm` reads a matrix either way, so the backward pass of a
//! classifier's large layers shares the weights of the forward pass.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// `α·A′·B′`, where `′` transposes if the flag of that operand is set.
fn gemm_product(
    builder: &mut GraphBuilder,
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

/// `Y = α·A′·B′ + β·C`, where `′` transposes if the attribute says so. Without transposition
/// `∂L/∂A = α·∂L/∂Y·Bᵀ`, `∂L/∂B = α·Aᵀ·∂L/∂Y`; and `∂L/∂C = β·∂L/∂Y`, summed over broadcast axes.
pub(super) fn gemm(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = ctx.grad_output()?;
    let (a, b) = (ctx.input(0)?, ctx.input(1)?);
    let (alpha, beta) = (ctx.node.float("alpha", 1.0), ctx.node.float("beta", 1.0));
    let (ta, tb) = (ctx.node.int("transA", 0) != 0, ctx.node.int("transB", 0) != 0);
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        gradients[0] = Some(match ta {
            false => gemm_product(builder, gradient, b, false, !tb, alpha),
            true => gemm_product(builder, b, gradient, tb, true, alpha),
        });
    }
    if ctx.needs_grad(1) {
        gradients[1] = Some(match tb {
            false => gemm_product(builder, a, gradient, !ta, false, alpha),
            true => gemm_product(builder, gradient, a, true, ta, alpha),
        });
    }
    if ctx.needs_grad(2) {
        let scaled = if beta == 1.0 { gradient.to_owned() } else { builder.scale(gradient, beta) };
        gradients[2] = Some(ctx.unbroadcast(builder, &scaled, ctx.input(2)?, ctx.output())?);
    }
    Ok(gradients)
}

/// `Y = A·B` over the last two axes, with the others broadcast: `∂L/∂A = ∂L/∂Y·Bᵀ` and
/// `∂L/∂B = Aᵀ·∂L/∂Y`, summed over broadcast axes.
pub(super) fn matmul(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let gradient = ctx.grad_output()?;
    let (a, b) = (ctx.input(0)?, ctx.input(1)?);
    let (a_rank, b_rank) = (ctx.shape(a)?.len(), ctx.shape(b)?.len());
    if a_rank >= 2 && b_rank == 1 && !ctx.needs_grad(1) {
        // y[…, i] = Σⱼ a[…, i, j]·b[j], so ∂L/∂a[…, i, j] = ∂L/∂y[…, i]·b[j].
        let last = builder.int64s(&[-1]);
        let column = builder.op("Unsqueeze", &[gradient, &last]);
        let gradient = builder.mul(&column, b);
        return Ok(ctx.first_input(gradient));
    }
    if a_rank < 2 || b_rank < 2 {
        return Err(ctx.unsupported("multiplies a vector, not a matrix"));
    }
    let mut gradients = vec![None; ctx.node.input.len()];
    if ctx.needs_grad(0) {
        gradients[0] = Some(if b_rank == 2 {
            times_transposed(builder, ctx, gradient)?
        } else {
            let transposed = swap_last(builder, b, b_rank);
            let full = builder.op("MatMul", &[gradient, &transposed]);
            unbroadcast_batch(builder, ctx, &full, a)?
        });
    }
    if ctx.needs_grad(1) {
        let transposed = swap_last(builder, a, a_rank);
        let full = builder.op("MatMul", &[&transposed, gradient]);
        gradients[1] = Some(unbroadcast_batch(builder, ctx, &full, b)?);
    }
    Ok(gradients)
}

/// `∂L/∂Y·Bᵀ` for a matrix `B`, of the shape of `A`. All axes of `∂L/∂Y` but the last become rows.
fn times_transposed(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    gradient: &str,
) -> Result<String, Error> {
    let (a, b) = (ctx.input(0)?, ctx.input(1)?);
    if ctx.shape(a)?.len() == 2 {
        return Ok(gemm_product(builder, gradient, b, false, true, 1.0));
    }
    let columns = ctx.shape(b)?[1];
    let rows = builder.reshape(gradient, &[-1, columns]);
    let flat = gemm_product(builder, &rows, b, false, true, 1.0);
    Ok(builder.reshape_like(&flat, a))
}

/// Transposes the last two axes.
fn swap_last(builder: &mut GraphBuilder, tensor: &str, rank: usize) -> String {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(rank - 1, rank - 2);
    builder.transpose(tensor, order)
}

/// Sums over the leading axes along which `input` was broadcast; the last two are the matrices'.
fn unbroadcast_batch(
    builder: &mut GraphBuilder,
    ctx: &VjpContext<'_>,
    full: &str,
    input: &str,
) -> Result<String, Error> {
    let count = ctx.shape(ctx.output())?.len().saturating_sub(2);
    ctx.unbroadcast_axes(builder, full, input, ctx.output(), count)
}
