//! Preprocessing: from an image to the model's input tensor.
//!
//! The result equals what Pillow and torchvision compute, value by value, so that a model sees the
//! same input as in its training framework.

use image::RgbImage;
use ndarray::{Array4, Axis};

use super::manifest::{Color, Fit, Input, Layout};
use crate::picture::resize::{Filter, Region, Size, resize, resize_region};

/// Complete preprocessing: the manifest's values, with the gaps filled from the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height of the input in pixels.
    pub height: u32,
    /// Width of the input in pixels.
    pub width: u32,
    /// The order of the tensor's axes.
    pub layout: Layout,
    /// The colour channels and their order.
    pub color: Color,
    /// Factor for pixel values 0..=255.
    pub scale: f32,
    /// Subtracted after scaling, one value per channel.
    pub mean: Vec<f32>,
    /// Divisor after the subtraction, one value per channel.
    pub std: Vec<f32>,
    /// The resampling filter.
    pub resize: Filter,
    /// How an image with another aspect ratio is fitted to the input.
    pub fit: Fit,
    /// With [`Fit::Crop`]: the image is resized to `size / crop_ratio` before the centre is
    /// cropped.
    pub crop_ratio: f32,
}

/// Mean and standard deviation of ImageNet's RGB values in 0..=1, as used by torchvision's weights.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A resize that covers the input, and the crop that follows it; in pixels.
struct ResizeAndCrop {
    /// The whole image after the resize.
    resized: Size,
    /// The crop in the resized image.
    crop: Region,
}

impl Preprocess {
    /// Completes the manifest's `[input]` with what the graph states: the input's size, layout and
    /// channels, and whether it takes uint8 (`takes_bytes`).
    ///
    /// # Errors
    /// A sentence that names the list whose length is not the number of channels.
    pub fn new(
        input: &Input,
        [height, width]: [u32; 2],
        layout: Layout,
        color: Color,
        takes_bytes: bool,
    ) -> Result<Self, String> {
        let channels = color.channels();
        let is_imagenet_like = !takes_bytes && color != Color::Gray;
        let per_channel =
            |key: &str, given: &Option<Vec<f32>>, imagenet: [f32; 3], neutral| match given {
                Some(given) if given.len() != channels => Err(format!(
                    "input.{key} must have one value per channel: expected {channels}, found {}",
                    given.len()
                )),
                Some(given) => Ok(given.clone()),
                None if is_imagenet_like => Ok(imagenet.to_vec()),
                None => Ok(vec![neutral; channels]),
            };
        let mean = per_channel("mean", &input.mean, IMAGENET_MEAN, 0.0)?;
        let std = per_channel("std", &input.std, IMAGENET_STD, 1.0)?;
        let scale = input.scale.unwrap_or(if takes_bytes { 1.0 } else { 1.0 / 255.0 });
        let Input { resize, fit, crop_ratio, .. } = *input;
        Ok(Self { height, width, layout, color, scale, mean, std, resize, fit, crop_ratio })
    }

