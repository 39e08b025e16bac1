//! Encoding of pictures, with what they show in their metadata.
//!
//! The settings of PNG favour speed over size: a heatmap is viewed once, and slow compression would
//! take longer than everything else that is rendered for it. WebP is lossless.

mod exif;

use image::codecs::jpeg::{JpegEncoder, PixelDensity};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
use png::{BitDepth, ColorType, Compression, Filter, PixelDimensions, Unit};

use crate::error::{Error, Result};

/// The quality of JPEG, 1 to 100.
const JPEG_QUALITY: u8 = 92;

/// A file format of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    #[default]
    Png,
    /// JPEG.
    Jpeg,
    /// Lossless WebP.
    Webp,
    /// SVG, of figures alone.
    Svg,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Svg => "image/svg+xml",
        }
    }

    /// The usual extension of a file.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Svg => "svg",
        }
    }

    /// The longest side that a file of this format can have, in pixels.
    #[must_use]
    pub const fn max_side_px(self) -> u32 {
        match self {
            Self::Webp => 16_383,
            Self::Jpeg => 65_535,
            Self::Png | Self::Svg => i32::MAX as u32,
        }
    }
}

/// What a file says about its picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Names and values, in order.
    pub entries: Vec<(&'static str, String)>,
    /// The resolution in dots per inch; none for a picture without a size on paper.
    pub dpi: Option<u16>,
}

/// Encodes an image as a file of 8-bit RGB. SVG is not for pixels and gives a PNG.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) when the encoder fails.
pub fn rgb(image: &RgbImage, format: Format, metadata: &Metadata) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::Rgb8, format, metadata)
}

/// Encodes a grayscale image as a file of one 8-bit channel, if the format has such files.
///
/// # Errors
/// As [`rgb`].
pub fn gray(image: &GrayImage, format: Format, metadata: &Metadata) -> Result<Vec<u8>> {
    encode(image.as_raw(), image.dimensions(), ExtendedColorType::L8, format, metadata)
}

/// Encodes an image as a PNG file of 8-bit RGB.
///
/// # Errors
/// As [`rgb`].
pub fn png(image: &RgbImage, metadata: &Metadata) -> Result<Vec<u8>> {
    rgb(image, Format::Png, metadata)
}

fn encode(
    pixels: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
    format: Format,
    metadata: &Metadata,
) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(pixels.len() / 2 + 1024);
    let failed = |error: image::ImageError| Error::internal("encoding a picture", error);
    match format {
        Format::Png | Format::Svg => {
            write_png(&mut file, pixels, (width, height), color, metadata)
                .map_err(|error| Error::internal("encoding a PNG", error))?;
        }
        Format::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
            if let Some(dpi) = metadata.dpi {
                encoder.set_pixel_density(PixelDensity::dpi(dpi));
            }
            encoder
                .set_exif_metadata(exif::block(metadata))
                .map_err(|error| Error::internal("writing EXIF", error))?;
            encoder.write_image(pixels, width, height, color).map_err(failed)?;
        }
        Format::Webp => {
            let mut encoder = WebPEncoder::new_lossless(&mut file);
            encoder
                .set_exif_metadata(exif::block(metadata))
                .map_err(|error| Error::internal("writing EXIF", error))?;
            encoder.write_image(pixels, width, height, color).map_err(failed)?;
        }
    }
    Ok(file)
}

fn write_png(
    file: &mut Vec<u8>,
    pixels: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
    metadata: &Metadata,
) -> std::result::Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(file, width, height);
    let is_gray = color == ExtendedColorType::L8;
    encoder.set_color(if is_gray { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    if let Some(dpi) = metadata.dpi {
        let per_meter = (f64::from(dpi) / 0.0254).round() as u32;
        let dimensions = PixelDimensions { xppu: per_meter, yppu: per_meter, unit: Unit::Meter };
        encoder.set_pixel_dims(Some(dimensions));
    }
    for (name, value) in &metadata.entries {
        let (name, value) = ((*name).to_owned(), value.replace('\0', " "));
        // More programs read tEXt, but it holds Latin-1 alone.
        if value.chars().all(|c| c <= '\u{ff}') {
            encoder.add_text_chunk(name, value)?;
        } else {
            encoder.add_itxt_chunk(name, value)?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}

#[cfg(test)]
mod tests;
