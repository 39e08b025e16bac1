//! Bilinear interpolation, optimised for many maps of one size.
//!
//! Score-CAM upsamples hundreds of small maps for one explanation. The neighbours and weights of
//! each output position depend on the two sizes alone, so an [`Upsampler`] computes them once.
//! Each source row is interpolated horizontally once, then pairs of rows vertically, as in OpenCV.

use ndarray::{ArrayView2, ArrayViewMut2};

/// The two source neighbours of an output row or column, and the weight of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

/// Bilinear interpolation from one fixed size to another. Sizes are (height, width).
#[derive(Clone, Debug)]
pub struct Upsampler {
    input: (usize, usize),
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Upsampler {
    /// Half-pixel centres, `x_in = (x_out + ½) · from / to − ½`: OpenCV's `INTER_LINEAR`, PyTorch's
    /// `align_corners=False`.
    ///
    /// `from` must not be empty unless `to` is.
    #[must_use]
    pub fn half_pixel(from: (usize, usize), to: (usize, usize)) -> Self {
        Self::new(from, to, |from, to, x| (x + 0.5) * (from / to) - 0.5)
    }

    /// Aligned corners, `x_in = x_out · (from − 1) / (to − 1)`: PyTorch's `align_corners=True`.
    ///
    /// `from` must not be empty unless `to` is.
    #[must_use]
    pub fn align_corners(from: (usize, usize), to: (usize, usize)) -> Self {
        // A single output position has no step; PyTorch takes the first input position.
        Self::new(
            from,
            to,
            |from, to, x| if to > 1.0 { x * ((from - 1.0) / (to - 1.0)) } else { 0.0 },
        )
    }

    fn new(from: (usize, usize), to: (usize, usize), source: fn(f64, f64, f64) -> f64) -> Self {
        Self { input: from, rows: taps(from.0, to.0, source), columns: taps(from.1, to.1, source) }
    }

    /// The size of the interpolated maps, (height, width).
    #[must_use]
    pub fn output_size(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    /// Interpolates `map` into `out` and overwrites all of its values.
    ///
    /// # Panics
    /// If `map` or `out` does not have the size that the upsampler was created for, or `map` is
    /// empty and `out` is not.
    pub fn apply(&self, map: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
        assert_eq!(map.dim(), self.input, "the map must have the upsampler's input size");
        assert_eq!(
            out.dim(),
            self.output_size(),
            "the output must have the upsampler's output size"
        );
        if out.is_empty() {
            return;
        }
        assert!(!map.is_empty(), "an empty map can't be interpolated");

        let width = self.columns.len();
        let mut source = Vec::with_capacity(map.ncols());
        let mut interpolate_row = |row: usize, out: &mut [f32]| {
            source.clear();
            source.extend(map.row(row).iter().copied());
            for (value, tap) in out.iter_mut().zip(&self.columns) {
                *value = blend(source[tap.first], source[tap.second], tap.weight);
            }
        };
        // The two horizontally interpolated rows around the current output row. Going down, the
        // lower one becomes the upper one, so each source row is interpolated once.
        let (mut upper, mut lower) = (vec![0.0; width], vec![0.0; width]);
        let (mut upper_row, mut lower_row) = (usize::MAX, usize::MAX);
        for (tap, mut line) in self.rows.iter().zip(out.rows_mut()) {
            if tap.first != upper_row {
                if tap.first == lower_row {
                    std::mem::swap(&mut upper, &mut lower);
                    lower_row = upper_row;
                } else {
                    interpolate_row(tap.first, &mut upper);
                }
                upper_row = tap.first;
            }
            if tap.second != lower_row {
                interpolate_row(tap.second, &mut lower);
                lower_row = tap.second;
            }
            match line.as_slice_mut() {
                Some(line) => blend_rows(line, &upper, &lower, tap.weight),
                None => {
                    for (value, (&a, &b)) in line.iter_mut().zip(upper.iter().zip(&lower)) {
                        *value = blend(a, b, tap.weight);
                    }
                }
            }
        }
    }
}

/// Blends two rows. A separate function, so that the compiler sees three slices and vectorises.
fn blend_rows(out: &mut [f32], upper: &[f32], lower: &[f32], weight: f32) {
    for ((value, &a), &b) in out.iter_mut().zip(upper).zip(lower) {
        *value = blend(a, b, weight);
    }
}

#[inline(always)]
fn blend(a: f32, b: f32, weight: f32) -> f32 {
    a * (1.0 - weight) + b * weight
}

/// The taps along one axis. `source(from, to, x)` maps an output coordinate to a source coordinate.
fn taps(from: usize, to: usize, source: fn(f64, f64, f64) -> f64) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    (0..to)
        .map(|x| {
            // Beyond the first and last position the border value is repeated.
            let position = source(from as f64, to as f64, x as f64).clamp(0.0, last as f64);
            let first = position as usize;
            let second = (first + 1).min(last);
            Tap { first, second, weight: (position - first as f64) as f32 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};

    #[test]
    fn taps_repeat_the_border_value() {
        let taps = taps(2, 4, |from, to, x| (x + 0.5) * (from / to) - 0.5);
        let taps: Vec<_> = taps.iter().map(|tap| (tap.first, tap.second, tap.weight)).collect();
        assert_eq!(taps, [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
    }

    #[test]
    fn strided_views_and_contiguous_maps_give_the_same_result() {
        let map = Array2::from_shape_fn((6, 8), |(y, x)| (y * y + 3 * x) as f32);
        let view = map.slice(s![..;2, ..;-1]);
        let upsampler = Upsampler::half_pixel(view.dim(), (7, 5));
        let mut contiguous = Array2::zeros((7, 5));
        upsampler.apply(view.to_owned().view(), contiguous.view_mut());
        let mut strided = Array2::zeros((5, 7));
        upsampler.apply(view, strided.view_mut().reversed_axes());
        assert_eq!(strided.t(), contiguous);
    }
}