    /// The shape of one image's input tensor without the batch axis: `[C, H, W]` or `[H, W, C]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        let (channels, height, width) =
            (self.color.channels(), self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        }
    }

    /// Converts an image to an input tensor: `[1, C, H, W]` or `[1, H, W, C]`.
    #[must_use]
    pub fn tensor(&self, image: &RgbImage) -> Array4<f32> {
        self.normalise(&self.fit(image))
    }

    /// Resizes and crops an image to the `width × height` pixels that the model sees.
    #[must_use]
    pub fn fit(&self, image: &RgbImage) -> RgbImage {
        match self.fit {
            Fit::Stretch => resize(image, self.width, self.height, self.resize),
            Fit::Crop => {
                let plan = self.resize_and_crop(image.width(), image.height());
                resize_region(image, plan.resized, plan.crop, self.resize)
            }
        }
    }

    /// The part of an image that the model sees, in the image's own pixels:
    /// `[left, top, width, height]`.
    #[must_use]
    pub fn visible_rect(&self, image_width: u32, image_height: u32) -> [f32; 4] {
        match self.fit {
            Fit::Stretch => [0.0, 0.0, image_width as f32, image_height as f32],
            Fit::Crop => {
                let plan = self.resize_and_crop(image_width, image_height);
                // Pixels of the image per pixel of the resized image.
                let x_scale = image_width as f32 / plan.resized.width as f32;
                let y_scale = image_height as f32 / plan.resized.height as f32;
                [
                    plan.crop.left as f32 * x_scale,
                    plan.crop.top as f32 * y_scale,
                    self.width as f32 * x_scale,
                    self.height as f32 * y_scale,
                ]
            }
        }
    }

    /// The resize and centre crop of torchvision's `Resize` and `CenterCrop`: the longer side is
    /// truncated to whole pixels, the crop's offset is rounded half to even.
    fn resize_and_crop(&self, image_width: u32, image_height: u32) -> ResizeAndCrop {
        let target = |side: u32| (side as f32 / self.crop_ratio).round() as u64;
        let (to_width, to_height) = (target(self.width), target(self.height));
        let (from_width, from_height) = (u64::from(image_width), u64::from(image_height));
        // One side gets its target length exactly: the one that makes the other long enough.
        let (width, height) = if from_width * to_height <= from_height * to_width {
            (to_width, from_height * to_width / from_width)
        } else {
            (from_width * to_height / from_height, to_height)
        };
        let resized =
            Size { width: width.max(self.width.into()), height: height.max(self.height.into()) };
        let offset = |resized: u64, crop: u32| {
            ((resized - u64::from(crop)) as f64 / 2.0).round_ties_even() as u64
        };
        let crop = Region {
            left: offset(resized.width, self.width),
            top: offset(resized.height, self.height),
            width: self.width,
            height: self.height,
        };
        ResizeAndCrop { resized, crop }
    }

    /// Computes `(pixel · scale − mean) / std` per channel: `[1, C, H, W]` or `[1, H, W, C]`, of
    /// the image's own height and width.
    #[must_use]
    pub fn normalise(&self, image: &RgbImage) -> Array4<f32> {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let (pixels, _) = image.as_raw().as_chunks::<3>();
        let channels = self.color.channels();
        // A byte has few values, so none is computed twice.
        let tables: Vec<[f32; 256]> = (0..channels).map(|channel| self.values(channel)).collect();
        let byte = |pixel: &[u8; 3], channel: usize| match self.color {
            Color::Rgb => pixel[channel],
            Color::Bgr => pixel[2 - channel],
            Color::Gray => luma(*pixel),
        };
        let mut tensor = Array4::zeros(match self.layout {
            Layout::Nchw => (1, channels, height, width),
            Layout::Nhwc => (1, height, width, channels),
        });
        for (channel, table) in tables.iter().enumerate() {
            let axis = if self.layout == Layout::Nchw { Axis(1) } else { Axis(3) };
            let plane = tensor.index_axis_mut(axis, channel);
            for (value, pixel) in plane.into_iter().zip(pixels) {
                *value = table[usize::from(byte(pixel, channel))];
            }
        }
        tensor
    }

    /// What each value of a byte becomes in a channel.
    fn values(&self, channel: usize) -> [f32; 256] {
        let (scale, mean, std) = (self.scale, self.mean[channel], self.std[channel]);
        std::array::from_fn(|byte| (byte as f32 * scale - mean) / std)
    }
}

