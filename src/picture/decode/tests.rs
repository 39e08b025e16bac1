//! Tests of decoding: the supported formats, the errors for all other files, and that no input
//! panics.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayAlphaImage, ImageFormat, Luma, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;
use crate::error::Kind;

const LIMITS: Limits = Limits { max_pixels: 1_000_000 };
const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];

fn sample() -> RgbImage {
    RgbImage::from_fn(67, 45, |x, y| Rgb([(x * 3) as u8, (y * 5) as u8, ((x ^ y) * 7) as u8]))
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn error_kind(bytes: &[u8]) -> Kind {
    decode(bytes, &LIMITS).map(|image| image.dimensions()).unwrap_err().kind()
}

fn error_text(bytes: &[u8]) -> String {
    decode(bytes, &LIMITS).map(|image| image.dimensions()).unwrap_err().to_string()
}

#[test]
fn every_supported_format_is_detected_by_its_content() {
    for format in FORMATS {
        let image = decode(&encode(&sample().into(), format), &LIMITS).unwrap();
        assert_eq!(image.dimensions(), (67, 45), "{format:?}");
        // JPEG is lossy and a GIF has 256 colours.
        let lossless = !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif);
        assert_eq!(lossless, image == sample(), "{format:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_small_image_with_a_huge_profile_takes_little_memory() {
    use std::io::Write;

    let peak_kb = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let mut profile = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..800 {
        profile.write_all(&[0; 1 << 20]).unwrap();
    }
    let profile = [&b"icc\0\0"[..], &profile.finish().unwrap()].concat();
    let plain = encode(&sample().into(), ImageFormat::Png);
    // Signature and header.
    let (head, pixels) = plain.split_at(33);
    let file = [head, &chunk(b"iCCP", &profile), pixels].concat();
    let before = peak_kb();
    // Whether the profile is ignored or refused, it is not inflated.
    let _ = decode(&file, &Limits { max_pixels: 50_000_000 });
    let grown_mib = (peak_kb() - before) >> 10;
    assert!(grown_mib < 100, "{grown_mib} MiB");
}

#[test]
fn a_truncated_file_is_an_error() {
    for format in FORMATS {
        let whole = encode(&sample().into(), format);
        for length in 0..whole.len() - 1 {
            // Only parts without pixels may be missing: the end markers of GIF and PNG, the
            // padding of TIFF and BMP.
            if let Ok(image) = decode(&whole[..length], &LIMITS) {
                assert!(image == decode(&whole, &LIMITS).unwrap(), "{format:?} cut to {length}");
                assert!(length + 16 > whole.len(), "{format:?} cut to {length} of {}", whole.len());
                assert_ne!(format, ImageFormat::Jpeg);
            }
        }
    }
}

#[test]
fn a_jpeg_with_an_invalid_huffman_code_is_an_error() {
    // All ones is never a valid Huffman code. A lenient decoder stops there and leaves the rest
    // grey.
    let mut jpeg = encode(&sample().into(), ImageFormat::Jpeg);
    let middle = jpeg.len() / 2 + 300;
    for pair in jpeg[middle..middle + 16].chunks_exact_mut(2) {
        pair.copy_from_slice(&[0xff, 0]);
    }
    assert_eq!(error_kind(&jpeg), Kind::CorruptImage);
}

#[test]
fn the_size_limit_is_checked_before_pixels_are_decoded() {
    // A PNG header that declares 60000 × 60000 pixels, followed by almost no data.
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(chunk(b"IHDR", &[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 6, 0, 0, 0]));
    png.extend(chunk(b"IDAT", &[0x78, 0x9c, 0, 0]));
    assert!(png.len() < 100);
    assert_eq!(error_kind(&png), Kind::ImageTooLarge);
    insta::assert_snapshot!(
        error_text(&png),
        @"The image has 60000 × 60000 = 3600000000 pixels; the limit is 1000000 pixels."
    );

    for format in FORMATS {
        let file = encode(&sample().into(), format);
        assert!(decode(&file, &Limits { max_pixels: 67 * 45 }).is_ok(), "{format:?}");
        let error = decode(&file, &Limits { max_pixels: 67 * 45 - 1 }).unwrap_err();
        assert_eq!(error.kind(), Kind::ImageTooLarge, "{format:?}");
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = !0u32;
    for byte in name.iter().chain(body) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [&(body.len() as u32).to_be_bytes()[..], name, body, &(!crc).to_be_bytes()].concat()
}

#[test]
fn an_unsupported_file_is_named_and_the_supported_formats_are_listed() {
    const ACCEPTED: &str = "PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.";
    assert_eq!(error_text(b""), format!("The image is empty (0 bytes). {ACCEPTED}"));
    assert_eq!(error_text(b"BMW is a maker of cars"), format!("This is text. {ACCEPTED}"));
    assert_eq!(error_text(b"%PDF-1.7\n"), format!("This is a PDF. {ACCEPTED}"));
    assert_eq!(
        error_text(b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI\x50\0\x20\x06"),
        format!("This is a PNG for iOS apps (CgBI), which is no standard PNG. {ACCEPTED}")
    );
    assert_eq!(error_text(b"\0\0\0\x1cftypavif\0\0\0\0"), format!("This is an AVIF. {ACCEPTED}"));
    assert_eq!(
        error_text(b" <svg xmlns='http://www.w3.org/2000/svg'/>"),
        format!("This is HTML, SVG or XML. {ACCEPTED}")
    );
    assert_eq!(error_text(&[0xfe, 0xed, 0xfa, 0xce]), format!("This is not an image. {ACCEPTED}"));
    for bytes in [&b""[..], b"text", b"\x89PNG", b"RIFF\0\0\0\0WAVE", b"\xff\xd8"] {
        assert_eq!(error_kind(bytes), Kind::UnsupportedImage, "{bytes:?}");
    }
}

#[test]
fn transparent_pixels_are_blended_over_white() {
    let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([200, 0, 100, [0, 128, 255][x as usize]]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        let out = decode(&encode(&image.clone().into(), format), &LIMITS).unwrap();
        assert_eq!(out.into_raw(), [255, 255, 255, 227, 127, 177, 200, 0, 100], "{format:?}");
    }
    let grey = GrayAlphaImage::from_pixel(1, 1, image::LumaA([0, 51]));
    assert_eq!(
        decode(&encode(&grey.into(), ImageFormat::Png), &LIMITS).unwrap().into_raw(),
        [204; 3]
    );
}

#[test]
fn grayscale_and_16_bit_images_keep_their_range() {
    let ramp = [0u16, 257 * 77, 65535];
    let grey = image::ImageBuffer::from_fn(3, 1, |x, _| Luma([ramp[x as usize]]));
    let deep = image::ImageBuffer::from_fn(3, 1, |x, _| Rgb([ramp[x as usize]; 3]));
    for image in [DynamicImage::ImageLuma16(grey), DynamicImage::ImageRgb16(deep)] {
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let out = decode(&encode(&image, format), &LIMITS).unwrap();
            assert_eq!(out.into_raw(), [0, 0, 0, 77, 77, 77, 255, 255, 255]);
        }
    }
    let mut jpeg = Vec::new();
    let flat = image::GrayImage::from_pixel(20, 20, Luma([90]));
    JpegEncoder::new(&mut jpeg).encode_image(&flat).unwrap();
    assert_eq!(decode(&jpeg, &LIMITS).unwrap().get_pixel(10, 10).0, [90; 3]);
}

#[test]
fn exif_orientation_is_applied() {
    let upright = sample();
    let jpeg = encode(&DynamicImage::ImageRgb8(upright).rotate270(), ImageFormat::Jpeg);
    // Orientation 6: rotate by 90° clockwise.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let rotated = [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat();
    assert_eq!(decode(&jpeg, &LIMITS).unwrap().dimensions(), (45, 67));
    let out = decode(&rotated, &LIMITS).unwrap();
    assert_eq!(out.dimensions(), (67, 45));
    let difference =
        out.as_raw().iter().zip(sample().as_raw()).map(|(a, b)| a.abs_diff(*b) as u32).sum::<u32>();
    assert!(difference / (67 * 45 * 3) < 30, "not the same image: {difference}");
}

#[test]
fn floating_point_images_are_refused_by_name() {
    let image = DynamicImage::ImageRgb32F(image::ImageBuffer::from_pixel(2, 2, Rgb([0.5; 3])));
    let file = encode(&image, ImageFormat::Tiff);
    assert_eq!(error_kind(&file), Kind::UnsupportedImage);
    assert_eq!(
        error_text(&file),
        "This TIFF has floating-point samples, which is not supported. \
         Save it as PNG, with 8 or 16 bits per channel."
    );
}

#[test]
fn a_decoder_s_panic_is_the_file_s_fault() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decoding/webp/animated-lossy.webp");
    let mut file = std::fs::read(path).unwrap();
    assert!(decode(&file, &LIMITS).is_ok());
    let frame = file.windows(3).position(|window| window == b"\x9d\x01\x2a").unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&[14, 0]);
    assert_eq!(error_kind(&file), Kind::CorruptImage);
    assert_eq!(error_text(&file), "The WebP could not be decoded: the decoder failed on it.");
}

#[test]
fn strips_of_jpeg_in_a_tiff_are_bounded() {
    // A million strips of one row, all at the same place.
    let jpeg = encode(&DynamicImage::new_rgb8(1, 1), ImageFormat::Jpeg);
    let (width, strips) = (1_u32, 65_536_u32);
    let file = tiff_of_strips(&jpeg, [width, strips], 1, strips);
    assert_eq!(
        error_text(&file),
        "This TIFF has 65536 strips or tiles of JPEG, which is not supported. \
         Save it as PNG, with 8 or 16 bits per channel."
    );
    // A strip that is larger than it may be, or smaller than the image.
    let jpeg = encode(&DynamicImage::new_rgb8(20, 20), ImageFormat::Jpeg);
    assert_eq!(decode(&tiff_of_strips(&jpeg, [20, 40], 20, 2), &LIMITS).unwrap().height(), 40);
    for (size, rows) in [([20, 40], 10), ([19, 40], 20), ([21, 40], 20), ([20, 42], 21)] {
        let file = tiff_of_strips(&jpeg, size, rows, 8);
        assert_eq!(error_kind(&file), Kind::CorruptImage, "{size:?}, {rows} rows");
    }
    // Fewer strips than the image needs.
    assert_eq!(error_kind(&tiff_of_strips(&jpeg, [20, 40], 20, 1)), Kind::CorruptImage);
}

/// A TIFF file of this size whose strips are all the same JPEG.
fn tiff_of_strips(jpeg: &[u8], [width, height]: [u32; 2], rows: u32, strips: u32) -> Vec<u8> {
    let lists = 8 + jpeg.len().next_multiple_of(4) as u32;
    let directory = lists + 8 * strips.max(2);
    let mut file = [b"II*\0", &directory.to_le_bytes()[..], jpeg].concat();
    file.resize(lists as usize, 0);
    for value in [8, jpeg.len() as u32] {
        file.extend(value.to_le_bytes().repeat(strips as usize));
    }
    file.resize(directory as usize, 0);
    let list = |at: u32, value: u32| if strips == 1 { value } else { at };
    let entries = [
        (256_u16, 1, width),
        (257, 1, height),
        (259, 1, 7),
        (262, 1, 6),
        (273, strips, list(lists, 8)),
        (277, 1, 3),
        (278, 1, rows),
        (279, strips, list(lists + 4 * strips, jpeg.len() as u32)),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(4_u16.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn a_trailer_and_stray_bytes_do_not_change_a_jpeg() {
    let jpeg = encode(&sample().into(), ImageFormat::Jpeg);
    let expected = decode(&jpeg, &LIMITS).unwrap();
    let trailer = [&jpeg[..], b"MotionPhoto", &jpeg].concat();
    assert!(decode(&trailer, &LIMITS).unwrap() == expected);
    // After the first segment (JFIF, 18 bytes).
    let stray = [&jpeg[..20], &[7; 9], &jpeg[20..]].concat();
    assert!(decode(&stray, &LIMITS).unwrap() == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_do_not_panic(
        which in 0usize..7,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let magic: [&[u8]; 7] = [
            b"", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"\xff\xd8\xff",
            b"RIFF\x40\0\0\0WEBPVP8", b"GIF89a",
            b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", b"II*\0\x08\0\0\0",
        ];
        let _ = decode(&[magic[which], &bytes].concat(), &LIMITS);
    }

    #[test]
    fn a_damaged_file_does_not_panic(
        format in 0usize..6,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&sample().into(), FORMATS[format]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = decode(&bytes, &LIMITS) {
            prop_assert!(!error.to_string().contains("the decoder failed"), "a decoder panicked");
        }
    }
}
