//! A decoded image before its EXIF orientation is applied.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// Pixels as the file stores them, and how to display them.
pub(super) struct DecodedImage {
    pub(super) pixels: RgbImage,
    pub(super) orientation: Orientation,
}

impl DecodedImage {
    /// Applies the EXIF orientation.
    ///
    /// Tag 0x0112 ("Orientation" in CIPA DC-008, Exif 2.32, section 4.6.4; first defined by
    /// TIFF 6.0) states which transform makes the stored image upright:
    ///
    /// | value | transform |
    /// |---|---|
    /// | 1 | none |
    /// | 2 | flip horizontally |
    /// | 3 | rotate by 180° |
    /// | 4 | flip vertically |
    /// | 5 | rotate by 90° clockwise, then flip horizontally (transpose) |
    /// | 6 | rotate by 90° clockwise |
    /// | 7 | rotate by 270° clockwise, then flip horizontally (transverse) |
    /// | 8 | rotate by 270° clockwise |
    ///
    /// `image::metadata::Orientation` implements the table.
    pub(super) fn into_upright(self) -> RgbImage {
        if self.orientation == Orientation::NoTransforms {
            return self.pixels;
        }
        let mut image = DynamicImage::ImageRgb8(self.pixels);
        image.apply_orientation(self.orientation);
        image.into_rgb8()
    }
}
