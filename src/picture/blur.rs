//! Blurring by a Gaussian.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// `Σ_d G(d) · x(at + d)` over both axes, `d = −radius..=radius`, `G(d) ∝ exp(−d² / 2σ²)` with a
/// sum of 1.
///
/// Beyond its edge a map goes on as its mirror image, the edge itself not repeated: kornia's and
/// OpenCV's usual border.
#[must_use]
pub fn gaussian(map: ArrayView2<'_, f32>, radius: usize, sigma: f64) -> Array2<f32> {
    let shares: Vec<f64> = (0..=2 * radius)
        .map(|at| (-(at as f64 - radius as f64).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = shares.iter().sum();
    let shares: Array1<f64> = shares.into_iter().map(|share| share / sum).collect();
    let mut blurred = map.mapv(f64::from);
    for axis in [Axis(0), Axis(1)] {
        for mut lane in blurred.lanes_mut(axis) {
            let wide = mirrored(lane.view(), radius);
            for (value, near) in lane.iter_mut().zip(wide.windows(shares.len())) {
                *value = near.dot(&shares);
            }
        }
    }
    blurred.mapv(|value| value as f32)
}

/// A line with `radius` numbers more at either end.
fn mirrored(line: ArrayView1<'_, f64>, radius: usize) -> Array1<f64> {
    // There and back again, which a line shorter than the radius does more than once.
    let period = (2 * (line.len() - 1)).max(1);
    let start = radius.div_ceil(period) * period - radius;
    let place = |at: usize| {
        let at = (start + at) % period;
        if at < line.len() { at } else { period - at }
    };
    (0..line.len() + 2 * radius).map(|at| line[place(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_line_goes_on_as_its_mirror_image() {
        let line = array![1.0, 2.0, 3.0];
        assert_eq!(mirrored(line.view(), 2), array![3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
        assert_eq!(
            mirrored(line.view(), 5).as_slice().unwrap()[..6],
            [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
        );
        assert_eq!(mirrored(array![7.0].view(), 2), array![7.0, 7.0, 7.0, 7.0, 7.0]);
    }

    #[test]
    fn what_is_even_stays_and_what_is_not_spreads() {
        let even = Array2::from_elem((4, 3), 2.5);
        assert!(gaussian(even.view(), 5, 3.0).iter().all(|value| (value - 2.5_f32).abs() < 1e-6));
        let mut point = Array2::zeros((9, 9));
        point[[4, 4]] = 1.0;
        let spread = gaussian(point.view(), 1, 1.0);
        let (middle, beside) = (1.0 / (1.0 + 2.0 * (-0.5_f64).exp()), (-0.5_f64).exp());
        assert!((f64::from(spread[[4, 4]]) - middle * middle).abs() < 1e-6);
        assert!((f64::from(spread[[4, 5]]) - middle * middle * beside).abs() < 1e-6);
        assert_eq!(spread[[4, 6]], 0.0);
    }
}
