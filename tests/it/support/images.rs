//! Images: the photographs of `tests/golden/images`, and synthetic network inputs.

use image::RgbImage;
use ndarray::Array4;

use super::repository;

/// `tests/golden/images/<name>.png`.
pub(crate) fn photo(name: &str) -> RgbImage {
    let path = repository(&format!("tests/golden/images/{name}.png"));
    image::open(path).expect("the golden image").to_rgb8()
}

/// An input `[1, 3, height, width]` of eleven values in 0..1. Another seed shifts the pattern.
pub(crate) fn modular_pattern([height, width]: [usize; 2], seed: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        ((c * 7 + y * 3 + x * 5 + seed) % 11) as f32 / 11.0
    })
}

/// An input `[1, 3, 8, 8]` in −1..1: the sine of each element's index times `frequency`.
pub(crate) fn sine_pattern(frequency: f32) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, 8, 8), |(_, c, y, x)| {
        ((c * 64 + y * 8 + x) as f32 * frequency).sin()
    })
}
