//! Gaussian blur of maps.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Blurs a map `[H, W]` by a Gaussian of `2 · radius + 1` positions: `y(p) = Σ_d G(d) · x(p + d)`
/// along each axis, with `d = −radius..=radius`, `G(d) ∝ exp(−d² / 2σ²)` and `Σ G = 1`. `radius`
/// and `sigma` are in positions.
///
/// Beyond its edges the map is mirrored without repeating the edge: OpenCV's default
/// `BORDER_REFLECT_101`, kornia's `reflect`. The sums are in double precision.
#[must_use]
pub fn gaussian(map: ArrayView2<'_, f32>, radius: usize, sigma: f64) -> Array2<f32> {
    let weights: Vec<f64> = (0..=2 * radius)
        .map(|i| (-(i as f64 - radius as f64).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let weights: Array1<f64> = weights.into_iter().map(|weight| weight / sum).collect();
    let mut blurred = map.mapv(f64::from);
    for axis in [Axis(0), Axis(1)] {
        for mut lane in blurred.lanes_mut(axis) {
            let padded = mirror_pad(lane.view(), radius);
            for (value, window) in lane.iter_mut().zip(padded.windows(weights.len())) {
                *value = window.dot(&weights);
            }
        }
    }
    blurred.mapv(|value| value as f32)
}

/// Extends a line by `radius` mirrored values at either end.
fn mirror_pad(line: ArrayView1<'_, f64>, radius: usize) -> Array1<f64> {
    // Mirroring makes the line periodic with the period 2·(length − 1); a line shorter than the
    // radius repeats more than once.
    let period = (2 * (line.len() - 1)).max(1);
    let start = radius.div_ceil(period) * period - radius;
    let source = |i: usize| {
        let i = (start + i) % period;
        if i < line.len() { i } else { period - i }
    };
    (0..line.len() + 2 * radius).map(|i| line[source(i)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn padding_mirrors_a_line_without_repeating_its_edge() {
        let line = array![1.0, 2.0, 3.0];
        assert_eq!(mirror_pad(line.view(), 2), array![3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
        assert_eq!(
            mirror_pad(line.view(), 5).as_slice().unwrap()[..6],
            [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
        );
        assert_eq!(mirror_pad(array![7.0].view(), 2), array![7.0, 7.0, 7.0, 7.0, 7.0]);
    }

    #[test]
    fn a_constant_map_is_unchanged_and_a_single_point_spreads() {
        let constant = Array2::from_elem((4, 3), 2.5);
        assert!(
            gaussian(constant.view(), 5, 3.0).iter().all(|value| (value - 2.5_f32).abs() < 1e-6)
        );
        let mut point = Array2::zeros((9, 9));
        point[[4, 4]] = 1.0;
        let blurred = gaussian(point.view(), 1, 1.0);
        let (centre, neighbour) = (1.0 / (1.0 + 2.0 * (-0.5_f64).exp()), (-0.5_f64).exp());
        assert!((f64::from(blurred[[4, 4]]) - centre * centre).abs() < 1e-6);
        assert!((f64::from(blurred[[4, 5]]) - centre * centre * neighbour).abs() < 1e-6);
        assert_eq!(blurred[[4, 6]], 0.0);
    }
}
