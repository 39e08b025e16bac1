//! Resizing: images as in Pillow, maps as in OpenCV and PyTorch.
//!
//! The two differ on purpose. Models are trained on images resized by Pillow, whose filters widen
//! when an image shrinks (antialiasing). [`resize`] equals `PIL.Image.resize` of Pillow up to
//! version 12 byte for byte; version 13 sometimes runs the vertical pass first, which changes some
//! bytes by 1 or 2. Pillow documents its filters at
//! <https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters>.
//!
//! Maps are upsampled by plain bilinear interpolation between two neighbours per axis, by
//! [`Upsampler`]. It equals `cv2.resize` with `INTER_LINEAR`
//! (<https://docs.opencv.org/4.x/da/d54/group__imgproc__transform.html>) and
//! `torch.nn.functional.interpolate` with `mode="bilinear"`
//! (<https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html>).

mod convolve;
mod smooth;
mod upsampler;

use image::RgbImage;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::convolve::convolve;
pub use self::smooth::upsample_smooth;
pub use self::upsampler::Upsampler;

/// A resampling filter, under Pillow's name. All but `Nearest` widen when an image shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle of one pixel to either side.
    Bilinear,
    /// Keys' cubic with a = −0.5 (Catmull–Rom), two pixels to either side.
    Bicubic,
    /// A sinc windowed to three lobes, three pixels to either side.
    Lanczos3,
}

/// The size of a resized image in pixels. An image that covers a model's input can be far larger
/// than what of it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub width: u64,
    /// Its height.
    pub height: u64,
}

/// A part of a resized image, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Columns to the left of it.
    pub left: u64,
    /// Rows above it.
    pub top: u64,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Resizes an image to `width` × `height` pixels; equals `PIL.Image.resize` up to Pillow 12.
///
/// If a side of the input or output is 0, the result is black (or empty) and has the given size.
#[must_use]
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    let to = Size { width: width.into(), height: height.into() };
    resize_region(image, to, Region { left: 0, top: 0, width, height }, filter)
}

/// Computes a region of the image that [`resize`] would make, and no more than that.
///
/// The region must lie within the resized image. If a side of the input or of the region is 0, the
/// result is black (or empty) and has the region's size.
#[must_use]
pub fn resize_region(image: &RgbImage, to: Size, region: Region, filter: Filter) -> RgbImage {
    if image.width() == 0 || image.height() == 0 || region.width == 0 || region.height == 0 {
        return RgbImage::new(region.width, region.height);
    }
    match filter {
        Filter::Nearest => nearest(image, to, region),
        Filter::Bilinear => convolve(image, to, region, &convolve::BILINEAR),
        Filter::Bicubic => convolve(image, to, region, &convolve::BICUBIC),
        Filter::Lanczos3 => convolve(image, to, region, &convolve::LANCZOS3),
    }
}

/// Pillow's `NEAREST` (`ImagingScaleAffine` in `src/libImaging/Geometry.c`).
fn nearest(image: &RgbImage, to: Size, region: Region) -> RgbImage {
    let columns = nearest_sources(image.width(), to.width, region.left, region.width);
    let rows = nearest_sources(image.height(), to.height, region.top, region.height);
    let source = image.as_raw();
    let row_bytes = image.width() as usize * 3;
    let mut out = Vec::with_capacity(columns.len() * rows.len() * 3);
    for row in rows {
        let line = &source[row * row_bytes..][..row_bytes];
        for &column in &columns {
            out.extend_from_slice(&line[column * 3..][..3]);
        }
    }
    RgbImage::from_raw(region.width, region.height, out).unwrap_or_default()
}

/// The most steps that are added up to find a position.
const MAX_STEPS: u64 = 1 << 24;

/// The source pixels of `count` of `to` output pixels along one axis, from `start` on. Pillow
/// accumulates the step instead of multiplying it; at a tie the rounding of that sum decides, so it
/// is accumulated here, too, as far as an image can be held in memory.
fn nearest_sources(from: u32, to: u64, start: u64, count: u32) -> Vec<usize> {
    let step = f64::from(from) / to as f64;
    let mut position = step * 0.5;
    if start > MAX_STEPS {
        position += step * start as f64;
    } else {
        (0..start).for_each(|_| position += step);
    }
    (0..count)
        .map(|_| {
            let source = (position as usize).min(from as usize - 1);
            position += step;
            source
        })
        .collect()
}

/// Resizes a map `[H, W]` to `[height, width]` by bilinear interpolation with half-pixel centres,
/// without antialiasing.
///
/// Equals `cv2.resize` with `INTER_LINEAR` and `interpolate(align_corners=False)` of PyTorch. For
/// many maps of one size, reuse an [`Upsampler`].
#[must_use]
pub fn upsample(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    apply_once(&Upsampler::half_pixel(map.dim(), (height, width)), map)
}

