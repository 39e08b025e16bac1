//! Which format a file has, told by its first bytes and never by its name.
//!
//! What is refused is named where it can be, because "not an image" helps nobody who sends
//! a HEIC from a telephone.

use std::fmt;

use image::ImageFormat;

use crate::error::{Error, Kind, Result};

/// The formats that are accepted.
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
    /// The format of a file.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        Ok(match bytes {
            [] => {
                return Err(Error::new(
                    Kind::UnsupportedImage,
                    format!("The image is empty: 0 bytes arrived. {ACCEPTED}."),
                ));
            }
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            // Two letters are too little to tell a bitmap from prose: byte 14 holds the
            // header's length, of which there are few.
            [b'B', b'M', rest @ ..]
                if matches!(
                    rest.get(12..16),
                    Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
                ) =>
            {
                Self::Bmp
            }
            _ => {
                let what = refused(bytes).map_or_else(
                    || "This is not an image".to_owned(),
                    |name| format!("This is {name}"),
                );
                return Err(Error::new(Kind::UnsupportedImage, format!("{what}. {ACCEPTED}.")));
            }
        })
    }

    /// The `image` crate's word for it.
    pub(super) const fn as_image(self) -> ImageFormat {
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

/// What people send by mistake.
fn refused(bytes: &[u8]) -> Option<&'static str> {
    // An ISO media file names its brand after the first box's length and "ftyp".
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
        (b"data:", "a data: address, not the bytes of an image"),
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
