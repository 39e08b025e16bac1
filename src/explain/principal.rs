//! The first principal component of a layer, which Eigen-CAM and Eigen-Grad-CAM show.
//!
//! Only one singular vector of `O` `[h·w, C]` is wanted, so no decomposition is made:
//! the largest eigenvector of the smaller of `O·Oᵀ` and `Oᵀ·O` is found by power
//! iteration in 64 bits. It starts from the matrix itself and not from chance, so the same
//! layer always gives the same map.

use ndarray::{Array1, Array2, ArrayView3, Axis};

/// Two vectors in turn that differ by no more than this are the same.
const SETTLED: f64 = 1e-12;
/// Only two singular values that agree to four digits could need more, and then either vector will
/// do.
const MOST_STEPS: usize = 20_000;

/// What is taken off the channels before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centre {
    /// Nothing.
    Nothing,
    /// Each channel's mean.
    Channels,
}

/// `O·v₁` as a map `[h, w]`, `O` being the `[C, h, w]` of the layer as `[h·w, C]`.
///
/// Of the two signs it has the one under which it rises and falls with the sum over the channels:
/// its product with that sum (less its mean, where channels are centred) is not below 0.
#[must_use]
pub fn project(layer: ArrayView3<'_, f32>, centre: Centre) -> Array2<f32> {
    let (channels, height, width) = layer.dim();
    let mut matrix = Array2::<f64>::zeros((height * width, channels));
    for (mut column, channel) in matrix.columns_mut().into_iter().zip(layer.axis_iter(Axis(0))) {
        column.iter_mut().zip(&channel).for_each(|(to, &from)| *to = f64::from(from));
        if centre == Centre::Channels {
            let mean = column.mean().unwrap_or(0.0);
            column -= mean;
        }
    }
    let mut projection = if matrix.nrows() <= matrix.ncols() {
        // An eigenvector u of O·Oᵀ is a left singular vector, and O·v₁ = σ₁·u.
        let gram = matrix.dot(&matrix.t());
        let vector = largest_eigenvector(&gram);
        let square = vector.dot(&gram.dot(&vector));
        vector * square.max(0.0).sqrt()
    } else {
        matrix.dot(&largest_eigenvector(&matrix.t().dot(&matrix)))
    };
    if projection.dot(&matrix.sum_axis(Axis(1))) < 0.0 {
        projection.mapv_inplace(|value| -value);
    }
    let mut map = Array2::zeros((height, width));
    map.iter_mut().zip(&projection).for_each(|(to, &from)| *to = from as f32);
    map
}

/// The unit eigenvector of the largest eigenvalue of a symmetric matrix without negative
/// eigenvalues; zeros for the matrix of zeros.
fn largest_eigenvector(matrix: &Array2<f64>) -> Array1<f64> {
    // The longest column holds a part of every eigenvector that could be the largest.
    let lengths = matrix.columns().into_iter().map(|column| column.dot(&column));
    let (longest, _) = lengths.enumerate().fold((0, f64::NEG_INFINITY), |best, (index, length)| {
        if length > best.1 { (index, length) } else { best }
    });
    let mut vector = unit(matrix.column(longest).to_owned());
    for _ in 0..MOST_STEPS {
        let next = unit(matrix.dot(&vector));
        let change = next.iter().zip(&vector).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        vector = next;
        if change <= SETTLED {
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
    fn both_shapes_of_the_matrix_give_the_same_component() {
        let value = |(c, y, x): (usize, usize, usize)| ((c * 7 + y * 3 + x * 5) % 11) as f32 - 2.0;
        let wide = Array3::from_shape_fn((9, 2, 3), value);
        // More channels of zeros change nothing but which side is smaller.
        let mut tall = Array3::zeros((3, 2, 3));
        tall.assign(&wide.slice(ndarray::s![..3, .., ..]));
        let mut padded = Array3::zeros((30, 2, 3));
        padded.slice_mut(ndarray::s![..3, .., ..]).assign(&tall);
        for centre in [Centre::Nothing, Centre::Channels] {
            let (a, b) = (project(tall.view(), centre), project(padded.view(), centre));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a} {b}");
        }
    }

    #[test]
    fn the_eigenvector_is_one() {
        let matrix = array![[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]];
        let vector = largest_eigenvector(&matrix);
        let image = matrix.dot(&vector);
        let value = image.dot(&vector);
        assert!((&image - &(&vector * value)).iter().all(|rest| rest.abs() < 1e-9));
        assert!(value > 4.7);
    }

    #[test]
    fn a_layer_of_zeros_has_a_map_of_zeros() {
        assert_eq!(
            project(Array3::zeros((2, 2, 2)).view(), Centre::Channels),
            Array2::<f32>::zeros((2, 2))
        );
    }
}