/// Like [`upsample`], but with aligned corners: `interpolate(align_corners=True)` of PyTorch.
#[must_use]
pub fn upsample_align_corners(
    map: ArrayView2<'_, f32>,
    height: usize,
    width: usize,
) -> Array2<f32> {
    apply_once(&Upsampler::align_corners(map.dim(), (height, width)), map)
}

fn apply_once(upsampler: &Upsampler, map: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = Array2::zeros(upsampler.output_size());
    upsampler.apply(map, out.view_mut());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn resizing_to_the_same_size_returns_the_same_image() {
        let image = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 7]));
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
            assert_eq!(resize(&image, 5, 3, filter), image);
        }
    }

    #[test]
    fn nearest_takes_the_centre_of_each_block() {
        assert_eq!(nearest_sources(9, 3, 0, 3), [1, 4, 7]);
        assert_eq!(nearest_sources(2, 4, 0, 4), [0, 0, 1, 1]);
        assert_eq!(nearest_sources(2, 4, 1, 2), [0, 1]);
        let far = 1 << 40;
        assert_eq!(nearest_sources(1000, far, far - 2, 2), [999, 999]);
    }

    #[test]
    fn a_region_is_the_part_of_the_whole() {
        let image = RgbImage::from_fn(23, 17, |x, y| {
            image::Rgb([(x * 11) as u8, (y * 15) as u8, ((x * y) % 251) as u8])
        });
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
            for (width, height) in [(50, 40), (9, 8), (50, 8), (9, 40), (23, 8), (9, 17), (23, 17)]
            {
                let whole = resize(&image, width, height, filter);
                let to = Size { width: width.into(), height: height.into() };
                for (left, top, w, h) in [(0, 0, 3, 4), (2, 3, 5, 4), (width - 3, height - 2, 3, 2)]
                {
                    let region = Region { left: left.into(), top: top.into(), width: w, height: h };
                    let part = image::imageops::crop_imm(&whole, left, top, w, h).to_image();
                    assert_eq!(resize_region(&image, to, region, filter), part, "{filter:?}");
                }
            }
        }
    }

    /// Without a bound on the intermediate image this needs 8 GB and half a minute.
    #[test]
    fn a_tall_and_narrow_image_is_resized_in_time_that_grows_with_its_pixels() {
        let image = RgbImage::from_fn(2, 12_000_000, |x, y| {
            image::Rgb([if y < 6_000_000 { 40 } else { 200 }, (x * 200) as u8, 7])
        });
        for filter in [Filter::Nearest, Filter::Bilinear] {
            let out = resize(&image, 224, 224, filter);
            assert_eq!(out.dimensions(), (224, 224));
            assert_eq!(out.get_pixel(0, 0).0, [40, 0, 7]);
            assert_eq!(out.get_pixel(223, 223).0, [200, 200, 7]);
        }
    }

    #[test]
    fn an_empty_image_does_not_panic() {
        for filter in [Filter::Nearest, Filter::Bicubic] {
            assert_eq!(resize(&RgbImage::new(0, 4), 2, 2, filter).dimensions(), (2, 2));
            assert_eq!(resize(&RgbImage::new(4, 4), 0, 2, filter).dimensions(), (0, 2));
        }
    }

    #[test]
    fn half_pixel_and_align_corners_equal_pytorch_s() {
        let map = array![[0.0, 1.0]];
        assert_eq!(upsample(map.view(), 1, 4), array![[0.0, 0.25, 0.75, 1.0]]);
        assert_eq!(upsample_align_corners(map.view(), 1, 5), array![[0.0, 0.25, 0.5, 0.75, 1.0]]);
    }

    proptest! {
        #[test]
        fn resizing_a_constant_image_keeps_it_constant(
            w in 1u32..40, h in 1u32..40, to_w in 1u32..40, to_h in 1u32..40, v: u8,
        ) {
            let image = RgbImage::from_pixel(w, h, image::Rgb([v; 3]));
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
                let out = resize(&image, to_w, to_h, filter);
                prop_assert!(out.as_raw().iter().all(|&o| o.abs_diff(v) <= 1));
            }
        }

        #[test]
        fn interpolated_values_stay_within_the_map_s_range(
            h in 1usize..9, w in 1usize..9, to_h in 0usize..30, to_w in 0usize..30,
            seed in 0u32..1000,
        ) {
            let map = Array2::from_shape_fn((h, w), |(y, x)| {
                let hash = ((y * 31 + x * 17) as u32 ^ seed).wrapping_mul(2_654_435_761);
                hash as f32 / u32::MAX as f32
            });
            for out in [
                upsample(map.view(), to_h, to_w),
                upsample_align_corners(map.view(), to_h, to_w),
            ] {
                prop_assert_eq!(out.dim(), (to_h, to_w));
                prop_assert!(out.iter().all(|v| (-1e-6..=1.0 + 1e-6).contains(v)));
            }
        }
    }
}
