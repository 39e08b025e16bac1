//! JPEG, by zune-jpeg itself rather than through the `image` crate.
//!
//! The `image` crate asks it to be lenient, so a truncated file comes out half grey. Here a
//! file must lead to its end marker and every code in it must mean something. What nobody
//! can tell, Pillow neither, is a file whose end marker comes too soon.

use image::RgbImage;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::format::Format;
use super::{Decoded, Limits, corrupt, jpeg_scan, unsupported};
use crate::error::{Error, Result};

pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<Decoded> {
    let scan = jpeg_scan::scan(bytes);
    // Strict refuses stray bytes between segments as well, and those harm nobody.
    let options = DecoderOptions::default()
        .set_strict_mode(!scan.stray)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(explain)?;
    let size = decoder
        .dimensions()
        .and_then(|(w, h)| Some((u32::try_from(w).ok()?, u32::try_from(h).ok()?)));
    let (width, height) = size.ok_or_else(|| corrupt(Format::Jpeg, "it does not say its size"))?;
    limits.check(width, height)?;
    if !scan.ended {
        return Err(corrupt(Format::Jpeg, "it ends too early"));
    }

    // CMYK is taken as stored inverted, with or without Adobe's mark: Pillow's rule, and zune's.
    decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB));
    let pixels = decoder.decode().map_err(explain)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let image = RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| corrupt(Format::Jpeg, "it holds less than it says"))?;
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}

fn explain(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::Unsupported(_) => unsupported(Format::Jpeg).caused_by(format!("{error:?}")),
        error => {
            corrupt(Format::Jpeg, "it is truncated or damaged").caused_by(format!("{error:?}"))
        }
    }
}
