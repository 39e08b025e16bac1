//! JPEG decoding by zune-jpeg directly, not through the `image` crate.
//!
//! The `image` crate runs zune-jpeg in lenient mode, so a truncated file comes out half grey. Here
//! a file must reach its end-of-image marker, and every Huffman code in it must be valid. A file
//! whose end marker comes too early can't be detected; Pillow can't, either.

use image::RgbImage;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decoded::DecodedImage;
use super::errors::{corrupt, unsupported};
use super::format::Format;
use super::jpeg_markers;
use super::limits::Limits;
use crate::error::{Error, Result};

pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<DecodedImage> {
    let markers = jpeg_markers::scan(bytes);
    // Strict mode also rejects stray bytes between segments, which are harmless.
    let options = DecoderOptions::default()
        .set_strict_mode(!markers.has_stray_bytes)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(convert_error)?;
    let size = decoder
        .dimensions()
        .and_then(|(w, h)| Some((u32::try_from(w).ok()?, u32::try_from(h).ok()?)));
    let (width, height) =
        size.ok_or_else(|| corrupt(Format::Jpeg, "its header does not state a size"))?;
    limits.check(width, height)?;
    if !markers.has_end_of_image {
        return Err(corrupt(Format::Jpeg, "it is truncated"));
    }

    // CMYK values are taken as stored inverted, with or without Adobe's marker, as Pillow does.
    decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB));
    let pixels = decoder.decode().map_err(convert_error)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let pixels = RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| corrupt(Format::Jpeg, "it has fewer pixels than its header states"))?;
    Ok(DecodedImage { pixels, orientation: orientation.unwrap_or(Orientation::NoTransforms) })
}

fn convert_error(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::Unsupported(_) => unsupported(Format::Jpeg).caused_by(format!("{error:?}")),
        error => {
            corrupt(Format::Jpeg, "it is truncated or damaged").caused_by(format!("{error:?}"))
        }
    }
}
