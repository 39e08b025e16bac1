//! Names files that are not supported but likely to be sent.
//!
//! "This is a DICOM file" helps someone with a scan, "not an image" does not.

/// A signature: where it stands, its bytes, and what a file with it is.
type Signature = (usize, &'static [u8], &'static str);

const SIGNATURES: [Signature; 48] = [
    // Medical and scientific
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\0", "a NIfTI file"),
    (344, b"ni1\0", "a NIfTI file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PAR1", "a Parquet file"),
    // Documents and archives
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    // Pictures
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\0\0\x02\0", "a cursor"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"II\xbc\x01", "a JPEG XR"),
    (0, b"BPG\xfb", "a BPG"),
    (0, b"qoif", "a QOI"),
    (0, b"farbfeld", "a farbfeld"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"#?RADIANCE", "a Radiance HDR"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"\x01\0\0\0\x58\0\0\0", "an EMF drawing"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    // Sound and video
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"ID3", "an MP3"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a WAV"),
    // Images in the wrong wrapping
    (0, b"iVBORw0KGgo", "base64 text, not the bytes of an image"),
    (0, b"/9j/", "base64 text, not the bytes of an image"),
];

/// Names a format that is not supported but likely to be tried.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    // An ISO base media file (ISO/IEC 14496-12) starts with a box: its length, "ftyp", the brand.
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(iso_media(bytes));
    }
    let has =
        |&&(at, signature, _): &&Signature| bytes.get(at..at + signature.len()) == Some(signature);
    if let Some((_, _, name)) = SIGNATURES.iter().find(has) {
        return Some(name);
    }
    // Netpbm: P1 to P7, then white space.
    if let [b'P', b'1'..=b'7', b'\n' | b'\r' | b' ' | b'\t', ..] = bytes {
        return Some("a Netpbm image");
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some("text in UTF-16");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:")) {
        return Some("a data: URL, not the bytes of an image");
    }
    match text.trim_ascii_start().first() {
        Some(b'<') => Some("HTML, SVG or XML"),
        Some(b'{' | b'[') => Some("JSON"),
        _ if is_text(&text[..text.len().min(64)]) => Some("text"),
        _ => None,
    }
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
    // These two say that it is a picture and not how it is coded; it is nearly always HEVC.
    let is_picture = |brand: &[u8]| brand == b"mif1" || brand == b"msf1";
    brands().find_map(name).unwrap_or(if brands().any(is_picture) {
        "a HEIC"
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

    #[test]
    fn files_that_people_send_are_named() {
        let at = |offset: usize, signature: &[u8]| {
            let mut bytes = vec![0; offset];
            bytes.extend_from_slice(signature);
            bytes.extend_from_slice(&[0; 300]);
            bytes
        };
        let cases: [(Vec<u8>, Option<&str>); 19] = [
            (at(128, b"DICM"), Some("a DICOM file")),
            (at(344, b"n+1\0"), Some("a NIfTI file")),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), Some("a HEIC")),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic".to_vec(), Some("a HEIC")),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf".to_vec(), Some("an AVIF")),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1miafMA1B".to_vec(), Some("an AVIF")),
            (
                b"\0\0\0\x14ftypisom\0\0\x02\0isom".to_vec(),
                Some("a video or another ISO media file"),
            ),
            (b"\0\0\0\x18ftyp".to_vec(), Some("a video or another ISO media file")),
            (b"RIFF\x10\0\0\0WAVEfmt ".to_vec(), Some("a WAV")),
            (b"P6\n2 2\n255\n".to_vec(), Some("a Netpbm image")),
            (b"\x1a\x45\xdf\xa3\x01".to_vec(), Some("a Matroska or WebM video")),
            (b"/9j/4AAQSkZJRg".to_vec(), Some("base64 text, not the bytes of an image")),
            (
                b"DATA:image/png;base64,iVBO".to_vec(),
                Some("a data: URL, not the bytes of an image"),
            ),
            (b"\xef\xbb\xbf{\"image\"".to_vec(), Some("JSON")),
            (b"\xff\xfec\0a\0t\0".to_vec(), Some("text in UTF-16")),
            ("katze.png – die Größe".into(), Some("text")),
            ("é".repeat(40).into_bytes(), Some("text")),
            (vec![0; 200], None),
            (vec![0xfe, 0xed, 0xfa, 0xce], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(name(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
