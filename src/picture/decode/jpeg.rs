//! JPEG decoding by libjpeg, whose pixels are those that Pillow, OpenCV and browsers show.
//!
//! libjpeg warns about damaged data and goes on with grey pixels. Here such a warning is an error:
//! a file must reach its end-of-image marker, and every code in it must be valid. A file whose end
//! marker comes too early can't be detected; Pillow can't, either. What libjpeg does not decode is
//! named. `docs/adr/0006-libjpeg-decodes-jpeg.md` says why it is libjpeg.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use image::RgbImage;
use mozjpeg::{ColorSpace, Decompress};

use super::errors::{corrupt, unsupported};
use super::format::Format;
use super::jpeg_errors::{LibjpegError, strict_errors};
use super::jpeg_markers::{self, Frame, Markers};
use super::limits::Limits;
use crate::error::{Error, Result};

/// An image needs at most a few dozen scans. A file can hold millions of empty ones, each of which
/// takes time in proportion to the whole image.
const MAX_SCANS: usize = 100;

/// What the samples of a decoded file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// RGB, or CMYK where the file has four channels.
    Rgb,
    /// Those of the file.
    AsStored,
}

/// The samples of a decoded file, `[H, W, C]`.
pub(super) struct Samples {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: usize,
    pub(super) values: Vec<u8>,
}

pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<RgbImage> {
    let Samples { width, height, channels, mut values } =
        samples(bytes, Format::Jpeg, Colours::Rgb, limits)?;
    if channels == 4 {
        let rgb = |pixel: &[u8]| inverted_cmyk_to_rgb([pixel[0], pixel[1], pixel[2], pixel[3]]);
        values = values.chunks_exact(4).flat_map(rgb).collect();
    }
    RgbImage::from_raw(width, height, values)
        .ok_or_else(|| corrupt(Format::Jpeg, "it has fewer pixels than its header states"))
}

/// Decodes a JPEG datastream. Errors name the format that it is in.
pub(super) fn samples(
    bytes: &[u8],
    format: Format,
    colours: Colours,
    limits: Limits,
) -> Result<Samples> {
    let markers = jpeg_markers::scan(bytes);
    check_supported(&markers, format)?;
    // An error unwinds from libjpeg to here.
    match catch_unwind(AssertUnwindSafe(|| read(bytes, &markers, format, colours, limits))) {
        Ok(decoded) => decoded,
        Err(payload) => match payload.downcast::<LibjpegError>() {
            Ok(error) => Err(convert_error(*error, format)),
            Err(payload) => resume_unwind(payload),
        },
    }
}

fn read(
    bytes: &[u8],
    markers: &Markers,
    format: Format,
    colours: Colours,
    limits: Limits,
) -> Result<Samples> {
    let damaged = |cause: std::io::Error| damaged(format, cause);
    let file = Decompress::with_err(strict_errors()).from_mem(bytes).map_err(damaged)?;
    let size = (u32::try_from(file.width()).ok()).zip(u32::try_from(file.height()).ok());
    let (width, height) =
        size.ok_or_else(|| corrupt(format, "its header does not state a size"))?;
    limits.check(width, height)?;
    if !markers.has_end_of_image {
        return Err(corrupt(format, "it is truncated"));
    }

    let stored = file.color_space();
    let to = match (colours, stored) {
        (Colours::AsStored, _) => stored,
        (_, ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) => ColorSpace::JCS_CMYK,
        _ => ColorSpace::JCS_RGB,
    };
    let mut file = file.to_colorspace(to).map_err(damaged)?;
    let values: Vec<u8> = file.read_scanlines().map_err(damaged)?;
    file.finish().map_err(damaged)?;
    let channels = values.len() / (width as usize * height as usize);
    Ok(Samples { width, height, channels, values })
}

/// Converts CMYK that is stored inverted, as Adobe's programs write it. Pillow and browsers take
/// all CMYK files as inverted, with or without Adobe's marker.
pub(super) fn inverted_cmyk_to_rgb(pixel: [u8; 4]) -> [u8; 3] {
    let key = u32::from(pixel[3]);
    [0, 1, 2].map(|i| {
        // Rounded to nearest, and then subtracted, as Pillow does.
        let ink = ((255 - u32::from(pixel[i])) * key + 127) / 255;
        (key - ink) as u8
    })
}

/// Names what libjpeg does not decode.
fn check_supported(markers: &Markers, format: Format) -> Result<()> {
    let Some(Frame { marker, precision, height, components, .. }) = markers.frame else {
        return Ok(());
    };
    let what = match marker {
        0xc3 | 0xc7 | 0xcb | 0xcf => "lossless coding".to_owned(),
        0xc5 | 0xc6 | 0xcd | 0xce => "hierarchical coding".to_owned(),
        0xf7 => "the coding of JPEG-LS".to_owned(),
        _ if precision != 8 => format!("{precision} bits per channel"),
        _ if !matches!(components, 1 | 3 | 4) => format!("{components} channels"),
        _ if height == 0 => "its height behind the pixels instead of in front of them".to_owned(),
        _ if markers.scans > MAX_SCANS => {
            format!("{} scans, more than the {MAX_SCANS} that are allowed", markers.scans)
        }
        _ => return Ok(()),
    };
    Err(unsupported(format, &what))
}

fn convert_error(error: LibjpegError, format: Format) -> Error {
    match error.unsupported_feature() {
        Some(what) => unsupported(format, what).caused_by(error),
        None => damaged(format, error),
    }
}

fn damaged(format: Format, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    corrupt(format, "it is truncated or damaged").caused_by(cause)
}
