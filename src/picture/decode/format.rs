//! Format detection by a file's first bytes, never by its name.
//!
//! `signatures.rs` names what is not supported.

use std::fmt;

use image::ImageFormat;

use super::signatures;
use crate::error::{Error, Kind, Result};

/// The supported formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
    Gif,
    Bmp,
    Tiff,
}

const ACCEPTED: &str = "PNG, JPEG, WebP, GIF, BMP and TIFF are accepted";

impl Format {
    /// Detects the format of a file.
    ///
    /// # Errors
    /// [`Kind::UnsupportedImage`] with the name of the format, where it is a known one.
    pub(super) fn detect(bytes: &[u8]) -> Result<Self> {
        Ok(match bytes {
            [] => {
                return Err(Error::new(
                    Kind::UnsupportedImage,
                    format!("The image is empty (0 bytes). {ACCEPTED}."),
                ));
            }
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', rest @ ..]
                if rest.get(4..8) != Some(b"CgBI") =>
            {
                Self::Png
            }
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            // Two letters do not distinguish a bitmap from text. Byte 14 starts the length of
            // the info header, which has few valid values.
            [b'B', b'M', rest @ ..]
                if matches!(
                    rest.get(12..16),
                    Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
                ) =>
            {
                Self::Bmp
            }
            _ => {
                let what = signatures::name(bytes).map_or_else(
                    || "This is not an image".to_owned(),
                    |name| format!("This is {name}"),
                );
                return Err(Error::new(Kind::UnsupportedImage, format!("{what}. {ACCEPTED}.")));
            }
        })
    }

    /// The `image` crate's name for the format.
    pub(super) const fn as_image_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
            Self::Gif => ImageFormat::Gif,
            Self::Bmp => ImageFormat::Bmp,
            Self::Tiff => ImageFormat::Tiff,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}
