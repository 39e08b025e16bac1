//! Decoding of every format but JPEG, by the `image` crate.

use std::borrow::Cow;
use std::io::Cursor;

use image::error::ImageError;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::alpha::{Alpha, blend_over_white};
use super::errors::{corrupt, too_large, unsupported};
use super::format::Format;
use super::limits::Limits;
use super::{gif, size, tiff, tiff_jpeg, webp};
use crate::error::{Error, Result};

pub(super) fn decode(bytes: &[u8], format: Format, limits: Limits) -> Result<RgbImage> {
    let bytes = match format {
        Format::Gif => gif::with_whole_first_frame(bytes)?,
        Format::WebP => webp::as_libwebp_reads_it(bytes),
        _ => Cow::Borrowed(bytes),
    };
    let bytes = &*bytes;
    if format == Format::Tiff {
        tiff::check_supported(bytes)?;
        if let Some(image) = tiff_jpeg::decode(bytes, limits)? {
            return Ok(image);
        }
        if let Some(image) = tiff::gray_alpha(bytes, limits)? {
            return Ok(blend_over_white(image, tiff::alpha(bytes)));
        }
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.as_image_format());
    let mut allocation_limits = image::Limits::default();
    // A header that can't be read is the decoder's to refuse.
    let declared = size::dimensions(bytes, format);
    if let Some((width, height)) = declared {
        limits.check(width, height)?;
    }
    let pixels = declared.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    allocation_limits.max_alloc = Some(Limits::max_bytes(pixels));
    reader.limits(allocation_limits);
    let convert_error = |error| convert_error(error, bytes, format, limits);

    let decoder = reader.into_decoder().map_err(convert_error)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let alpha = if format == Format::Tiff { tiff::alpha(bytes) } else { Alpha::Straight };
    let image = DynamicImage::from_decoder(decoder).map_err(convert_error)?;
    Ok(blend_over_white(image, alpha))
}

fn convert_error(error: ImageError, bytes: &[u8], format: Format, limits: Limits) -> Error {
    match error {
        ImageError::Unsupported(error) => {
            let what = if format == Format::Tiff {
                tiff::unsupported_feature(bytes)
            } else {
                "a colour type or a compression that is rare".to_owned()
            };
            unsupported(format, &what).caused_by(error)
        }
        ImageError::Limits(_) => {
            too_large("Decoding the image needs too much memory for its size", limits.max_pixels)
        }
        error => corrupt(format, "it is truncated or damaged").caused_by(error),
    }
}
