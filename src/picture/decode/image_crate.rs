//! Decoding of every format but JPEG, by the `image` crate.

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};

use super::decoded::DecodedImage;
use super::errors::{corrupt, too_large, unsupported};
use super::format::Format;
use super::limits::Limits;
use crate::error::{Error, Kind, Result};

pub(super) fn decode(bytes: &[u8], format: Format, limits: Limits) -> Result<DecodedImage> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.as_image_format());
    let mut allocation_limits = image::Limits::default();
    allocation_limits.max_alloc = Some(limits.max_bytes());
    reader.limits(allocation_limits);
    let convert_error = |error| convert_error(error, format, limits);

    let mut decoder = reader.into_decoder().map_err(convert_error)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Error::new(
            Kind::UnsupportedImage,
            "A floating-point image does not define which value is white. \
             Save it with 8 or 16 bits per channel.",
        ));
    }
    // Invalid metadata is no reason to reject an image whose pixels are intact.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(convert_error)?;
    Ok(DecodedImage { pixels: blend_over_white(image), orientation })
}

/// Converts to 8-bit RGB; a transparent pixel is blended over white: `c · α + 255 · (1 − α)`.
fn blend_over_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut out = RgbImage::new(image.width(), image.height());
    for (out, pixel) in out.pixels_mut().zip(image.pixels()) {
        let [r, g, b, alpha] = pixel.0;
        let alpha = u32::from(alpha);
        // Adding 127 before the division by 255 rounds to nearest.
        *out = Rgb(
            [r, g, b].map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
        );
    }
    out
}

fn convert_error(error: ImageError, format: Format, limits: Limits) -> Error {
    match error {
        ImageError::Unsupported(error) => unsupported(format).caused_by(error),
        ImageError::Limits(_) => {
            too_large("Decoding the image needs too much memory for its size", limits.max_pixels)
        }
        error => corrupt(format, "it is truncated or damaged").caused_by(error),
    }
}
