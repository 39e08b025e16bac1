//! Cubic interpolation of maps, for contours without corners.
//!
//! The level sets of a bilinear interpolation have a corner wherever they cross from one cell into
//! the next, so a threshold or a steep sigmoid cuts polygons out of a map. Keys' cubic with
//! a = −0.5 (Catmull–Rom) has a continuous slope, so that its level sets are smooth, and it passes
//! through the map's own values, too.

use ndarray::{Array2, ArrayView2};

/// The four source neighbours of an output row or column, and their weights.
type Taps = [(usize, f32); 4];

/// Resizes a map `[H, W]` to `[height, width]` by cubic interpolation with half-pixel centres. It
/// can overshoot the map's range by a few per cent. At its own size a map stays as it is.
#[must_use]
pub fn upsample_smooth(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    if map.is_empty() {
        return Array2::zeros((height, width));
    }
    let (rows, columns) = (taps(map.nrows(), height), taps(map.ncols(), width));
    let weigh = |taps: &Taps, value: &dyn Fn(usize) -> f32| -> f32 {
        taps.iter().map(|&(index, weight)| weight * value(index)).sum()
    };
    let across = Array2::from_shape_fn((map.nrows(), width), |(y, x)| {
        weigh(&columns[x], &|column| map[[y, column]])
    });
    Array2::from_shape_fn((height, width), |(y, x)| weigh(&rows[y], &|row| across[[row, x]]))
}

/// The taps along one axis. Beyond the first and last position the border value is repeated.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let tap = |x: usize| {
        let position = (x as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        let before = position.floor();
        let t = (position - before) as f32;
        let (t2, t3) = (t * t, t * t * t);
        let weights = [
            -0.5 * t3 + t2 - 0.5 * t,
            1.5 * t3 - 2.5 * t2 + 1.0,
            -1.5 * t3 + 2.0 * t2 + 0.5 * t,
            0.5 * t3 - 0.5 * t2,
        ];
        let index = |offset: f64| (before + offset).clamp(0.0, (from - 1) as f64) as usize;
        std::array::from_fn(|k| (index(k as f64 - 1.0), weights[k]))
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::upsample;
    use ndarray::array;

    #[test]
    fn a_map_keeps_its_values_at_its_own_size_and_constants_stay_constant() {
        let map = array![[0.0, 1.0, 0.25], [0.5, 0.75, 1.0]];
        assert_eq!(upsample_smooth(map.view(), 2, 3), map);
        let between = upsample_smooth(array![[0.25, 0.75]].view(), 1, 4);
        // By hand: at a quarter of the way the weights are -9/128, 111/128, 29/128 and -3/128.
        assert_eq!(between, array![[0.21484375, 0.3515625, 0.6484375, 0.78515625]]);
        let flat = upsample_smooth(Array2::from_elem((3, 2), 0.5).view(), 20, 30);
        assert!(flat.iter().all(|value| (value - 0.5).abs() < 1e-6));
        let empty = Array2::<f32>::zeros((0, 2));
        assert_eq!(upsample_smooth(empty.view(), 2, 2), Array2::<f32>::zeros((2, 2)));
    }

    /// The largest change of direction of the contour at one half, in degrees, from one column to
    /// the next. The contour's height is interpolated between two rows.
    fn sharpest_corner(map: &Array2<f32>) -> f32 {
        let height = |x: usize| {
            let column = map.column(x);
            let y = (1..column.len()).find(|&y| column[y] >= 0.5).unwrap();
            y as f32 - (column[y] - 0.5) / (column[y] - column[y - 1])
        };
        let heights: Vec<f32> = (0..map.ncols()).map(height).collect();
        let angles: Vec<f32> =
            heights.windows(2).map(|pair| (pair[1] - pair[0]).atan().to_degrees()).collect();
        angles.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn contours_have_no_corners() {
        let map = array![
            [0.0, 0.1, 0.0, 0.2, 0.0],
            [0.2, 0.9, 0.3, 0.8, 0.1],
            [1.0, 1.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0],
        ];
        let bilinear = sharpest_corner(&upsample(map.view(), 200, 250));
        let smooth = sharpest_corner(&upsample_smooth(map.view(), 200, 250));
        assert!(bilinear > 30.0, "{bilinear}");
        assert!(smooth < bilinear / 4.0, "{smooth} beside {bilinear}");
    }
}