/// `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601), rounded, in fixed point with 16 fractional bits.
///
/// The integer weights are those of Pillow's `convert("L")` (the macro `L24` in
/// `src/libImaging/Convert.c`), so the result equals Pillow's byte for byte.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn preprocess(layout: Layout, color: Color, input: Input) -> Preprocess {
        Preprocess::new(&input, [2, 2], layout, color, false).unwrap()
    }

    #[test]
    fn channels_are_reordered_scaled_and_shifted() {
        let image = RgbImage::from_pixel(2, 2, Rgb([10, 20, 30]));
        let caffe = Input {
            scale: Some(1.0),
            mean: Some(vec![1.0, 2.0, 3.0]),
            std: Some(vec![1.0, 2.0, 1.0]),
            ..Input::default()
        };
        let tensor = preprocess(Layout::Nchw, Color::Bgr, caffe.clone()).tensor(&image);
        assert_eq!(
            [tensor[[0, 0, 0, 0]], tensor[[0, 1, 0, 0]], tensor[[0, 2, 0, 0]]],
            [29.0, 9.0, 7.0]
        );
        let tensor = preprocess(Layout::Nhwc, Color::Bgr, caffe).tensor(&image);
        assert_eq!(
            [tensor[[0, 1, 1, 0]], tensor[[0, 1, 1, 1]], tensor[[0, 1, 1, 2]]],
            [29.0, 9.0, 7.0]
        );
    }

    /// The expected values come from `PIL.Image.convert("L")`, Pillow 13.0.0.
    #[test]
    fn luma_equals_pillow_s() {
        let pixels = [[10, 20, 30], [255, 255, 255], [200, 3, 77], [1, 254, 128]];
        assert_eq!(pixels.map(luma), [18, 255, 70, 164]);
        let image = RgbImage::from_pixel(2, 2, Rgb(pixels[2]));
        let tensor = preprocess(Layout::Nhwc, Color::Gray, Input::default()).tensor(&image);
        assert_eq!(tensor.shape(), [1, 2, 2, 1]);
        assert_eq!(tensor[[0, 1, 1, 0]], 70.0 / 255.0);
    }

    #[test]
    fn a_mean_with_another_length_than_the_channels_is_an_error() {
        let input = Input { mean: Some(vec![0.1, 0.2, 0.3]), ..Input::default() };
        let error = Preprocess::new(&input, [2, 2], Layout::Nchw, Color::Gray, false).unwrap_err();
        assert_eq!(error, "input.mean must have one value per channel: expected 1, found 3");
    }

    #[test]
    fn a_crop_shows_the_centre_of_the_image() {
        let input = Input { fit: Fit::Crop, ..Input::default() };
        let preprocess =
            Preprocess::new(&input, [224, 224], Layout::Nchw, Color::Rgb, false).unwrap();
        let [left, top, width, height] = preprocess.visible_rect(448, 224);
        assert_eq!([left, top, width, height], [112.0, 0.0, 224.0, 224.0]);
        let fitted = preprocess.fit(&RgbImage::new(451, 300));
        assert_eq!((fitted.width(), fitted.height()), (224, 224));
    }

    /// Resized as a whole, the first of these would have 100 billion pixels.
    #[test]
    fn a_crop_of_a_tall_or_wide_image_computes_no_more_than_the_crop() {
        let input = Input { fit: Fit::Crop, ..Input::default() };
        let preprocess =
            Preprocess::new(&input, [224, 224], Layout::Nchw, Color::Rgb, false).unwrap();
        for (width, height) in [(1, 2_000_000), (2_000_000, 1)] {
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([if x + y < 1_000_000 { 0 } else { 250 }, 9, 9])
            });
            let fitted = preprocess.fit(&image);
            assert_eq!(fitted.dimensions(), (224, 224));
            // The crop lies between the centres of the two pixels in the middle of the image.
            assert_eq!(fitted.get_pixel(0, 0).0, [1, 9, 9]);
            assert_eq!(fitted.get_pixel(223, 223).0, [249, 9, 9]);
        }
    }

    #[test]
    fn a_crop_s_sides_are_rounded_to_nearest_and_its_offset_half_to_even() {
        // 224 / 0.9 is 248.9, so the shorter side becomes 249. Half of 249 - 224 is 12.5, so the
        // offset is 12.
        let input = Input { fit: Fit::Crop, crop_ratio: 0.9, ..Input::default() };
        let preprocess =
            Preprocess::new(&input, [224, 224], Layout::Nchw, Color::Rgb, false).unwrap();
        let shorter = 500.0 / 249.0;
        let longer = 1000.0 / 498.0;
        assert_eq!(
            preprocess.visible_rect(1000, 500),
            [137.0 * longer, 12.0 * shorter, 224.0 * longer, 224.0 * shorter]
        );
        assert_eq!(
            preprocess.visible_rect(500, 1000),
            [12.0 * shorter, 137.0 * longer, 224.0 * shorter, 224.0 * longer]
        );
    }
}
