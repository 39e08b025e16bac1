//! Bilinear interpolation of maps, made for many maps of one size.
//!
//! Score-CAM enlarges hundreds of small maps for one request. Where each output pixel looks
//! depends on the two sizes alone, so an [`Upsampler`] works that out once. Rows are
//! interpolated first and columns after, each source row once, as OpenCV does it.

use ndarray::{ArrayView2, ArrayViewMut2};

/// Where one output row or column looks: two neighbours and the share of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// Bilinear interpolation from one fixed size to another.
#[derive(Clone, Debug)]
pub struct Upsampler {
    input: (usize, usize),
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Upsampler {
    /// Pixel centres at half coordinates: OpenCV's `INTER_LINEAR`, torch's `align_corners=False`.
    ///
    /// Sizes are (height, width). `from` must not be empty unless `to` is.
    #[must_use]
    pub fn half_pixel(from: (usize, usize), to: (usize, usize)) -> Self {
        Self::new(from, to, |from, to, at| (at + 0.5) * (from / to) - 0.5)
    }

    /// The corners of both maps coincide: torch's `align_corners=True`.
    #[must_use]
    pub fn align_corners(from: (usize, usize), to: (usize, usize)) -> Self {
        // A single output pixel has no step; torch takes the first input pixel.
        Self::new(
            from,
            to,
            |from, to, at| if to > 1.0 { at * ((from - 1.0) / (to - 1.0)) } else { 0.0 },
        )
    }

    fn new(from: (usize, usize), to: (usize, usize), source: fn(f64, f64, f64) -> f64) -> Self {
        Self { input: from, rows: taps(from.0, to.0, source), columns: taps(from.1, to.1, source) }
    }

    /// (height, width) of the maps that come out.
    #[must_use]
    pub fn output(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    /// Interpolates `map` into `out`, every value of which is written.
    ///
    /// # Panics
    /// If a map does not have the size that the taps were made for.
    pub fn apply(&self, map: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
        assert_eq!(map.dim(), self.input, "the map to interpolate has another size");
        assert_eq!(out.dim(), self.output(), "the interpolated map has another size");
        if out.is_empty() {
            return;
        }
        assert!(!map.is_empty(), "there is nothing to interpolate");

        let width = self.columns.len();
        let mut source = Vec::with_capacity(map.ncols());
        let mut widen = |row: usize, wide: &mut [f32]| {
            source.clear();
            source.extend(map.row(row).iter().copied());
            for (value, tap) in wide.iter_mut().zip(&self.columns) {
                *value = blend(source[tap.first], source[tap.second], tap.share);
            }
        };
        // The two widened rows that the current output row lies between. Going down, the
        // lower one becomes the upper one, so each source row is widened once.
        let (mut upper, mut lower) = (vec![0.0; width], vec![0.0; width]);
        let (mut upper_row, mut lower_row) = (usize::MAX, usize::MAX);
        for (tap, mut line) in self.rows.iter().zip(out.rows_mut()) {
            if tap.first != upper_row {
                if tap.first == lower_row {
                    std::mem::swap(&mut upper, &mut lower);
                    lower_row = upper_row;
                } else {
                    widen(tap.first, &mut upper);
                }
                upper_row = tap.first;
            }
            if tap.second != lower_row {
                widen(tap.second, &mut lower);
                lower_row = tap.second;
            }
            match line.as_slice_mut() {
                Some(line) => blend_rows(line, &upper, &lower, tap.share),
                None => {
                    for (value, (&a, &b)) in line.iter_mut().zip(upper.iter().zip(&lower)) {
                        *value = blend(a, b, tap.share);
                    }
                }
            }
        }
    }
}

/// A function of its own so that the compiler sees three plain slices and vectorises.
fn blend_rows(out: &mut [f32], upper: &[f32], lower: &[f32], share: f32) {
    for ((value, &a), &b) in out.iter_mut().zip(upper).zip(lower) {
        *value = blend(a, b, share);
    }
}

#[inline(always)]
fn blend(a: f32, b: f32, share: f32) -> f32 {
    a * (1.0 - share) + b * share
}

fn taps(from: usize, to: usize, source: fn(f64, f64, f64) -> f64) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    (0..to)
        .map(|at| {
            // Beyond the first and last pixel centre the border value is repeated.
            let position = source(from as f64, to as f64, at as f64).clamp(0.0, last as f64);
            let first = position as usize;
            let second = (first + 1).min(last);
            Tap { first, second, share: (position - first as f64) as f32 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};

    #[test]
    fn taps_repeat_the_border() {
        let taps = taps(2, 4, |from, to, at| (at + 0.5) * (from / to) - 0.5);
        let shares: Vec<_> = taps.iter().map(|tap| (tap.first, tap.second, tap.share)).collect();
        assert_eq!(shares, [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
    }

    #[test]
    fn strided_views_give_the_same_as_plain_ones() {
        let map = Array2::from_shape_fn((6, 8), |(y, x)| (y * y + 3 * x) as f32);
        let view = map.slice(s![..;2, ..;-1]);
        let upsampler = Upsampler::half_pixel(view.dim(), (7, 5));
        let mut plain = Array2::zeros((7, 5));
        upsampler.apply(view.to_owned().view(), plain.view_mut());
        let mut strided = Array2::zeros((5, 7));
        upsampler.apply(view, strided.view_mut().reversed_axes());
        assert_eq!(strided.t(), plain);
    }
}
