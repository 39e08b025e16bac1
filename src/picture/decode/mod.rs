//! Decoding: the bytes that a client sends become 8-bit RGB, upright, on white.
//!
//! The promise: any bytes at all give an image or an error that says what is wrong with
//! them. The format is told by content. Width and height are read from the header and held
//! against the limit before memory for pixels is taken. A truncated file is an error, never
//! half a picture: a heat map over grey filler would be a confident lie.

mod format;
mod jpeg;
mod jpeg_scan;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};

use self::format::Format;
use crate::error::{Error, Kind, Result};

/// What a client's image may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels, width × height, that are decoded.
    pub max_pixels: u64,
}

impl Limits {
    /// Held against what the header claims.
    fn check(self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(Error::new(
                Kind::CorruptImage,
                format!("The image has no pixels: it is {width} × {height}."),
            ));
        }
        if pixels > self.max_pixels {
            return Err(too_large(
                format!("The image has {width} × {height} = {pixels} pixels"),
                self,
            ));
        }
        Ok(())
    }

    /// Bytes that a decoder may take: 16-bit RGBA for every pixel, twice, and some room for
    /// what does not grow with the picture (tables, metadata, one compressed strip).
    const fn max_bytes(self) -> u64 {
        self.max_pixels.saturating_mul(16).saturating_add(64 << 20)
    }
}

/// The image in `bytes`: 8-bit RGB, turned upright by its EXIF orientation, alpha over white.
///
/// PNG, JPEG, WebP, GIF (first frame), BMP and TIFF; grey, palette, CMYK and 16-bit too.
///
/// # Errors
/// [`Kind::UnsupportedImage`] for what is no image or of another format,
/// [`Kind::ImageTooLarge`] over the limit, [`Kind::CorruptImage`] for what cannot be decoded to its
/// end.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    let format = Format::of(bytes)?;
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, *limits),
        _ => other(bytes, format, *limits),
    }));
    // The decoders are fuzzed, but they are other people's code fed with strangers' bytes:
    // if one panics, that is this image's fault and must not look like ours.
    let (image, orientation) = decoded.unwrap_or_else(|_| {
        tracing::error!(?format, bytes = bytes.len(), "an image decoder panicked");
        Err(corrupt(format, "it breaks the decoder"))
    })?;
    Ok(upright(image, orientation))
}

/// A picture as its file has it, and how it is to be turned.
type Decoded = (RgbImage, Orientation);

fn other(bytes: &[u8], format: Format, limits: Limits) -> Result<Decoded> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.as_image());
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes());
    reader.limits(bounds);
    let told = |error| explain(error, format, limits);

    let mut decoder = reader.into_decoder().map_err(told)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Error::new(
            Kind::UnsupportedImage,
            "A picture of 32-bit floats does not say which value is white. Save it with 8 or 16 bits a channel.",
        ));
    }
    // Broken metadata is no reason to refuse a picture that can be seen.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(told)?;
    Ok((on_white(image), orientation))
}

fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut out = RgbImage::new(image.width(), image.height());
    for (out, pixel) in out.pixels_mut().zip(image.pixels()) {
        let [r, g, b, alpha] = pixel.0;
        let alpha = u32::from(alpha);
        // c·α + 255·(1 − α), rounded.
        *out = Rgb(
            [r, g, b].map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
        );
    }
    out
}

fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// What the `image` crate's errors mean for the person who sent the file.
fn explain(error: ImageError, format: Format, limits: Limits) -> Error {
    match error {
        ImageError::Unsupported(error) => unsupported(format).caused_by(error),
        ImageError::Limits(_) => {
            too_large("Decoding the image needs too much memory for its size".to_owned(), limits)
        }
        error => corrupt(format, "it is truncated or damaged").caused_by(error),
    }
}

fn unsupported(format: Format) -> Error {
    Error::new(
        Kind::UnsupportedImage,
        format!(
            "This kind of {format} is not accepted: its colours or its compression are rare ones. \
             Save it as PNG, or with 8 or 16 bits a channel, grey or RGB."
        ),
    )
}

fn corrupt(format: Format, what: &str) -> Error {
    Error::new(Kind::CorruptImage, format!("The {format} could not be decoded: {what}."))
}

fn too_large(what: String, limits: Limits) -> Error {
    Error::new(Kind::ImageTooLarge, format!("{what}; the limit is {} pixels.", limits.max_pixels))
}

#[cfg(test)]
mod tests;
