//! Pillow's separable resampling (`src/libImaging/Resample.c`), reproduced byte for byte.
//!
//! Each output pixel is a weighted sum of the source pixels within the filter's support, which
//! widens when the image shrinks. Weights are fixed-point with 22 fractional bits. The horizontal
//! pass comes first and is rounded to bytes before the vertical pass, but for images so tall and
//! narrow that it would cost more memory than the image itself. SIMD libraries use fewer bits and
//! differ by up to two levels.

use std::ops::Range;

use image::RgbImage;

use super::{Region, Size};

/// A resampling filter: its weight by distance from the centre, and its support, the distance in
/// pixels beyond which the weight is 0.
pub(super) struct Kernel {
    weight: fn(f64) -> f64,
    support: f64,
}

pub(super) const BILINEAR: Kernel = Kernel { weight: triangle, support: 1.0 };
pub(super) const BICUBIC: Kernel = Kernel { weight: cubic, support: 2.0 };
pub(super) const LANCZOS3: Kernel = Kernel { weight: lanczos3, support: 3.0 };

/// Fractional bits of a weight, `PRECISION_BITS` in Pillow: the product of a byte and a weight must
/// fit into 32 bits with two to spare.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// One half, added to a sum so that the shift by [`PRECISION_BITS`] rounds to nearest.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// An intermediate image of more pixels than this is avoided where the other order of the two
/// passes needs a smaller one. No photograph comes near: a height of 75,000 pixels is resized to
/// a width of 224. A file of 1 × 50,000,000 pixels would need 33 GB.
const MAX_INTERMEDIATE_PIXELS: usize = 1 << 24;

/// Computes a region of the resized image; no side, before or after, may be 0.
pub(super) fn convolve(image: &RgbImage, to: Size, region: Region, kernel: &Kernel) -> RgbImage {
    let columns = taps(image.width(), to.width, region.left, region.width, kernel);
    let rows = taps(image.height(), to.height, region.top, region.height, kernel);
    // Only source pixels that the region depends on are computed.
    let (used_columns, used_rows) = (used(&columns), used(&rows));
    let source = Samples { bytes: image.as_raw(), row_bytes: image.width() as usize * 3 };
    let pixels = if is_vertical_first(columns.len(), rows.len(), &used_columns, &used_rows) {
        let middle = vertical_pass(source, used_columns.clone(), &rows, 0);
        let row_bytes = used_columns.len() * 3;
        let middle = Samples { bytes: &middle, row_bytes };
        horizontal_pass(middle, 0..rows.len(), &columns, used_columns.start)
    } else {
        let middle = horizontal_pass(source, used_rows.clone(), &columns, 0);
        let middle = Samples { bytes: &middle, row_bytes: columns.len() * 3 };
        vertical_pass(middle, 0..columns.len(), &rows, used_rows.start)
    };
    RgbImage::from_raw(region.width, region.height, pixels).unwrap_or_default()
}

/// Whether the vertical pass comes first, which rounds a few bytes otherwise.
fn is_vertical_first(
    columns: usize,
    rows: usize,
    used_columns: &Range<usize>,
    used_rows: &Range<usize>,
) -> bool {
    let horizontal_first = columns.saturating_mul(used_rows.len());
    let vertical_first = used_columns.len().saturating_mul(rows);
    horizontal_first > MAX_INTERMEDIATE_PIXELS && vertical_first < horizontal_first
}

/// Rows of RGB pixels.
#[derive(Clone, Copy)]
struct Samples<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
}

impl<'a> Samples<'a> {
    fn rows(self, range: Range<usize>) -> impl Iterator<Item = &'a [u8]> {
        self.bytes[range.start * self.row_bytes..range.end * self.row_bytes]
            .chunks_exact(self.row_bytes)
    }
}

/// The source pixels of one output pixel along an axis: the index of the first, and the
/// fixed-point weight of each, normalised to a sum of 1.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Pillow's `precompute_coeffs`: the taps of `count` of the `to` output pixels, from `start` on,
/// among `from` source pixels.
fn taps(from: u32, to: u64, start: u64, count: u32, kernel: &Kernel) -> Vec<Taps> {
    let pixels = start..start + u64::from(count);
    if u64::from(from) == to {
        // Pillow leaves such an axis out.
        let whole = |pixel| Taps { first: pixel as usize, weights: vec![1 << PRECISION_BITS] };
        return pixels.map(whole).collect();
    }
    let scale = f64::from(from) / to as f64;
    let widening = scale.max(1.0);
    let support = kernel.support * widening;
    pixels
        .map(|pixel| {
            let centre = (pixel as f64 + 0.5) * scale;
            // The casts saturate negative values to 0.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from as usize);
            let weight = |pixel| (kernel.weight)((pixel as f64 - centre + 0.5) * (1.0 / widening));
            let mut weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            let fixed = |weight: f64| (weight * f64::from(1 << PRECISION_BITS)).round() as i32;
            Taps { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

/// The source pixels that some taps read.
fn used(taps: &[Taps]) -> Range<usize> {
    let start = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end = taps.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    start..end
}

/// Resamples these rows. The first pixel of a row is the source's pixel `offset`.
fn horizontal_pass(
    source: Samples<'_>,
    rows: Range<usize>,
    taps: &[Taps],
    offset: usize,
) -> Vec<u8> {
    let mut out = vec![0; rows.len() * taps.len() * 3];
    if taps.is_empty() {
        return out;
    }
    for (row, out) in source.rows(rows).zip(out.chunks_exact_mut(taps.len() * 3)) {
        let (row, _) = row.as_chunks::<3>();
        for (taps, out) in taps.iter().zip(out.as_chunks_mut::<3>().0) {
            let mut sum = [HALF; 3];
            for (pixel, weight) in row[taps.first - offset..].iter().zip(&taps.weights) {
                for (sum, channel) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(*channel) * weight;
                }
            }
            *out = sum.map(to_byte);
        }
    }
    out
}

/// Resamples these columns, whole rows at a time. The first row is the source's row `offset`.
fn vertical_pass(
    source: Samples<'_>,
    columns: Range<usize>,
    taps: &[Taps],
    offset: usize,
) -> Vec<u8> {
    let columns = columns.start * 3..columns.end * 3;
    let mut out = Vec::with_capacity(taps.len() * columns.len());
    let mut sums = vec![0; columns.len()];
    for taps in taps {
        sums.fill(HALF);
        let first = taps.first - offset;
        let rows = source.rows(first..first + taps.weights.len());
        for (row, weight) in rows.zip(&taps.weights) {
            for (sum, channel) in sums.iter_mut().zip(&row[columns.clone()]) {
                *sum += i32::from(*channel) * weight;
            }
        }
        out.extend(sums.iter().copied().map(to_byte));
    }
    out
}

/// Rounds a fixed-point sum (which includes [`HALF`]) to a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic convolution kernel (Keys 1981, equation 4) with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos3(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}
