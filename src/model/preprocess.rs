//! From a picture to the model's input tensor, exactly as the model's author does it.

use image::RgbImage;
use ndarray::Array4;

use super::manifest::{Color, Fit, Input, Layout};
use crate::picture::resize::resize;

/// What a model takes, complete: the manifest's word where it has one, the graph's where not.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
    /// The order of the axes.
    pub layout: Layout,
    /// Everything else.
    pub input: Input,
}

impl Preprocess {
    /// Makes the input tensor of one image: `[1, 3, H, W]` or `[1, H, W, 3]`.
    #[must_use]
    pub fn tensor(&self, image: &RgbImage) -> Array4<f32> {
        self.normalise(&self.fit(image))
    }

    /// The picture as the model sees it: `width × height`, before any arithmetic.
    #[must_use]
    pub fn fit(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = (self.width, self.height);
        match self.input.fit {
            Fit::Stretch => resize(image, width, height, self.input.resize),
            Fit::Crop => {
                let (x, y, cut_width, cut_height, scaled) = self.crop(image);
                let scaled = resize(image, scaled.0, scaled.1, self.input.resize);
                image::imageops::crop_imm(&scaled, x, y, cut_width, cut_height).to_image()
            }
        }
    }

    /// The part of an image that the model sees, in the image's own pixels: left, top, width, height.
    #[must_use]
    pub fn seen(&self, image_width: u32, image_height: u32) -> [f32; 4] {
        match self.input.fit {
            Fit::Stretch => [0.0, 0.0, image_width as f32, image_height as f32],
            Fit::Crop => {
                let (x, y, width, height, scaled) = self.crop_of(image_width, image_height);
                let (across, down) =
                    (image_width as f32 / scaled.0 as f32, image_height as f32 / scaled.1 as f32);
                [x as f32 * across, y as f32 * down, width as f32 * across, height as f32 * down]
            }
        }
    }

    fn crop(&self, image: &RgbImage) -> (u32, u32, u32, u32, (u32, u32)) {
        self.crop_of(image.width(), image.height())
    }

    /// Where the centre lies after the shorter side has been fitted, as torchvision's `Resize` and
    /// `CenterCrop` compute it: the longer side is truncated, the offset is rounded half to even.
    fn crop_of(&self, width: u32, height: u32) -> (u32, u32, u32, u32, (u32, u32)) {
        let target_width = (self.width as f32 / self.input.crop_ratio).round() as u32;
        let target_height = (self.height as f32 / self.input.crop_ratio).round() as u32;
        let (wide, tall) = (u64::from(width), u64::from(height));
        let (fit_width, fit_height) = (u64::from(target_width), u64::from(target_height));
        // The side that would otherwise fall short is fitted exactly.
        let scaled = if wide * fit_height <= tall * fit_width {
            (target_width, (tall * fit_width / wide) as u32)
        } else {
            ((wide * fit_height / tall) as u32, target_height)
        };
        let scaled = (scaled.0.max(self.width), scaled.1.max(self.height));
        let centre = |long: u32, short: u32| (f64::from(long - short) / 2.0).round_ties_even() as u32;
        (centre(scaled.0, self.width), centre(scaled.1, self.height), self.width, self.height, scaled)
    }

    /// `(pixel · scale − mean) / std` per channel.
    #[must_use]
    pub fn normalise(&self, image: &RgbImage) -> Array4<f32> {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let input = &self.input;
        let pixels = image.as_raw();
        let value = |y: usize, x: usize, channel: usize| {
            let place = match input.color {
                Color::Rgb => channel,
                Color::Bgr => 2 - channel,
            };
            let pixel = f32::from(pixels[(y * width + x) * 3 + place]);
            (pixel * input.scale - input.mean[channel]) / input.std[channel]
        };
        match self.layout {
            Layout::Nchw => Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| value(y, x, c)),
            Layout::Nhwc => Array4::from_shape_fn((1, height, width, 3), |(_, y, x, c)| value(y, x, c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn preprocess(layout: Layout, input: Input) -> Preprocess {
        Preprocess { height: 2, width: 2, layout, input }
    }

    #[test]
    fn channels_are_ordered_scaled_and_shifted() {
        let image = RgbImage::from_pixel(2, 2, Rgb([10, 20, 30]));
        let caffe = Input {
            color: Color::Bgr,
            scale: 1.0,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 1.0],
            ..Input::default()
        };
        let tensor = preprocess(Layout::Nchw, caffe.clone()).tensor(&image);
        assert_eq!([tensor[[0, 0, 0, 0]], tensor[[0, 1, 0, 0]], tensor[[0, 2, 0, 0]]], [29.0, 9.0, 7.0]);
        let tensor = preprocess(Layout::Nhwc, caffe).tensor(&image);
        assert_eq!([tensor[[0, 1, 1, 0]], tensor[[0, 1, 1, 1]], tensor[[0, 1, 1, 2]]], [29.0, 9.0, 7.0]);
    }

    #[test]
    fn a_crop_sees_the_middle() {
        let input = Input { fit: Fit::Crop, ..Input::default() };
        let preprocess = Preprocess { height: 224, width: 224, layout: Layout::Nchw, input };
        let [left, top, width, height] = preprocess.seen(448, 224);
        assert_eq!([left, top, width, height], [112.0, 0.0, 224.0, 224.0]);
        let fitted = preprocess.fit(&RgbImage::new(451, 300));
        assert_eq!((fitted.width(), fitted.height()), (224, 224));
    }
}
