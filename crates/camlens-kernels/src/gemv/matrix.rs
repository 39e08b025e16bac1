//! The operands of a product, and the tile sizes that both loops share.

use crate::block16::Block16;
use crate::error::InvalidArgument;
use crate::sizes::product;

/// Rows of the matrix that are processed together.
pub(super) const ROWS: usize = 4;

/// Inputs that share one read of the matrix.
pub(super) const INPUTS: usize = 8;

/// Bytes of 16 values of the matrix.
pub(super) const BLOCK_BYTES: usize = Block16::LANES * size_of::<f32>();

/// A matrix of 32-bit floats, `[rows, columns]`, as bytes: in a memory-mapped model file it may
/// have any alignment.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The values, row-major, in native byte order; `4 · rows · columns` bytes.
    pub bytes: &'a [u8],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
}

impl Matrix<'_> {
    pub(super) fn row_bytes(&self) -> usize {
        self.columns * size_of::<f32>()
    }

    /// The value at a row and column.
    pub(super) fn at(&self, row: usize, column: usize) -> f32 {
        let from = row * self.row_bytes() + column * size_of::<f32>();
        self.bytes[from..].first_chunk().map_or(f32::NAN, |bytes| f32::from_ne_bytes(*bytes))
    }
}

/// The operands of a product.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// `[N, input length]`.
    pub(super) input: &'a [f32],
    pub(super) matrix: Matrix<'a>,
    pub(super) bias: Option<&'a [f32]>,
}

impl Operands<'_> {
    /// Checks every length that the kernels rely on, for inputs of `input_len` values and outputs
    /// of `output_len`.
    ///
    /// # Errors
    /// When one of them is another.
    pub(super) fn check(
        &self,
        input_len: usize,
        output_len: usize,
        output: &[f32],
    ) -> Result<(), InvalidArgument> {
        let Self { input, matrix: Matrix { bytes, rows, columns }, bias } = *self;
        // An input without values leaves only the output to tell how many there are.
        let count = match input_len {
            0 => output.len() / output_len.max(1),
            _ => input.len() / input_len,
        };
        let fits = bytes.len() == product(&[rows, columns, size_of::<f32>()])?
            && input.len() == product(&[count, input_len])?
            && output.len() == product(&[count, output_len])?
            && bias.is_none_or(|bias| bias.len() == output_len);
        if fits {
            return Ok(());
        }
        Err(InvalidArgument::new(format!(
            "{} values times {} bytes of a matrix [{rows}, {columns}], with {} values of bias, do \
             not make {} values",
            input.len(),
            bytes.len(),
            bias.map_or(0, <[f32]>::len),
            output.len()
        )))
    }

    /// Whether the sums have no term. Then the output, if it has a value, is the bias.
    pub(super) fn is_empty(&self) -> bool {
        self.matrix.bytes.is_empty() || self.input.is_empty()
    }

    /// The bias of an output, zero without one.
    pub(super) fn bias_at(&self, output: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[output])
    }
}
