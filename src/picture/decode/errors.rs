//! The errors of decoding, worded for the person who supplied the image.

use super::format::Format;
use crate::error::{Error, Kind};

pub(super) fn unsupported(format: Format) -> Error {
    let detail = format!(
        "The colour type or compression of this {format} is not supported. \
         Save it as PNG, or with 8 or 16 bits per channel, grayscale or RGB."
    );
    Error::new(Kind::UnsupportedImage, detail)
}

pub(super) fn corrupt(format: Format, reason: &str) -> Error {
    Error::new(Kind::CorruptImage, format!("The {format} could not be decoded: {reason}."))
}

pub(super) fn no_pixels(width: u32, height: u32) -> Error {
    let detail = format!("The image has no pixels: its size is {width} × {height}.");
    Error::new(Kind::CorruptImage, detail)
}

pub(super) fn too_large(reason: &str, max_pixels: u64) -> Error {
    Error::new(Kind::ImageTooLarge, format!("{reason}; the limit is {max_pixels} pixels."))
}
