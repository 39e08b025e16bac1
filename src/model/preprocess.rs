//! From a picture to the model's input tensor, exactly as the model's author does it.

use image::RgbImage;
use ndarray::Array4;

use super::manifest::{Color, Fit, Input, Layout};
use crate::picture::resize::{Filter, resize};

/// What a model takes, complete: the manifest's word where it has one, the graph's where not.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
    /// The order of the axes.
    pub layout: Layout,
    /// The channels and their order.
    pub color: Color,
    /// What every pixel 0..255 is multiplied by.
    pub scale: f32,
    /// What is subtracted, one a channel.
    pub mean: Vec<f32>,
    /// What is divided by, one a channel.
    pub std: Vec<f32>,
    /// The interpolation that resizes.
    pub resize: Filter,
    /// What happens to an image of other proportions.
    pub fit: Fit,
    /// With [`Fit::Crop`]: the shorter side becomes `size / crop_ratio` before the centre is cut
    /// out.
    pub crop_ratio: f32,
}

/// ImageNet's, of RGB from 0 to 1: torchvision's numbers.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

impl Preprocess {
    /// Completes what a manifest says of the input by what the graph takes. `bytes`: it takes
    /// pixels as they are.
    ///
    /// # Errors
    /// The sentence that says which list does not have one number a channel.
    pub fn new(
        input: &Input,
        [height, width]: [u32; 2],
        layout: Layout,
        color: Color,
        bytes: bool,
    ) -> Result<Self, String> {
        let channels = color.channels();
        let of_each = |name: &str, said: &Option<Vec<f32>>, imagenet: [f32; 3], neutral: f32| {
            match said {
                Some(said) if said.len() != channels => Err(format!(
                    "input.{name} must have a number for each channel: the model's input has {channels}, it has {}",
                    said.len()
                )),
                Some(said) => Ok(said.clone()),
                None if bytes || color == Color::Gray => Ok(vec![neutral; channels]),
                None => Ok(imagenet.to_vec()),
            }
        };
        let mean = of_each("mean", &input.mean, IMAGENET.0, 0.0)?;
        let std = of_each("std", &input.std, IMAGENET.1, 1.0)?;
        let scale = input.scale.unwrap_or(if bytes { 1.0 } else { 1.0 / 255.0 });
        let Input { resize, fit, crop_ratio, .. } = *input;
        Ok(Self { height, width, layout, color, scale, mean, std, resize, fit, crop_ratio })
    }

    /// The sizes of the input tensor of one image: `[C, H, W]` or `[H, W, C]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        let (channels, height, width) =
            (self.color.channels(), self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        }
    }

    /// Makes the input tensor of one image: `[1, C, H, W]` or `[1, H, W, C]`.
    #[must_use]
    pub fn tensor(&self, image: &RgbImage) -> Array4<f32> {
        self.normalise(&self.fit(image))
    }

    /// The picture as the model sees it: `width × height`, before any arithmetic.
    #[must_use]
    pub fn fit(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = (self.width, self.height);
        match self.fit {
            Fit::Stretch => resize(image, width, height, self.resize),
            Fit::Crop => {
                let (x, y, cut_width, cut_height, scaled) = self.crop(image);
                let scaled = resize(image, scaled.0, scaled.1, self.resize);
                image::imageops::crop_imm(&scaled, x, y, cut_width, cut_height).to_image()
            }
        }
    }

    /// The part of an image that the model sees, in the image's own pixels: left, top, width,
    /// height.
    #[must_use]
    pub fn seen(&self, image_width: u32, image_height: u32) -> [f32; 4] {
        match self.fit {
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
        let target_width = (self.width as f32 / self.crop_ratio).round() as u32;
        let target_height = (self.height as f32 / self.crop_ratio).round() as u32;
        let (wide, tall) = (u64::from(width), u64::from(height));
        let (fit_width, fit_height) = (u64::from(target_width), u64::from(target_height));
        // The side that would otherwise fall short is fitted exactly.
        let scaled = if wide * fit_height <= tall * fit_width {
            (target_width, (tall * fit_width / wide) as u32)
        } else {
            ((wide * fit_height / tall) as u32, target_height)
        };
        let scaled = (scaled.0.max(self.width), scaled.1.max(self.height));
        let centre =
            |long: u32, short: u32| (f64::from(long - short) / 2.0).round_ties_even() as u32;
        (
            centre(scaled.0, self.width),
            centre(scaled.1, self.height),
            self.width,
            self.height,
            scaled,
        )
    }

    /// `(pixel · scale − mean) / std` per channel.
    #[must_use]
    pub fn normalise(&self, image: &RgbImage) -> Array4<f32> {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let pixels = image.as_raw();
        let value = |y: usize, x: usize, channel: usize| {
            let pixel = &pixels[(y * width + x) * 3..][..3];
            let pixel = match self.color {
                Color::Rgb => pixel[channel],
                Color::Bgr => pixel[2 - channel],
                Color::Gray => luma([pixel[0], pixel[1], pixel[2]]),
            };
            (f32::from(pixel) * self.scale - self.mean[channel]) / self.std[channel]
        };
        let channels = self.color.channels();
        match self.layout {
            Layout::Nchw => {
                Array4::from_shape_fn((1, channels, height, width), |(_, c, y, x)| value(y, x, c))
            }
            Layout::Nhwc => {
                Array4::from_shape_fn((1, height, width, channels), |(_, y, x, c)| value(y, x, c))
            }
        }
    }
}

/// `0.299 R + 0.587 G + 0.114 B`, in 16 bits behind the point as Pillow's `convert("L")` has it.
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
    fn channels_are_ordered_scaled_and_shifted() {
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

    /// The numbers are `PIL.Image.convert("L")`'s, Pillow 13.0.0.
    #[test]
    fn gray_is_the_luma_of_pillow() {
        let pixels = [[10, 20, 30], [255, 255, 255], [200, 3, 77], [1, 254, 128]];
        assert_eq!(pixels.map(luma), [18, 255, 70, 164]);
        let image = RgbImage::from_pixel(2, 2, Rgb(pixels[2]));
        let tensor = preprocess(Layout::Nhwc, Color::Gray, Input::default()).tensor(&image);
        assert_eq!(tensor.shape(), [1, 2, 2, 1]);
        assert_eq!(tensor[[0, 1, 1, 0]], 70.0 / 255.0);
    }

    #[test]
    fn a_number_too_many_is_told() {
        let input = Input { mean: Some(vec![0.1, 0.2, 0.3]), ..Input::default() };
        let error = Preprocess::new(&input, [2, 2], Layout::Nchw, Color::Gray, false).unwrap_err();
        assert_eq!(
            error,
            "input.mean must have a number for each channel: the model's input has 1, it has 3"
        );
    }

    #[test]
    fn a_crop_sees_the_middle() {
        let input = Input { fit: Fit::Crop, ..Input::default() };
        let preprocess =
            Preprocess::new(&input, [224, 224], Layout::Nchw, Color::Rgb, false).unwrap();
        let [left, top, width, height] = preprocess.seen(448, 224);
        assert_eq!([left, top, width, height], [112.0, 0.0, 224.0, 224.0]);
        let fitted = preprocess.fit(&RgbImage::new(451, 300));
        assert_eq!((fitted.width(), fitted.height()), (224, 224));
    }
}
