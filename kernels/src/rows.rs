//! A product of few rows with a large matrix, of which only the rows that count are read.
//!
//! The gradient that reaches a classifier's first large layer is zero wherever the ReLU behind it
//! was shut. Such a product is as fast as the memory gives the matrix, so
//! leaving out what is multiplied by zero is all that can be saved, and it is exact.

use crate::pool::{Pool, Shared};

/// Columns of a piece: what is summed up stays in the first cache.
const COLUMNS: usize = 2048;

/// A matrix of 32-bit floats, `[rows, columns]`, as bytes: in a mapped file it is aligned to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Row after row, in the machine's byte order.
    pub bytes: &'a [u8],
    /// How many there are.
    pub rows: usize,
    /// How many there are.
    pub columns: usize,
}

/// `output[n][j] = Σ_i input[n][i] · matrix[i][j]` for `input` `[N, rows]` and `output` `[N, columns]`.
///
/// A row of the matrix is read only if some input is not zero there. So infinity and NaN in the
/// matrix do not reach the output through a zero.
///
/// # Panics
/// When a slice is not as long as its shape says.
pub fn product_of_rows(input: &[f32], matrix: Matrix<'_>, output: &mut [f32], threads: &dyn Pool) {
    let Matrix { bytes, rows, columns } = matrix;
    assert_eq!(bytes.len(), rows * columns * size_of::<f32>(), "the matrix's length");
    assert!(rows > 0 && input.len().is_multiple_of(rows), "the input's length");
    let count = input.len() / rows;
    assert_eq!(output.len(), count * columns, "the output's length");
    let is_read = |row: &usize| (0..count).any(|n| input[n * rows + row] != 0.0);
    let read: Vec<usize> = (0..rows).filter(is_read).collect();
    let output = Shared::new(output);
    threads.run(columns.div_ceil(COLUMNS), &|piece| {
        let first = piece * COLUMNS;
        let width = COLUMNS.min(columns - first);
        for n in 0..count {
            // SAFETY: every piece has columns of its own, inside the output.
            let sums =
                unsafe { std::slice::from_raw_parts_mut(output.get().add(n * columns + first), width) };
            sums.fill(0.0);
        }
        for &row in &read {
            let from = (row * columns + first) * size_of::<f32>();
            let line = bytes[from..from + width * size_of::<f32>()].as_chunks().0;
            for n in 0..count {
                let factor = input[n * rows + row];
                if factor != 0.0 {
                    // SAFETY: as above.
                    let sums = unsafe {
                        std::slice::from_raw_parts_mut(output.get().add(n * columns + first), width)
                    };
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum += factor * f32::from_ne_bytes(*value);
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Scoped, Serial};

    /// A matrix at an odd address, with a row of NaN that nothing reads.
    fn check(count: usize, rows: usize, columns: usize, threads: &dyn Pool) {
        let value = |index: usize| ((index * 37 % 101) as f32 / 101.0) - 0.5;
        let mut matrix: Vec<f32> = (0..rows * columns).map(value).collect();
        matrix[columns..2 * columns].fill(f32::NAN);
        let input: Vec<f32> = (0..count * rows)
            .map(|index| if index % rows == 1 || index % 3 == 0 { 0.0 } else { value(index + 7) })
            .collect();
        let bytes: Vec<u8> =
            [0].into_iter().chain(matrix.iter().flat_map(|value| value.to_ne_bytes())).collect();
        let mut output = vec![f32::NAN; count * columns];
        product_of_rows(&input, Matrix { bytes: &bytes[1..], rows, columns }, &mut output, threads);
        for (index, &got) in output.iter().enumerate() {
            let (n, column) = (index / columns, index % columns);
            let expected: f64 = (0..rows)
                .filter(|row| input[n * rows + row] != 0.0)
                .map(|row| f64::from(input[n * rows + row]) * f64::from(matrix[row * columns + column]))
                .sum();
            assert!((f64::from(got) - expected).abs() < 1e-5, "{n},{column}: {got} for {expected}");
        }
    }

    #[test]
    fn rows_that_meet_zeros_are_not_read_and_all_others_are() {
        check(1, 50, 5000, &Scoped(2));
        check(3, 20, 7, &Serial);
    }
}
