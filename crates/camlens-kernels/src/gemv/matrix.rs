//! The operands of a product, and the tile sizes that both loops share.

use crate::block16::Block16;

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
    pub(super) fn check(&self, input_len: usize, output_len: usize, output: &[f32]) {
        let Self { input, matrix, bias } = self;
        assert_eq!(matrix.bytes.len(), matrix.rows * matrix.row_bytes(), "the matrix's length");
        assert!(input_len > 0 && input.len().is_multiple_of(input_len), "the input's length");
        assert_eq!(output.len(), input.len() / input_len * output_len, "the output's length");
        assert!(bias.is_none_or(|bias| bias.len() == output_len), "the bias's length");
    }

    /// The bias of an output, zero without one.
    pub(super) fn bias_at(&self, output: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[output])
    }
}
