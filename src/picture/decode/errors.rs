//! The errors of decoding, worded for the person who supplied the image.

use super::format::Format;
use crate::error::{Error, Kind};

/// An error for a file with a feature that is not supported. `what` completes "This JPEG has …".
pub(super) fn unsupported(format: Format, what: &str) -> Error {
    let detail = format!(
        "This {format} has {what}, which is not supported. \
         Save it as PNG, with 8 or 16 bits per channel."
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
