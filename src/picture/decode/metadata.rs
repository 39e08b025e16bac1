//! Finds the EXIF and XMP metadata of a file, without decoding its pixels.
//!
//! A walk over the container's segments or chunks, which ends quietly where the file is damaged:
//! invalid metadata are no reason to reject an image whose pixels are intact.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

use super::format::Format;
use super::ifd::{Ifd, tags};
use super::jpeg_markers;

/// The metadata that can state an orientation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata<'a> {
    /// A TIFF structure, possibly behind `Exif\0\0`.
    pub(super) exif: Option<Cow<'a, [u8]>>,
    /// An XMP packet.
    pub(super) xmp: Option<&'a [u8]>,
}

impl<'a> Metadata<'a> {
    pub(super) fn find(bytes: &'a [u8], format: Format) -> Self {
        match format {
            Format::Jpeg => Self::in_jpeg(bytes),
            Format::Png => Self::in_png(bytes),
            Format::WebP => Self::in_webp(bytes),
            Format::Tiff => Self {
                exif: Some(Cow::Borrowed(bytes)),
                xmp: Ifd::first(bytes).and_then(|ifd| ifd.bytes(tags::XMP)),
            },
            Format::Gif | Format::Bmp => Self::default(),
        }
    }

    /// Segments APP1 of Exif 2.32, section 4.5.4, and of XMP part 3, section 1.1.3.
    fn in_jpeg(bytes: &'a [u8]) -> Self {
        const APP1: u8 = 0xe1;
        let mut found = Self::default();
        for (marker, body) in jpeg_markers::segments(bytes) {
            if marker != APP1 {
                continue;
            }
            if body.starts_with(b"Exif\0\0") {
                // Metadata longer than one segment continue in the next.
                match &mut found.exif {
                    None => found.exif = Some(Cow::Borrowed(body)),
                    Some(exif) => exif.to_mut().extend_from_slice(&body[6..]),
                }
            } else if let Some(packet) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                found.xmp = Some(packet);
            }
        }
        found
    }

    /// Chunks `eXIf` and `iTXt` of the PNG specification (third edition, 11.3), before or behind
    /// the pixels, and the text chunks in which ImageMagick stored EXIF before `eXIf` existed.
    fn in_png(bytes: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut profile: Option<Cow<'_, [u8]>> = None;
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((head, tail)) = rest.split_first_chunk::<8>() {
            let [a, b, c, d, name @ ..] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some((body, tail)) = tail.split_at_checked(length) else { break };
            match &name {
                b"eXIf" => found.exif = Some(Cow::Borrowed(body)),
                b"iTXt" => {
                    // Keyword, "not compressed", an empty language and an empty translation.
                    found.xmp = body.strip_prefix(b"XML:com.adobe.xmp\0\0\0\0\0").or(found.xmp);
                }
                b"tEXt" => {
                    let text = body.strip_prefix(RAW_PROFILE).map(Cow::Borrowed);
                    profile = text.or(profile);
                }
                b"zTXt" => {
                    let text = body.strip_prefix(RAW_PROFILE).and_then(inflate).map(Cow::Owned);
                    profile = text.or(profile);
                }
                _ => {}
            }
            // A checksum stands behind each chunk.
            rest = tail.get(4..).unwrap_or_default();
        }
        found.exif =
            found.exif.or_else(|| profile.and_then(|text| raw_profile(&text)).map(Cow::Owned));
        found
    }

    /// Chunks `EXIF` and `XMP ` of RFC 9649, section 2.7.1.4. The first of each counts, and only if
    /// the header `VP8X` announces it, as for libwebp and therefore for Pillow.
    fn in_webp(bytes: &'a [u8]) -> Self {
        const HAS_EXIF: u8 = 8;
        const HAS_XMP: u8 = 4;
        let mut found = Self::default();
        let flags = match bytes.get(12..21) {
            Some([b'V', b'P', b'8', b'X', _, _, _, _, flags]) => *flags,
            _ => 0,
        };
        let mut rest = bytes.get(12..).unwrap_or_default();
        while let Some((head, tail)) = rest.split_first_chunk::<8>() {
            let [name @ .., a, b, c, d] = *head;
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            let Some((body, tail)) = tail.split_at_checked(length) else { break };
            match &name {
                b"EXIF" if flags & HAS_EXIF != 0 => {
                    found.exif = found.exif.or(Some(Cow::Borrowed(body)));
                }
                b"XMP " if flags & HAS_XMP != 0 => found.xmp = found.xmp.or(Some(body)),
                _ => {}
            }
            // A chunk of odd length is padded.
            rest = tail.get(length % 2..).unwrap_or_default();
        }
        found
    }
}

/// The keyword of ImageMagick's text chunks with EXIF.
const RAW_PROFILE: &[u8] = b"Raw profile type exif\0";

/// Inflates the text of a `zTXt` chunk, up to a megabyte.
fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let stream = compressed.strip_prefix(&[0])?;
    let mut text = Vec::new();
    ZlibDecoder::new(stream).take(1 << 20).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Decodes ImageMagick's text form of a profile: a line break, the profile's name, its length,
/// and its bytes in hexadecimal, in lines.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let hexadecimal = text.split(|&byte| byte == b'\n').skip(3).flatten();
    let digits: Option<Vec<u8>> = hexadecimal
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
