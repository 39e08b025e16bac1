//! Products of a few vectors with a large matrix (GEMV), limited by memory bandwidth alone.
//!
//! A classifier's first fully connected layer holds most of its weights (VGG16: 411 MB), and an
//! image uses each of them once. So all that matters is to request memory early, to use each value
//! for every vector of a batch, and not to read what is multiplied by zero. A ReLU makes much of
//! such a layer's input exactly zero, and much of the gradient that comes back to it. Skipping
//! these terms changes no finite result.
//!
//! A matrix stored as `[inputs, outputs]` is summed up row by row (`row_sums`). One stored as
//! `[outputs, inputs]` is multiplied along its rows (`row_dots`).

mod matrix;
mod row_dots;
mod row_sums;
#[cfg(test)]
mod tests;

pub use matrix::Matrix;

use crate::error::InvalidArgument;
use crate::executor::Executor;
use crate::simd::Isa;
use matrix::Operands;

/// `output[n][j] = Σ_i input[n][i] · matrix[i][j] (+ bias[j])`, for `input` `[N, rows]`, `bias`
/// `[columns]` and `output` `[N, columns]`.
///
/// A row of the matrix is read only if some input is non-zero there, so an infinity or NaN in the
/// matrix may not propagate through a zero.
///
/// ```
/// use camlens_kernels::{Matrix, Serial, gemv};
///
/// // [[1, 2, 3], [4, 5, 6]]
/// let bytes: Vec<u8> = (1..=6).flat_map(|value| (value as f32).to_ne_bytes()).collect();
/// let matrix = Matrix { bytes: &bytes, rows: 2, columns: 3 };
/// let mut output = [0.0; 3];
/// gemv(&[10.0, 1.0], matrix, None, &mut output, &Serial)?;
/// assert_eq!(output, [14.0, 25.0, 36.0]);
/// # Ok::<(), camlens_kernels::InvalidArgument>(())
/// ```
///
/// # Errors
/// When a slice is not as long as its shape says.
pub fn gemv(
    input: &[f32],
    matrix: Matrix<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    executor: &dyn Executor,
) -> Result<(), InvalidArgument> {
    let operands = Operands { input, matrix, bias };
    operands.check(matrix.rows, matrix.columns, output)?;
    if operands.is_empty() {
        fill_with_bias(bias, output);
    } else {
        row_sums::gemv(row_sums::kernel_for(Isa::detect()), operands, output, executor);
    }
    Ok(())
}

/// `output[n][i] = Σ_j input[n][j] · matrix[i][j] (+ bias[i])`, for `input` `[N, columns]`, `bias`
/// `[rows]` and `output` `[N, rows]`.
///
/// Columns where every input is zero are skipped in blocks of 16, so an infinity or NaN in the
/// matrix may not propagate through a zero.
///
/// # Errors
/// When a slice is not as long as its shape says.
pub fn gemv_transposed(
    input: &[f32],
    matrix: Matrix<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    executor: &dyn Executor,
) -> Result<(), InvalidArgument> {
    let operands = Operands { input, matrix, bias };
    operands.check(matrix.columns, matrix.rows, output)?;
    if operands.is_empty() {
        fill_with_bias(bias, output);
    } else {
        row_dots::gemv(row_dots::kernel_for(Isa::detect()), operands, output, executor);
    }
    Ok(())
}

/// The product of an input or a matrix without values: sums of no terms.
fn fill_with_bias(bias: Option<&[f32]>, output: &mut [f32]) {
    match bias {
        Some(bias) => output
            .chunks_exact_mut(bias.len().max(1))
            .for_each(|output| output.copy_from_slice(bias)),
        None => output.fill(0.0),
    }
}
