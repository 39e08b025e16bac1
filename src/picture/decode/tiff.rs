//! What the tags of a TIFF file say about its pixels, beyond what the `image` crate reads.

use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, ImageBuffer};
use tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};

use super::alpha::Alpha;
use super::errors::{corrupt, too_large, unsupported};
use super::format::Format;
use super::ifd::{Ifd, tags};
use super::limits::Limits;
use crate::error::{Error, Result};

/// Values of the tag PhotometricInterpretation.
pub(super) const WHITE_IS_ZERO: u32 = 0;
pub(super) const BLACK_IS_ZERO: u32 = 1;
pub(super) const RGB: u32 = 2;
pub(super) const CMYK: u32 = 5;
pub(super) const YCBCR: u32 = 6;
/// A value of the tag Compression.
pub(super) const JPEG: u32 = 7;

/// The meaning of the channel behind the colours (TIFF 6.0, section 18, "ExtraSamples").
pub(super) fn alpha(bytes: &[u8]) -> Alpha {
    let kinds = Ifd::first(bytes).and_then(|ifd| ifd.numbers(tags::EXTRA_SAMPLES));
    match kinds.as_deref().and_then(|kinds| kinds.first()) {
        Some(1.0) => Alpha::Associated,
        Some(0.0) => Alpha::Other,
        // Files without the tag mean alpha, and Pillow reads them so.
        _ => Alpha::Straight,
    }
}

/// Refuses what would decode to wrong pixels.
pub(super) fn check_supported(bytes: &[u8]) -> Result<()> {
    let Some(ifd) = Ifd::first(bytes) else { return Ok(()) };
    let samples = ifd.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let reason = if let Some(what) = sample_format(&ifd) {
        what
    } else if samples > 4 {
        format!("{samples} channels")
    } else if let Some(what) = misread_layout(&ifd, samples) {
        what.to_owned()
    } else {
        return Ok(());
    };
    Err(unsupported(Format::Tiff, &reason))
}

/// Arrangements of samples that the `tiff` crate (0.11) reads wrongly or panics at.
fn misread_layout(ifd: &Ifd<'_>, samples: u32) -> Option<&'static str> {
    let is_tiled = ifd.numbers(tags::TILE_OFFSETS).is_some();
    let has_predictor = ifd.integer(tags::PREDICTOR).is_some_and(|predictor| predictor != 1);
    let is_unspecified = ifd
        .numbers(tags::EXTRA_SAMPLES)
        .is_some_and(|kinds| samples == 4 && kinds.first() == Some(&0.0));
    if ifd.integer(tags::COMPRESSION) == Some(JPEG) {
        // Not its concern: `tiff_jpeg.rs` reads these.
        None
    } else if ifd.integer(tags::FILL_ORDER) == Some(2) {
        Some("bits in reversed order (FillOrder 2)")
    } else if is_tiled && ifd.integer(tags::PLANAR_CONFIGURATION) == Some(2) {
        Some("tiles with a plane for each channel")
    } else if is_unspecified && (is_tiled || has_predictor) {
        Some("a fourth channel of unspecified meaning in tiles or with a predictor")
    } else if has_predictor && ifd.integer(tags::COMPRESSION).unwrap_or(1) == 1 {
        Some("a predictor without compression")
    } else {
        None
    }
}

/// Samples that are no unsigned integers of at most 16 bits.
fn sample_format(ifd: &Ifd<'_>) -> Option<String> {
    let first = |tag| ifd.numbers(tag).and_then(|values| values.first().copied());
    let bits = first(tags::BITS_PER_SAMPLE).unwrap_or(1.0);
    match first(tags::SAMPLE_FORMAT) {
        Some(2.0) => Some("signed samples".to_owned()),
        Some(3.0) => Some("floating-point samples".to_owned()),
        Some(5.0 | 6.0) => Some("complex samples".to_owned()),
        _ if bits > 16.0 => Some(format!("{bits} bits per channel")),
        _ => None,
    }
}

/// Names the feature for which a decoder has refused the file.
pub(super) fn unsupported_feature(bytes: &[u8]) -> String {
    let Some(ifd) = Ifd::first(bytes) else { return "no directory".to_owned() };
    let compression = match ifd.integer(tags::COMPRESSION).unwrap_or(1) {
        // What is decoded: none, Group 4, LZW, JPEG, Deflate (twice), PackBits.
        1 | 4 | 5 | JPEG | 8 | 32946 | 32773 => None,
        2 => Some("CCITT compression (modified Huffman)".to_owned()),
        3 => Some("CCITT compression (Group 3)".to_owned()),
        6 => Some("JPEG compression of the old style".to_owned()),
        34712 => Some("JPEG 2000 compression".to_owned()),
        34925 => Some("LZMA compression".to_owned()),
        50000 => Some("Zstandard compression".to_owned()),
        50001 => Some("WebP compression".to_owned()),
        other => Some(format!("the compression {other}")),
    };
    let colours = match ifd.integer(tags::PHOTOMETRIC) {
        Some(3) => Some("palette colours".to_owned()),
        Some(YCBCR) => Some("YCbCr colours".to_owned()),
        Some(8..=10) => Some("CIELAB colours".to_owned()),
        Some(WHITE_IS_ZERO | BLACK_IS_ZERO | RGB | CMYK) => None,
        Some(other) => Some(format!("the colour type {other}")),
        None => Some("no colour type".to_owned()),
    };
    compression.or(colours).unwrap_or_else(|| {
        let bits = ifd.numbers(tags::BITS_PER_SAMPLE).unwrap_or_default();
        let samples = ifd.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let bits = bits.first().copied().unwrap_or(1.0);
        format!("{bits} bits per channel in {samples} channels")
    })
}

/// Decodes grayscale with a second channel, which the `image` crate refuses. `None` for every
/// other file.
pub(super) fn gray_alpha(bytes: &[u8], limits: Limits) -> Result<Option<DynamicImage>> {
    let Some(ifd) = Ifd::first(bytes) else { return Ok(None) };
    let photometric = ifd.integer(tags::PHOTOMETRIC);
    let is_planar = ifd.integer(tags::PLANAR_CONFIGURATION) == Some(2);
    if ifd.integer(tags::SAMPLES_PER_PIXEL) != Some(2)
        || is_planar
        || photometric != Some(BLACK_IS_ZERO)
    {
        return Ok(None);
    }
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions().map_err(damaged)?;
    limits.check(width, height)?;
    let mut buffers = TiffLimits::default();
    let most = usize::try_from(Limits::max_bytes(u64::from(width) * u64::from(height)))
        .unwrap_or(usize::MAX);
    buffers.decoding_buffer_size = most;
    buffers.intermediate_buffer_size = most;
    buffers.ifd_value_size = most;
    decoder = decoder.with_limits(buffers);
    let image = match decoder.read_image() {
        Ok(DecodingResult::U8(samples)) => {
            GrayAlphaImage::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
        }
        Ok(DecodingResult::U16(samples)) => {
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA16)
        }
        Ok(_) | Err(tiff::TiffError::UnsupportedError(_)) => return Ok(None),
        Err(tiff::TiffError::LimitsExceeded) => {
            return Err(too_large(
                "Decoding the image needs too much memory for its size",
                limits.max_pixels,
            ));
        }
        Err(error) => return Err(damaged(error)),
    };
    Ok(image)
}

fn damaged(error: tiff::TiffError) -> Error {
    corrupt(Format::Tiff, "it is truncated or damaged").caused_by(error)
}
