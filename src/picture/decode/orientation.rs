//! The orientation that a file's metadata states, read alike for every format.
//!
//! Tag 0x0112 ("Orientation" in CIPA DC-008, Exif 2.32, section 4.6.4; first defined by TIFF 6.0)
//! states which transform makes the stored image upright:
//!
//! | value | transform |
//! |---|---|
//! | 1 | none |
//! | 2 | flip horizontally |
//! | 3 | rotate by 180° |
//! | 4 | flip vertically |
//! | 5 | rotate by 90° clockwise, then flip horizontally (transpose) |
//! | 6 | rotate by 90° clockwise |
//! | 7 | rotate by 270° clockwise, then flip horizontally (transverse) |
//! | 8 | rotate by 270° clockwise |
//!
//! `image::metadata::Orientation` implements the table. Everything else is as in Pillow's
//! `ImageOps.exif_transpose`: which metadata are read and which of them count, which types the tag
//! may have, and that invalid metadata leave the image as it is stored.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::format::Format;
use super::ifd::{Ifd, tags};
use super::metadata::Metadata;

/// Reads the orientation of a file.
pub(super) fn read(bytes: &[u8], format: Format) -> Orientation {
    let metadata = Metadata::find(bytes, format);
    (metadata.exif.as_deref().and_then(from_exif))
        .or_else(|| metadata.xmp.and_then(from_xmp))
        .and_then(|value| Orientation::from_exif(u8::try_from(value).ok()?))
        .unwrap_or(Orientation::NoTransforms)
}

/// Applies an orientation.
pub(super) fn apply(pixels: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return pixels;
    }
    let mut image = DynamicImage::ImageRgb8(pixels);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// The tag in EXIF metadata. A tag that is there but has no valid value means "as stored", and
/// XMP is not asked.
fn from_exif(mut exif: &[u8]) -> Option<u32> {
    // JPEG requires this prefix once. PNG and WebP have none, but many writers add it there, and
    // some add it twice.
    for _ in 0..2 {
        exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    }
    let ifd = Ifd::first(exif)?;
    ifd.bytes(tags::ORIENTATION).map(|_| ifd.integer(tags::ORIENTATION).unwrap_or(1))
}

/// `tiff:Orientation` in an XMP packet, as an attribute or as an element (XMP part 1, section 7).
fn from_xmp(packet: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    packet.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(
        |(at, _)| {
            let rest = &packet[at + NAME.len()..];
            let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
            value.first().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
        },
    )
}
