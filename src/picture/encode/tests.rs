//! What is written is read back by decoders.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, Luma, Rgb};

use super::*;

fn picture() -> RgbImage {
    RgbImage::from_fn(31, 17, |x, y| Rgb([x as u8 * 8, y as u8 * 9, (x * y) as u8]))
}

fn metadata() -> Metadata {
    let entries = [("Software", "camlens 0"), ("camlens-label", "猫"), ("Title", "Größe")];
    Metadata {
        entries: entries.map(|(name, value)| (name, value.to_owned())).to_vec(),
        dpi: Some(300),
    }
}

fn read(file: &[u8]) -> DynamicImage {
    image::load_from_memory(file).unwrap()
}

#[test]
fn lossless_formats_give_the_same_image_back() {
    let image = picture();
    for format in [Format::Png, Format::Webp] {
        assert_eq!(read(&rgb(&image, format, &metadata()).unwrap()).into_rgb8(), image);
    }
    let levels = GrayImage::from_fn(3, 2, |x, y| Luma([(x * 100 + y) as u8]));
    let file = read(&gray(&levels, Format::Png, &Metadata::default()).unwrap());
    assert_eq!(file.color(), image::ColorType::L8);
    assert_eq!(file.into_luma8(), levels);
    assert_eq!(read(&gray(&levels, Format::Webp, &metadata()).unwrap()).into_luma8(), levels);
}

#[test]
fn jpeg_is_close_to_the_image() {
    let image = RgbImage::from_fn(64, 48, |x, y| Rgb([x as u8 * 3, y as u8 * 4, 90]));
    let file = rgb(&image, Format::Jpeg, &metadata()).unwrap();
    let read = read(&file).into_rgb8();
    let difference = |a: &Rgb<u8>, b: &Rgb<u8>| (0..3).map(|c| a.0[c].abs_diff(b.0[c])).max();
    let worst = image.pixels().zip(read.pixels()).filter_map(|(a, b)| difference(a, b)).max();
    assert!(worst.unwrap() < 16, "{worst:?}");
}

#[test]
fn png_has_texts_and_a_resolution() {
    let file = png(&picture(), &metadata()).unwrap();
    let reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
    let info = reader.info();
    let latin1: Vec<_> =
        info.uncompressed_latin1_text.iter().map(|c| (&*c.keyword, &*c.text)).collect();
    assert_eq!(latin1, [("Software", "camlens 0"), ("Title", "Größe")]);
    let utf8 = &info.utf8_text[0];
    assert_eq!((&*utf8.keyword, utf8.get_text().unwrap()), ("camlens-label", "猫".to_owned()));
    let dimensions = info.pixel_dims.unwrap();
    assert_eq!((dimensions.xppu, dimensions.unit), (11811, Unit::Meter));
}

#[test]
fn jpeg_and_webp_have_exif() {
    for format in [Format::Jpeg, Format::Webp] {
        let file = rgb(&picture(), format, &metadata()).unwrap();
        let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().unwrap();
        let exif = reader.into_decoder().unwrap().exif_metadata().unwrap().unwrap();
        assert_eq!(exif, exif::block(&metadata()), "{format:?}");
        let text = String::from_utf8_lossy(&exif);
        assert!(text.contains("camlens-label: 猫\nTitle: Größe\0"), "{text}");
        // Its structure, as a decoder of TIFF reads it.
        let mut decoder = tiff::decoder::Decoder::new(Cursor::new(exif));
        let directory =
            decoder.as_mut().map(|decoder| decoder.get_tag_u32(tiff::tags::Tag::ImageWidth));
        // A block without an image is refused for that alone.
        let error = match directory {
            Ok(read) => read.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("ImageWidth"), "{error}");
    }
}
