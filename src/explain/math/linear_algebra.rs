//! Small dense matrices in 64 bits: Cholesky factor, inverse, correlation.

use ndarray::{Array2, ArrayView1, s};

/// The lower Cholesky factor L of a positive semi-definite `matrix = L·Lᵀ`. Pivots that are not
/// above `floor` become 0.
#[must_use]
pub fn cholesky(matrix: &Array2<f64>, floor: f64) -> Array2<f64> {
    let size = matrix.nrows();
    let mut factor = Array2::<f64>::zeros((size, size));
    for row in 0..size {
        for column in 0..=row {
            let known = factor.slice(s![row, ..column]).dot(&factor.slice(s![column, ..column]));
            let rest = matrix[[row, column]] - known;
            let pivot = factor[[column, column]];
            factor[[row, column]] = match row == column {
                true if rest > floor => rest.sqrt(),
                false if pivot > 0.0 => rest / pivot,
                _ => 0.0,
            };
        }
    }
    factor
}

/// The inverse of a symmetric matrix whose eigenvalues are above rounding error.
#[must_use]
pub fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let factor = cholesky(matrix, 0.0);
    let size = factor.nrows();
    let mut lower = Array2::<f64>::zeros((size, size));
    for column in 0..size {
        lower[[column, column]] = 1.0 / factor[[column, column]];
        for row in column + 1..size {
            let known =
                factor.slice(s![row, column..row]).dot(&lower.slice(s![column..row, column]));
            lower[[row, column]] = -known / factor[[row, row]];
        }
    }
    lower.t().dot(&lower)
}

/// Pearson's correlation; 1 if both are constant, 0 if one is.
#[must_use]
pub fn correlation(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    let centred = |values: ArrayView1<'_, f64>| &values - values.mean().unwrap_or(0.0);
    let (a, b) = (centred(a), centred(b));
    let (square_a, square_b) = (a.dot(&a), b.dot(&b));
    match (square_a > 0.0, square_b > 0.0) {
        (true, true) => a.dot(&b) / (square_a * square_b).sqrt(),
        (false, false) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let matrix =
            Array2::from_shape_fn(
                (5, 5),
                |(a, b)| if a == b { 3.0 } else { 1.0 / (1 + a + b) as f64 },
            );
        let product = inverse(&matrix).dot(&matrix);
        assert!((product - Array2::<f64>::eye(5)).iter().all(|value| value.abs() < 1e-12));
    }
}
