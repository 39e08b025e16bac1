//! Conversion to 8-bit RGB on a white background.

use image::{DynamicImage, RgbImage};

/// What the fourth channel of an image (the second of a grayscale one) means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Opacity; the colours do not depend on it.
    Straight,
    /// Opacity, by which the colours are multiplied already (premultiplied).
    Associated,
    /// Something else, such as near infrared.
    Other,
}

/// Converts to 8-bit RGB. A transparent pixel is blended over white, at the image's own depth.
pub(super) fn blend_over_white(image: DynamicImage, alpha: Alpha) -> RgbImage {
    if !image.color().has_alpha() || alpha == Alpha::Other {
        return image.into_rgb8();
    }
    let (width, height) = (image.width(), image.height());
    let bytes_per_channel = image.color().bytes_per_pixel() / image.color().channel_count();
    let pixels: Vec<u8> = if bytes_per_channel == 1 {
        let image = image.into_rgba8();
        image.pixels().flat_map(|pixel| blend::<255>(pixel.0.map(u64::from), alpha)).collect()
    } else {
        let image = image.into_rgba16();
        image.pixels().flat_map(|pixel| blend::<65535>(pixel.0.map(u64::from), alpha)).collect()
    };
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// Blends one pixel, whose channels have the maximum `MAX`, and rounds to nearest.
fn blend<const MAX: u64>([r, g, b, opacity]: [u64; 4], alpha: Alpha) -> [u8; 3] {
    let white = MAX - opacity;
    [r, g, b].map(|colour| {
        let blended = if alpha == Alpha::Associated {
            ((colour + white).min(MAX) * 255 + MAX / 2) / MAX
        } else {
            ((colour * opacity + MAX * white) * 255 + MAX * MAX / 2) / (MAX * MAX)
        };
        blended as u8
    })
}
