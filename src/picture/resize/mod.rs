//! Resizing: images as Pillow does it, maps as OpenCV and PyTorch do it.
//!
//! The two differ on purpose. A model's author prepared images with Pillow, whose filters
//! widen when an image shrinks; [`resize`] repeats that byte for byte, as Pillow did it up
//! to version 12. (Version 13 sometimes does the rows first, which moves some bytes by 1 or 2.) A
//! map is enlarged with plain bilinear interpolation, which looks at two neighbours and no more:
//! that is [`Upsampler`].

mod convolve;
mod upsampler;

use image::RgbImage;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::convolve::convolve;
pub use self::upsampler::Upsampler;

/// How the pixels of a smaller or larger image are made; the names are Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel whose centre is nearest.
    Nearest,
    /// A triangle, widened when the image shrinks.
    Bilinear,
    /// Cubic with a = −0.5 (Catmull–Rom), widened when the image shrinks.
    Bicubic,
    /// A sinc in a window of three lobes, widened when the image shrinks.
    Lanczos3,
}

/// The image at `width` × `height` pixels, as `PIL.Image.resize` makes it.
///
/// A side of zero, in or out, gives an image of the asked size that is black or empty.
#[must_use]
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    if image.width() == 0 || image.height() == 0 || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    match filter {
        Filter::Nearest => nearest(image, width, height),
        Filter::Bilinear => convolve(image, width, height, &convolve::BILINEAR),
        Filter::Bicubic => convolve(image, width, height, &convolve::BICUBIC),
        Filter::Lanczos3 => convolve(image, width, height, &convolve::LANCZOS3),
    }
}

fn nearest(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (columns, rows) =
        (nearest_taps(image.width(), width), nearest_taps(image.height(), height));
    let source = image.as_raw();
    let row_bytes = image.width() as usize * 3;
    let mut out = Vec::with_capacity(width as usize * height as usize * 3);
    for row in rows {
        let line = &source[row * row_bytes..][..row_bytes];
        for &column in &columns {
            out.extend_from_slice(&line[column * 3..][..3]);
        }
    }
    RgbImage::from_raw(width, height, out).unwrap_or_default()
}

/// Which source pixel each of `to` pixels takes. Pillow adds the step up instead of
/// multiplying, and on a tie the rounding of that sum decides, so it is added up here too.
fn nearest_taps(from: u32, to: u32) -> Vec<usize> {
    let step = f64::from(from) / f64::from(to);
    let mut at = step * 0.5;
    (0..to)
        .map(|_| {
            let tap = (at as usize).min(from as usize - 1);
            at += step;
            tap
        })
        .collect()
}

/// A map at `height` × `width`: bilinear between pixel centres, no smoothing when it shrinks.
///
/// Equal to `cv2.resize(INTER_LINEAR)` and `torch.nn.functional.interpolate(align_corners=False)`.
/// For many maps of one size, keep an [`Upsampler`].
#[must_use]
pub fn upsample(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    upsampled(&Upsampler::half_pixel(map.dim(), (height, width)), map)
}

/// As [`upsample`], but the corners of both maps coincide: torch's `align_corners=True`.
#[must_use]
pub fn upsample_align_corners(
    map: ArrayView2<'_, f32>,
    height: usize,
    width: usize,
) -> Array2<f32> {
    upsampled(&Upsampler::align_corners(map.dim(), (height, width)), map)
}

fn upsampled(upsampler: &Upsampler, map: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = Array2::zeros(upsampler.output());
    upsampler.apply(map, out.view_mut());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 7]));
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
            assert_eq!(resize(&image, 5, 3, filter), image);
        }
    }

    #[test]
    fn nearest_takes_the_middle_of_each_block() {
        assert_eq!(nearest_taps(9, 3), [1, 4, 7]);
        assert_eq!(nearest_taps(2, 4), [0, 0, 1, 1]);
    }

    #[test]
    fn an_image_without_pixels_is_no_reason_to_panic() {
        for filter in [Filter::Nearest, Filter::Bicubic] {
            assert_eq!(resize(&RgbImage::new(0, 4), 2, 2, filter).dimensions(), (2, 2));
            assert_eq!(resize(&RgbImage::new(4, 4), 0, 2, filter).dimensions(), (0, 2));
        }
    }

    #[test]
    fn half_pixel_and_align_corners_differ_as_in_torch() {
        let map = array![[0.0, 1.0]];
        assert_eq!(upsample(map.view(), 1, 4), array![[0.0, 0.25, 0.75, 1.0]]);
        assert_eq!(upsample_align_corners(map.view(), 1, 5), array![[0.0, 0.25, 0.5, 0.75, 1.0]]);
    }

    proptest! {
        #[test]
        fn resizing_keeps_a_flat_image_flat(w in 1u32..40, h in 1u32..40, to_w in 1u32..40, to_h in 1u32..40, v: u8) {
            let image = RgbImage::from_pixel(w, h, image::Rgb([v; 3]));
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
                let out = resize(&image, to_w, to_h, filter);
                prop_assert!(out.as_raw().iter().all(|&o| o.abs_diff(v) <= 1));
            }
        }

        #[test]
        fn interpolation_stays_between_the_extremes(
            h in 1usize..9, w in 1usize..9, to_h in 0usize..30, to_w in 0usize..30, seed in 0u32..1000,
        ) {
            let map = Array2::from_shape_fn((h, w), |(y, x)| {
                ((y * 31 + x * 17) as u32 ^ seed).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32
            });
            for out in [upsample(map.view(), to_h, to_w), upsample_align_corners(map.view(), to_h, to_w)] {
                prop_assert_eq!(out.dim(), (to_h, to_w));
                prop_assert!(out.iter().all(|v| (-1e-6..=1.0 + 1e-6).contains(v)));
            }
        }
    }
}
