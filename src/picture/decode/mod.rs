//! Image decoding: bytes of unknown origin become 8-bit RGB, upright, on a white background.
//!
//! Any input gives either an image or an error that says what is wrong with it; nothing panics.
//! The format is detected from the content. Width and height are read from the header and checked
//! against [`Limits`] before pixels are allocated. A truncated file is an error, never a partial
//! image: a heatmap over grey filler would look right and be wrong.

mod alpha;
mod errors;
mod format;
mod gif;
mod ifd;
mod image_crate;
mod jpeg;
mod jpeg_errors;
mod jpeg_markers;
mod limits;
mod metadata;
mod orientation;
mod signatures;
mod size;
mod tiff;
mod tiff_jpeg;
mod webp;

use std::path::Path;

use image::RgbImage;

use self::errors::corrupt;
use self::format::Format;
pub use self::limits::Limits;
pub use self::size::DeclaredSize;
use crate::error::Result;
use crate::panics;

/// The extensions of image files, to find them in a folder or an archive. [`decode`] goes by the
/// content.
pub const EXTENSIONS: [&str; 10] =
    ["png", "jpg", "jpeg", "jpe", "webp", "gif", "bmp", "dib", "tif", "tiff"];

/// Whether a path has one of [`EXTENSIONS`], in whatever case.
#[must_use]
pub fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Decodes an image to 8-bit RGB, with its EXIF orientation applied and alpha blended over white.
///
/// Supports PNG, JPEG, WebP, GIF (first frame), BMP and TIFF, including grayscale, palette, CMYK
/// and 16-bit images.
///
/// # Errors
/// [`Kind::UnsupportedImage`](crate::error::Kind::UnsupportedImage) for other formats and for bytes
/// that are not an image, [`Kind::ImageTooLarge`](crate::error::Kind::ImageTooLarge) above the
/// limit, [`Kind::CorruptImage`](crate::error::Kind::CorruptImage) for a file that can't be decoded
/// completely.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    let format = Format::detect(bytes)?;
    let decoded = panics::catch(|| {
        let pixels = match format {
            Format::Jpeg => jpeg::decode(bytes, *limits)?,
            _ => image_crate::decode(bytes, format, *limits)?,
        };
        Ok(orientation::apply(pixels, orientation::read(bytes, format)))
    });
    // The decoders are fuzzed, but they are third-party code that parses untrusted bytes. If one
    // panics, the image is at fault, and the error must not look like a bug in camlens.
    decoded.unwrap_or_else(|_| {
        tracing::info!(?format, bytes = bytes.len(), "an image decoder failed unexpectedly");
        Err(corrupt(format, "the decoder failed on it"))
    })
}

#[cfg(test)]
mod tests;
