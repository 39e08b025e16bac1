//! Projection of a layer onto its first principal component, for Eigen-CAM and Eigen-Grad-CAM.
//!
//! Only one singular vector of `O` `[h·w, C]` is needed, so there is no full decomposition: power
//! iteration in 64 bits finds the dominant eigenvector of the smaller of `O·Oᵀ` and `Oᵀ·O`. It
//! starts from a column of the matrix, not from random values, so the same layer always gives the
//! same map.

use ndarray::{Array1, Array2, ArrayView3, Axis};

/// The iteration has converged when no element changes by more than this.
pub(crate) const TOLERANCE: f64 = 1e-12;
/// Only two singular values that agree to four digits could need more steps, and then either vector
/// will do.
pub(crate) const MAX_STEPS: usize = 20_000;

/// What is subtracted from the channels before the projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centering {
    /// Nothing.
    None,
    /// Each channel's mean.
    PerChannel,
}

/// `O·v₁` as a map `[h, w]`, where `O` is the layer `[C, h, w]` as a matrix `[h·w, C]`.
///
/// The sign is chosen so that the map correlates with the sum over the channels: its dot product
/// with that sum (of the centred channels, if they are centred) is not negative.
#[must_use]
pub fn project(layer: ArrayView3<'_, f32>, centering: Centering) -> Array2<f32> {
    let (channels, height, width) = layer.dim();
    let mut matrix = Array2::<f64>::zeros((height * width, channels));
    for (mut column, channel) in matrix.columns_mut().into_iter().zip(layer.axis_iter(Axis(0))) {
        column.iter_mut().zip(&channel).for_each(|(to, &from)| *to = f64::from(from));
        if centering == Centering::PerChannel {
            let mean = column.mean().unwrap_or(0.0);
            column -= mean;
        }
    }
    let mut projection = if matrix.nrows() <= matrix.ncols() {
        // An eigenvector u of O·Oᵀ is a left singular vector, and O·v₁ = σ₁·u.
        let gram = matrix.dot(&matrix.t());
        let vector = dominant_eigenvector(&gram);
        let square = vector.dot(&gram.dot(&vector));
        vector * square.max(0.0).sqrt()
    } else {
        matrix.dot(&dominant_eigenvector(&matrix.t().dot(&matrix)))
    };
    if projection.dot(&matrix.sum_axis(Axis(1))) < 0.0 {
        projection.mapv_inplace(|value| -value);
    }
    let mut map = Array2::zeros((height, width));
    map.iter_mut().zip(&projection).for_each(|(to, &from)| *to = from as f32);
    map
}

/// The unit eigenvector of the largest eigenvalue of a positive semi-definite matrix; zeros for the
/// zero matrix.
fn dominant_eigenvector(matrix: &Array2<f64>) -> Array1<f64> {
    // The longest column is not orthogonal to any eigenvector that could be the dominant one.
    let lengths = matrix.columns().into_iter().map(|column| column.dot(&column));
    let (longest, _) = lengths.enumerate().fold((0, f64::NEG_INFINITY), |best, (index, length)| {
        if length > best.1 { (index, length) } else { best }
    });
    let mut vector = unit(matrix.column(longest).to_owned());
    for _ in 0..MAX_STEPS {
        let next = unit(matrix.dot(&vector));
        let change = next.iter().zip(&vector).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        vector = next;
        if change <= TOLERANCE {
            break;
        }
    }
    vector
}

fn unit(vector: Array1<f64>) -> Array1<f64> {
    let length = vector.dot(&vector).sqrt();
    if length > 0.0 { vector / length } else { vector }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn both_gram_matrices_give_the_same_component() {
        let value = |(c, y, x): (usize, usize, usize)| ((c * 7 + y * 3 + x * 5) % 11) as f32 - 2.0;
        let wide = Array3::from_shape_fn((9, 2, 3), value);
        // Additional channels of zeros only change which of the two matrices is smaller.
        let mut tall = Array3::zeros((3, 2, 3));
        tall.assign(&wide.slice(ndarray::s![..3, .., ..]));
        let mut padded = Array3::zeros((30, 2, 3));
        padded.slice_mut(ndarray::s![..3, .., ..]).assign(&tall);
        for centering in [Centering::None, Centering::PerChannel] {
            let (a, b) = (project(tall.view(), centering), project(padded.view(), centering));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a} {b}");
        }
    }

    #[test]
    fn power_iteration_finds_the_dominant_eigenvector() {
        let matrix = array![[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]];
        let vector = dominant_eigenvector(&matrix);
        let image = matrix.dot(&vector);
        let value = image.dot(&vector);
        assert!((&image - &(&vector * value)).iter().all(|rest| rest.abs() < 1e-9));
        assert!(value > 4.7);
    }

    #[test]
    fn a_layer_of_zeros_has_a_map_of_zeros() {
        assert_eq!(
            project(Array3::zeros((2, 2, 2)).view(), Centering::PerChannel),
            Array2::<f32>::zeros((2, 2))
        );
    }
}
