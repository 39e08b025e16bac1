//! Pillow's resampling, step by step, so that its bytes come out.
//!
//! A filter is laid over the source pixels around each output pixel, widened when the image
//! shrinks; weights are fixed-point with 22 bits; columns are done first, rounded to bytes,
//! then rows. SIMD libraries use fewer bits and end up to two levels away.

use image::RgbImage;

/// A filter's weight at a distance from its middle, and the distance beyond which it is 0.
pub(super) struct Kernel {
    weight: fn(f64) -> f64,
    reach: f64,
}

pub(super) const BILINEAR: Kernel = Kernel { weight: triangle, reach: 1.0 };
pub(super) const BICUBIC: Kernel = Kernel { weight: cubic, reach: 2.0 };
pub(super) const LANCZOS3: Kernel = Kernel { weight: lanczos3, reach: 3.0 };

/// Bits behind the point of a weight: a byte times a weight must fit 32 bits, with two to spare.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// The image at `width` × `height`; no side may be 0.
pub(super) fn convolve(image: &RgbImage, width: u32, height: u32, kernel: &Kernel) -> RgbImage {
    let mut pixels = None;
    if width != image.width() {
        let taps = taps(image.width(), width, kernel);
        pixels = Some(across(image.as_raw(), image.width() as usize * 3, &taps));
    }
    if height != image.height() {
        let taps = taps(image.height(), height, kernel);
        let source = pixels.as_deref().unwrap_or(image.as_raw());
        pixels = Some(down(source, width as usize * 3, &taps));
    }
    let pixels = pixels.unwrap_or_else(|| image.as_raw().clone());
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// The source pixels that make one output pixel: the first, and the weight of each.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(from: u32, to: u32, kernel: &Kernel) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let widened = scale.max(1.0);
    let reach = kernel.reach * widened;
    (0..to)
        .map(|at| {
            let centre = (f64::from(at) + 0.5) * scale;
            // Casts cut negative numbers to 0.
            let first = (centre - reach + 0.5) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from as usize);
            let weight = |pixel| (kernel.weight)((pixel as f64 - centre + 0.5) * (1.0 / widened));
            let mut weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            let fixed = |weight: f64| (weight * f64::from(1 << PRECISION)).round() as i32;
            Taps { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

/// Columns: each output pixel from its neighbours in the same row.
fn across(source: &[u8], row_bytes: usize, taps: &[Taps]) -> Vec<u8> {
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
            out.extend(sum.map(byte));
        }
    }
    out
}

/// Rows: each output row from whole rows of the source.
fn down(source: &[u8], row_bytes: usize, taps: &[Taps]) -> Vec<u8> {
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
        out.extend(sums.iter().copied().map(byte));
    }
    out
}

fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = −0.5.
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
