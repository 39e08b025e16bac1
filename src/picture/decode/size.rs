//! The size that a file's header states, and what decoding the file takes: a few bytes are read,
//! and nothing is decoded.

use super::format::Format;
use super::ifd::{Ifd, tags};
use super::jpeg_markers;

/// The size of an image, and the memory that decoding it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredSize {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The most bytes that decoding to 8-bit RGB takes for each pixel, the result included.
    pub bytes_per_pixel: u64,
}

impl DeclaredSize {
    /// Reads the header of a file; `None` if it is damaged, or not of an accepted format.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let format = Format::detect(bytes).ok()?;
        let (width, height) = dimensions(bytes, format)?;
        Some(Self { width, height, bytes_per_pixel: bytes_per_pixel(bytes, format) })
    }

    /// Width × height.
    #[must_use]
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

/// The width and height of a file.
pub(super) fn dimensions(bytes: &[u8], format: Format) -> Option<(u32, u32)> {
    match format {
        Format::Png => {
            let header = bytes.get(16..24)?;
            Some((big_endian(&header[..4]), big_endian(&header[4..])))
        }
        Format::Jpeg => {
            let (_, frame) = jpeg_markers::segments(bytes).find(|(marker, _)| is_frame(*marker))?;
            let size = frame.get(1..5)?;
            Some((big_endian(&size[2..]), big_endian(&size[..2])))
        }
        Format::WebP => webp(bytes),
        Format::Gif => {
            let size = bytes.get(6..10)?;
            Some((little_endian(&size[..2]), little_endian(&size[2..])))
        }
        Format::Bmp if bytes.get(14) == Some(&12) => {
            let size = bytes.get(18..22)?;
            Some((little_endian(&size[..2]), little_endian(&size[2..])))
        }
        Format::Bmp => {
            let size = bytes.get(18..26)?;
            // A negative height means that the first row is the upper one.
            let height = little_endian(&size[4..]).cast_signed().unsigned_abs();
            Some((little_endian(&size[..4]), height))
        }
        Format::Tiff => {
            let ifd = Ifd::first(bytes)?;
            Some((ifd.integer(tags::IMAGE_WIDTH)?, ifd.integer(tags::IMAGE_LENGTH)?))
        }
    }
}

/// The decoders' own buffers at their depth, a copy for alpha or orientation, and 8-bit RGB.
fn bytes_per_pixel(bytes: &[u8], format: Format) -> u64 {
    match format {
        // Progressive files hold all their coefficients until the end.
        Format::Jpeg if is_progressive(bytes) => 14,
        Format::Jpeg | Format::Bmp => 8,
        Format::Png if bytes.get(24) == Some(&16) => 19,
        Format::Png => 11,
        Format::WebP | Format::Gif => 14,
        Format::Tiff => 19,
    }
}

/// Frame headers, SOF0 to SOF15; 0xc4, 0xc8 and 0xcc are tables and an extension.
const fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xf7)
}

fn is_progressive(bytes: &[u8]) -> bool {
    let frame = jpeg_markers::segments(bytes).find(|(marker, _)| is_frame(*marker));
    frame.is_some_and(|(marker, _)| !matches!(marker, 0xc0 | 0xc1))
}

/// RFC 9649: the canvas of `VP8X`, or the frame of `VP8L` or `VP8 `.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => {
            let size = bytes.get(24..30)?;
            Some((little_endian(&size[..3]) + 1, little_endian(&size[3..]) + 1))
        }
        b"VP8L" => {
            let bits = little_endian(bytes.get(21..25)?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => {
            let size = bytes.get(26..30)?;
            Some((little_endian(&size[..2]) & 0x3fff, little_endian(&size[2..]) & 0x3fff))
        }
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageFormat};

    use super::*;

    #[test]
    fn every_format_s_header_states_the_size_of_the_decoded_image() {
        let image = DynamicImage::new_rgb8(300, 7);
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
        ] {
            let mut file = std::io::Cursor::new(Vec::new());
            image.write_to(&mut file, format).unwrap();
            let size = DeclaredSize::read(file.get_ref()).unwrap();
            assert_eq!((size.width, size.height), (300, 7), "{format:?}");
            for length in 0..file.get_ref().len().min(100) {
                // No prefix of a file makes it panic.
                let _ = DeclaredSize::read(&file.get_ref()[..length]);
            }
        }
    }

    #[test]
    fn the_canvas_of_an_extended_webp_and_a_lossy_frame_are_read() {
        let extended = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x2b\x01\0\x06\0\0";
        assert_eq!(webp(extended), Some((300, 7)));
        let lossy = b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x2c\x41\x07\0";
        assert_eq!(webp(lossy), Some((300, 7)));
    }
}
