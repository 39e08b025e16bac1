//! Names files that are not supported but likely to be sent.
//!
//! "This is a DICOM file" helps someone with a scan, "not an image" does not.

/// A signature: where it stands, its bytes, and what a file with it is.
type Signature = (usize, &'static [u8], &'static str);

/// Signatures that no other file has by chance, nor text by intention.
const SIGNATURES: [Signature; 48] = [
    // Medical and scientific
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\0", "a NIfTI file"),
    (344, b"ni1\0", "a NIfTI file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    // Documents and archives
    (0, b"%PDF-", "a PDF"),
    (0, b"%!PS-", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b\x08", "a gzip file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    // Pictures
    (0, b"8BPS\0\x01", "a Photoshop document"),
    (0, b"8BPS\0\x02", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"II\xbc\x01", "a JPEG XR"),
    // Xcode writes these into iOS apps, with a stream that a PNG decoder can't read.
    (12, b"CgBI", "a PNG for iOS apps (CgBI), which is no standard PNG"),
    (0, b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (0, b"\x8bJNG\r\n\x1a\n", "a JNG"),
    (0, b"BPG\xfb", "a BPG"),
    (0, b"farbfeld\0", "a farbfeld"),
    (0, b"DDS \x7c\0\0\0", "a DDS texture"),
    (0, b"#?RADIANCE\n", "a Radiance HDR"),
    (0, b"#?RGBE\n", "a Radiance HDR"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR"),
    (0, b"gimp xcf ", "a GIMP document"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"IIRO\x08\0", "a camera's raw file"),
    (40, b" EMF", "an EMF drawing"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    // Sound and video
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"OggS\0", "an Ogg file"),
    (0, b"fLaC\0\0\0\x22", "a FLAC"),
    // Images in the wrong wrapping
    (0, b"iVBORw0KGgo", "base64 text, not the bytes of an image"),
    (0, b"/9j/4", "base64 text, not the bytes of an image"),
];

/// Names a format that is not supported but likely to be tried.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let has =
        |&&(at, signature, _): &&Signature| bytes.get(at..at + signature.len()) == Some(signature);
    if let Some((_, _, name)) = SIGNATURES.iter().find(has) {
        return Some(name);
    }
    by_structure(bytes).or_else(|| text(bytes))
}

/// Names a format by more than a few bytes, which other files would have, too.
fn by_structure(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // An ISO base media file (ISO/IEC 14496-12) starts with a box: its length, "ftyp", the
        // brand.
        [0, 0, _, _, b'f', b't', b'y', b'p', ..] => Some(iso_media(bytes)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some("an AVI video"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some("a WAV"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
            Some("a bzip2 file")
        }
        // The tag's version, 2.2 to 2.4.
        [b'I', b'D', b'3', 2..=4, 0, ..] => Some("an MP3"),
        [b'P', b'A', b'R', b'1', .., b'P', b'A', b'R', b'1'] => Some("a Parquet file"),
        [b'q', b'o', b'i', b'f', 0..=3, _, _, _, 0..=3, _, _, _, 3 | 4, 0 | 1, ..] => Some("a QOI"),
        [b'P', kind, rest @ ..] if is_netpbm(*kind, rest) => Some("a Netpbm image"),
        [0, 0, 1, 0, rest @ ..] if is_icon_directory(rest) => Some("an icon"),
        [0, 0, 2, 0, rest @ ..] if is_icon_directory(rest) => Some("a cursor"),
        _ if is_pcx(bytes) => Some("a PCX image"),
        _ if is_targa(bytes) => Some("a TGA image"),
        _ => None,
    }
}

/// Names text, by what stands in it.
fn text(bytes: &[u8]) -> Option<&'static str> {
    if is_utf16(bytes) {
        return Some("text in UTF-16");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !is_text(&text[..text.len().min(64)]) {
        return None;
    }
    if is_data_address(text) {
        return Some("a data: URL, not the bytes of an image");
    }
    let text = text.trim_ascii_start();
    if is_markup(text) {
        Some("HTML, SVG or XML")
    } else if is_json(text) {
        Some("JSON")
    } else {
        Some("text")
    }
}

/// Netpbm: P1 to P6, a width and a height; P7 and P, F or f have lines of their own.
fn is_netpbm(kind: u8, rest: &[u8]) -> bool {
    let mut words = rest
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .flat_map(|line| line.split(u8::is_ascii_whitespace))
        .filter(|word| !word.is_empty());
    let is_number = |word: Option<&[u8]>| {
        word.is_some_and(|word| word.len() < 10 && word.iter().all(u8::is_ascii_digit))
    };
    rest.first().is_some_and(u8::is_ascii_whitespace)
        && match kind {
            b'1'..=b'6' | b'F' | b'f' => is_number(words.next()) && is_number(words.next()),
            b'7' => words.next() == Some(b"WIDTH"),
            _ => false,
        }
}

/// Whether a list of pictures follows the first four bytes of a Windows icon or cursor: their
/// number, and for the first a zero and an offset behind the list. A TGA image can start with the
/// same four bytes.
fn is_icon_directory(rest: &[u8]) -> bool {
    let Some(&[low, high, _, _, _, zero, _, _, _, _, _, _, _, _, a, b, c, d]) =
        rest.first_chunk::<18>()
    else {
        return false;
    };
    let count = u32::from(u16::from_le_bytes([low, high]));
    let offset = u32::from_le_bytes([a, b, c, d]);
    count > 0 && zero == 0 && offset >= 6 + 16 * count
}

/// ZSoft's PCX: version, run lengths, bits, a rectangle, a reserved zero, planes.
fn is_pcx(bytes: &[u8]) -> bool {
    let u16 = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    bytes.len() > 128
        && matches!(bytes[..4], [10, 0 | 2..=5, 1, 1 | 2 | 4 | 8])
        && u16(4) <= u16(8)
        && u16(6) <= u16(10)
        && bytes[64] == 0
        && matches!(bytes[65], 1..=4)
}

/// Truevision's TGA has no signature at the start: every byte of its header must make sense.
fn is_targa(bytes: &[u8]) -> bool {
    let Some(&[_, has_table, kind, start_0, start_1, length_0, length_1, table_bits, ..]) =
        bytes.first_chunk::<18>()
    else {
        return false;
    };
    let table = match (has_table, kind) {
        // A palette of up to 256 colours.
        (1, 1 | 9) => {
            matches!((start_0, start_1), (0, 0))
                && matches!(u16::from_le_bytes([length_0, length_1]), 1..=256)
                && matches!(table_bits, 15 | 16 | 24 | 32)
                && bytes[16] == 8
        }
        (0, 2 | 10) => matches!(bytes[16], 15 | 16 | 24 | 32) && bytes[3..8] == [0; 5],
        (0, 3 | 11) => matches!(bytes[16], 8 | 16) && bytes[3..8] == [0; 5],
        _ => false,
    };
    let has_size = bytes[12..14] != [0, 0] && bytes[14..16] != [0, 0];
    // Bits 6 and 7 are reserved; up to eight of alpha.
    table && has_size && bytes[17] & 0xc0 == 0 && bytes[17] & 15 <= 8
}

/// An element, a comment, a declaration or a processing instruction.
fn is_markup(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"<") else { return false };
    match rest.first() {
        Some(b'?' | b'!') => true,
        Some(first) if first.is_ascii_alphabetic() => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-:._".contains(byte);
            let end = rest.iter().position(|byte| !is_name(byte));
            end.is_some_and(|end| matches!(rest[end], b'>' | b'/' | b' ' | b'\t' | b'\n' | b'\r'))
        }
        _ => false,
    }
}

/// The start of an object or an array.
fn is_json(text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return false };
    let rest = rest.trim_ascii_start();
    let literals = [&b"true"[..], b"false", b"null"];
    match (first, rest.first()) {
        (b'{', Some(b'"' | b'}')) => true,
        (b'[', Some(b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9')) => true,
        (b'[', _) => literals.iter().any(|literal| rest.starts_with(literal)),
        _ => false,
    }
}

/// `data:`, a type without spaces, a comma.
fn is_data_address(text: &[u8]) -> bool {
    let is_address = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:"));
    let mut head = text.iter().skip(5).take(200).take_while(|byte| !byte.is_ascii_whitespace());
    is_address && head.any(|byte| *byte == b',')
}

/// A byte order mark and characters that are neither broken nor controls.
fn is_utf16(bytes: &[u8]) -> bool {
    let read = match bytes.get(..2) {
        Some(b"\xff\xfe") => u16::from_le_bytes,
        Some(b"\xfe\xff") => u16::from_be_bytes,
        _ => return false,
    };
    let units = bytes[2..].chunks_exact(2).take(32).map(|pair| read([pair[0], pair[1]]));
    let is_written = |character: char| !character.is_control() || character.is_whitespace();
    let mut characters = char::decode_utf16(units).enumerate().peekable();
    characters.peek().is_some()
        && characters.all(|(at, character)| match character {
            Ok(character) => is_written(character),
            // The last one may be cut.
            Err(_) => at == 31,
        })
}

/// Names an ISO base media file by its brands: the major one, then the compatible ones.
fn iso_media(bytes: &[u8]) -> &'static str {
    let length = bytes.get(..4).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    let length = length.map_or(0, |length| length as usize).clamp(12, 256).min(bytes.len());
    // Bytes 12 to 15 are the minor version, which equals no brand.
    let brands = || bytes.get(8..length).unwrap_or_default().chunks_exact(4);
    let name = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some("an AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Some("a HEIC")
        }
        b"crx " => Some("a camera's raw file"),
        _ => None,
    };
    // These two say that it is a picture and not how it is coded.
    let is_picture = |brand: &[u8]| brand == b"mif1" || brand == b"msf1";
    brands().find_map(name).unwrap_or(if brands().any(is_picture) {
        "a HEIF image"
    } else {
        "a video or another ISO media file"
    })
}

/// Whether bytes are UTF-8 without control characters; the last character may be cut.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    is_utf8 && !bytes.iter().any(|byte| matches!(byte, 0..=8 | 14..=31))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this start, and zeros.
    fn padded(start: &[u8]) -> Vec<u8> {
        [start, &[0; 300]].concat()
    }

    fn icon(kind: u8) -> Vec<u8> {
        padded(&[0, 0, kind, 0, 1, 0, 32, 32, 0, 0, 1, 0, 32, 0, 0x28, 1, 0, 0, 22, 0, 0, 0])
    }

    fn targa(kind: u8, bits: u8, descriptor: u8) -> Vec<u8> {
        padded(&[0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 0, bits, descriptor])
    }

    fn pcx() -> Vec<u8> {
        let mut bytes = padded(&[10, 5, 1, 8, 0, 0, 0, 0, 39, 0, 29, 0]);
        bytes[65] = 3;
        bytes
    }

    #[test]
    fn files_that_people_send_are_named() {
        let at = |offset: usize, signature: &[u8]| padded(&[&vec![0; offset], signature].concat());
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (at(128, b"DICM"), "a DICOM file"),
            (at(344, b"n+1\0"), "a NIfTI file"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "a HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic".to_vec(), "a HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1jpeg".to_vec(), "a HEIF image"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf".to_vec(), "an AVIF"),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1miafMA1B".to_vec(), "an AVIF"),
            (b"\0\0\0\x14ftypisom\0\0\x02\0isom".to_vec(), "a video or another ISO media file"),
            (b"\0\0\0\x18ftyp".to_vec(), "a video or another ISO media file"),
            (b"RIFF\x10\0\0\0WAVEfmt ".to_vec(), "a WAV"),
            (b"RIFF\x10\0\0\0AVI LIST".to_vec(), "an AVI video"),
            (b"P6\n2 2\n255\n".to_vec(), "a Netpbm image"),
            (b"P5 # by hand\n# twice\n 12\t7 255\n\x01".to_vec(), "a Netpbm image"),
            (b"P7\nWIDTH 2\n".to_vec(), "a Netpbm image"),
            (b"Pf\n20 10\n-1.0\n".to_vec(), "a Netpbm image"),
            (b"\x1a\x45\xdf\xa3\x01".to_vec(), "a Matroska or WebM video"),
            (b"/9j/4AAQSkZJRg".to_vec(), "base64 text, not the bytes of an image"),
            (b"DATA:image/png;base64,iVBO".to_vec(), "a data: URL, not the bytes of an image"),
            (b"\xef\xbb\xbf{\"image\"".to_vec(), "JSON"),
            (b"[ 1, 2]".to_vec(), "JSON"),
            (b"\xff\xfec\0a\0t\0".to_vec(), "text in UTF-16"),
            (b"\xfe\xff\0c\0a\0t\0\r\0\n".to_vec(), "text in UTF-16"),
            ("katze.png – die Größe".into(), "text"),
            ("é".repeat(40).into_bytes(), "text"),
            (b"\n<!doctype html>".to_vec(), "HTML, SVG or XML"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "HTML, SVG or XML"),
            (b"<?xml version='1.0'?>".to_vec(), "HTML, SVG or XML"),
            (icon(1), "an icon"),
            (icon(2), "a cursor"),
            (targa(2, 24, 0x20), "a TGA image"),
            (targa(10, 32, 8), "a TGA image"),
            (targa(3, 8, 0), "a TGA image"),
            (padded(&[0, 1, 1, 0, 0, 0, 1, 24, 0, 0, 0, 0, 9, 0, 9, 0, 8, 0]), "a TGA image"),
            (pcx(), "a PCX image"),
            (b"8BPS\0\x01".to_vec(), "a Photoshop document"),
            (b"#?RGBE\nFORMAT=".to_vec(), "a Radiance HDR"),
            (b"BZh91AY&SY".to_vec(), "a bzip2 file"),
            (b"PAR1\x15\x04PAR1".to_vec(), "a Parquet file"),
            (b"qoif\0\0\0\x02\0\0\0\x02\x04\0".to_vec(), "a QOI"),
            (b"ID3\x03\0\0".to_vec(), "an MP3"),
            (b"\xff\x0a\xfa\x1f".to_vec(), "a JPEG XL"),
            (b"PK\x03\x04\x14\0".to_vec(), "a ZIP archive"),
            (b"%PDF-1.7".to_vec(), "a PDF"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(name(&bytes), Some(expected), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_few_equal_bytes_do_not_make_a_file_of_another_format() {
        for text in [
            "P3 is the third",
            "PF is not 20 x 10",
            "BZh is short",
            "ID3 tags",
            "8BPS",
            "qoif?",
            "PAR1 and more",
            "<3 you",
            "<someone@example.com>",
            "[note] hello",
            "{curly}",
            "data: 5",
            "12345678AVI ",
            "12345678WAVE",
            "abcdftypheic",
            "gimp xcfs",
            "/9j/ folder",
            "%PDFs",
            "OggSong",
            "DDS of Leipzig",
            "farbfelder",
        ] {
            assert_eq!(name(text.as_bytes()), Some("text"), "{text}");
        }
        let binary: Vec<Vec<u8>> = vec![
            vec![0; 200],
            vec![0xfe, 0xed, 0xfa, 0xce],
            vec![0xff, 0xfe],
            vec![0xff, 0xfe, 0x00, 0xd8, 0x01, 0x00],
            vec![0xff, 0xfe, 0x07, 0x00, 0x07, 0x00],
            vec![0x1f, 0x8b, 0x09],
            // Neither lists a picture, nor has a size.
            padded(&[0, 0, 2, 0]),
            padded(&[0, 0, 1, 0]),
            padded(&[0, 0, 1, 0, 1, 0, 32, 32, 0, 0, 1, 0, 32, 0, 0x28, 1, 0, 0, 21, 0, 0, 0]),
            targa(2, 23, 0),
            targa(2, 24, 0x40),
            targa(1, 8, 0),
            padded(&[10, 5, 1, 8, 0, 0, 0, 0, 39, 0, 29, 0]),
        ];
        for bytes in binary {
            assert_eq!(name(&bytes), None, "{bytes:?}");
        }
    }
}
