//! PNG encoding.
//!
//! The settings favour speed over size: a heatmap is viewed once, and slow compression would take
//! longer than everything else that is rendered for it.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};

use crate::error::{Error, Result};

/// Encodes an image as a PNG file of 8-bit RGB.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) when the encoder fails.
pub fn png(image: &RgbImage) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::Rgb8)
}

/// Encodes a grayscale image as a PNG file of one 8-bit channel.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) when the encoder fails.
pub fn png_gray(image: &GrayImage) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::L8)
}

fn encode(pixels: &[u8], (width, height): (u32, u32), color: ExtendedColorType) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(pixels.len() / 2 + 1024);
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(pixels, width, height, color)
        .map_err(|error| Error::internal("encoding a PNG", error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_png_equals_the_encoded_image() {
        let image =
            RgbImage::from_fn(31, 17, |x, y| image::Rgb([x as u8 * 8, y as u8 * 9, (x * y) as u8]));
        let file = png(&image).unwrap();
        assert_eq!(image::load_from_memory(&file).unwrap().into_rgb8(), image);
        let gray = GrayImage::from_fn(3, 2, |x, y| image::Luma([(x * 100 + y) as u8]));
        let file = png_gray(&gray).unwrap();
        let read = image::load_from_memory(&file).unwrap();
        assert_eq!(read.color(), image::ColorType::L8);
        assert_eq!(read.into_luma8(), gray);
    }
}
