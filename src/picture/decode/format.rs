//! Format detection by a file's first bytes, never by its name.
//!
//! Common formats that are not supported are recognised by name: "this is a HEIC" helps someone
//! with a photo from a phone, "not an image" does not.

use std::fmt;

use image::ImageFormat;

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
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
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
                let what = unsupported_format(bytes).map_or_else(
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

/// Names a format that is not supported but likely to be tried.
fn unsupported_format(bytes: &[u8]) -> Option<&'static str> {
    // An ISO base media file (ISO/IEC 14496-12) starts with a box: its length, "ftyp", the brand.
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF",
            Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => "a HEIC",
            _ => "a video or another ISO media file",
        });
    }
    let known: [(&[u8], &str); 9] = [
        (b"%PDF", "a PDF"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"8BPS", "a Photoshop document"),
        (b"\0\0\x01\0", "an icon"),
        (b"\xff\x0a", "a JPEG XL"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
        (b"data:", "a data: URL, not the bytes of an image"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(name);
    }
    match bytes.trim_ascii_start().first() {
        Some(b'<') => Some("HTML, SVG or XML"),
        Some(b'{' | b'[') => Some("JSON"),
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok() => Some("text"),
        _ => None,
    }
}
