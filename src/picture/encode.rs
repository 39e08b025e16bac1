//! Pictures on their way out: PNG.
//!
//! Settings favour time over size: a heat map is made for one look, and a slow deflate would
//! cost more than everything else that is drawn for the request.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};

use crate::error::{Error, Result};

/// The image as a PNG file.
pub fn png(image: &RgbImage) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::Rgb8)
}

/// The grey image as a PNG file of one channel.
pub fn png_gray(image: &GrayImage) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::L8)
}

fn encode(pixels: &[u8], (width, height): (u32, u32), color: ExtendedColorType) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(pixels.len() / 2 + 1024);
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(pixels, width, height, color)
        .map_err(|error| Error::internal("writing a PNG", error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
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
