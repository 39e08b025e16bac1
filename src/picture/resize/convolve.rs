//! Pillow's separable resampling (`src/libImaging/Resample.c`), reproduced byte for byte.
//!
//! Each output pixel is a weighted sum of the source pixels within the filter's support, which
//! widens when the image shrinks. Weights are fixed-point with 22 fractional bits. The horizontal
//! pass comes first and is rounded to bytes before the vertical pass. SIMD libraries use fewer bits
//! and differ by up to two levels.

use image::RgbImage;

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

/// Resizes an image to `width` × `height`; no side, before or after, may be 0.
pub(super) fn convolve(image: &RgbImage, width: u32, height: u32, kernel: &Kernel) -> RgbImage {
    let mut pixels = None;
    if width != image.width() {
        let taps = taps(image.width(), width, kernel);
        pixels = Some(horizontal_pass(image.as_raw(), image.width() as usize * 3, &taps));
    }
    if height != image.height() {
        let taps = taps(image.height(), height, kernel);
        let source = pixels.as_deref().unwrap_or(image.as_raw());
        pixels = Some(vertical_pass(source, width as usize * 3, &taps));
    }
    let pixels = pixels.unwrap_or_else(|| image.as_raw().clone());
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// The source pixels of one output pixel along an axis: the index of the first, and the
/// fixed-point weight of each, normalised to a sum of 1.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Pillow's `precompute_coeffs`: the taps of each of `to` output pixels among `from` source pixels.
fn taps(from: u32, to: u32, kernel: &Kernel) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let widening = scale.max(1.0);
    let support = kernel.support * widening;
    (0..to)
        .map(|pixel| {
            let centre = (f64::from(pixel) + 0.5) * scale;
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

/// Resamples each row of RGB pixels.
fn horizontal_pass(source: &[u8], row_bytes: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len() / row_bytes * taps.len() * 3);
    for row in source.chunks_exact(row_bytes) {
        let (row, _) = row.as_chunks::<3>();
        for taps in taps {
            let mut sum = [HALF; 3];
            for (pixel, weight) in row[taps.first..].iter().zip(&taps.weights) {
                for (sum, channel) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(*channel) * weight;
                }
            }
            out.extend(sum.map(to_byte));
        }
    }
    out
}

/// Resamples each column, whole rows of `row_bytes` at a time.
fn vertical_pass(source: &[u8], row_bytes: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.len() * row_bytes);
    let mut sums = vec![0; row_bytes];
    for taps in taps {
        sums.fill(HALF);
        let rows = source.chunks_exact(row_bytes).skip(taps.first);
        for (row, weight) in rows.zip(&taps.weights) {
            for (sum, channel) in sums.iter_mut().zip(row) {
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
