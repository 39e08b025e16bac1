//! A map becomes a picture: grey, coloured, or laid over the image.
//!
//! Maps are [height, width] with values in 0..=1. What lies outside is cut off and NaN counts
//! as 0, so no map can make these functions fail. With [`Blend::Add`] the bytes are those of
//! the Keras article: the arithmetic is in single precision and rounds down, as NumPy's there.

use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::colormap::Colormap;

/// How colour and image come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blend {
    /// min(image + weight · heat, 255), rounded down: the article's.
    #[default]
    Add,
    /// (1 − weight) · image + weight · heat, rounded.
    Mix,
}

impl Blend {
    /// The weight of the heat when a request names none.
    #[must_use]
    pub const fn default_weight(self) -> f32 {
        match self {
            Self::Add => 0.8,
            Self::Mix => 0.5,
        }
    }
}

/// The map with its contrast raised around one half: 1 / (1 + exp(−50 (h − 0.5))), the article's sigmoid.
#[must_use]
pub fn emphasize(map: ArrayView2<'_, f32>) -> Array2<f32> {
    map.mapv(|value| {
        let value = unit(value);
        1.0 / (1.0 + (-50.0 * (value - 0.5)).exp())
    })
}

/// The map in colour, at the map's own size.
#[must_use]
pub fn heatmap(map: ArrayView2<'_, f32>, colormap: Colormap) -> RgbImage {
    let table = colormap.table();
    let mut out = RgbImage::new(side(map.ncols()), side(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Rgb(table[usize::from(level(value))]);
    }
    out
}

/// The map as grey levels 0..=255, at the map's own size.
#[must_use]
pub fn gray(map: ArrayView2<'_, f32>) -> GrayImage {
    let mut out = GrayImage::new(side(map.ncols()), side(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Luma([level(value)]);
    }
    out
}

/// The coloured map over the image it explains; `weight` is the share of the heat.
///
/// # Panics
/// If the map does not have the image's size: enlarge it first.
#[must_use]
pub fn overlay(
    image: &RgbImage,
    map: ArrayView2<'_, f32>,
    colormap: Colormap,
    blend: Blend,
    weight: f32,
) -> RgbImage {
    let size = (image.height() as usize, image.width() as usize);
    assert_eq!(map.dim(), size, "the map is laid over an image of another size");
    let heat = colormap.table().map(|color| color.map(|channel| f32::from(channel) * weight));
    let mut out = image.clone();
    for (pixel, &value) in out.pixels_mut().zip(map) {
        let heat = heat[usize::from(level(value))];
        for (channel, heat) in pixel.0.iter_mut().zip(heat) {
            let below = f32::from(*channel);
            // A float becomes a byte rounded down and cut to 0..=255.
            *channel = match blend {
                Blend::Add => (heat + below) as u8,
                Blend::Mix => (below * (1.0 - weight) + heat).round() as u8,
            };
        }
    }
    out
}

/// The index in a colour table: 255 · h rounded down, as `numpy.uint8(255 * h)`.
fn level(value: f32) -> u8 {
    // The cast cuts to 0..=255 and makes 0 of NaN.
    (255.0 * value) as u8
}

fn unit(value: f32) -> f32 {
    // Written so that NaN, which is not greater than anything, becomes 0.
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// A map's side in pixels. No map comes near the limit: its memory would not be had.
fn side(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn the_index_rounds_down_and_what_is_no_number_is_cold() {
        let map = array![[0.0, 0.999, 1.0, 2.0, -1.0], [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.5, 1e-9]];
        assert_eq!(gray(map.view()).into_raw(), [0, 254, 255, 255, 0, 0, 255, 0, 127, 0]);
    }

    #[test]
    fn add_cuts_at_white_and_mix_keeps_between() {
        let image = RgbImage::from_pixel(1, 1, Rgb([200, 10, 0]));
        let hot = array![[1.0]];
        let add = overlay(&image, hot.view(), Colormap::Jet, Blend::Add, 0.8);
        assert_eq!(add.get_pixel(0, 0).0, [255, 10, 0]);
        let mix = overlay(&image, hot.view(), Colormap::Gray, Blend::Mix, 0.5);
        assert_eq!(mix.get_pixel(0, 0).0, [228, 133, 128]);
    }

    #[test]
    fn the_sigmoid_is_steep_around_one_half() {
        let map = emphasize(array![[0.0, 0.5, 1.0, f32::NAN]].view());
        assert!(map[[0, 0]] < 1e-10 && map[[0, 1]] == 0.5 && map[[0, 2]] == 1.0 && map[[0, 3]] < 1e-10);
    }

    proptest! {
        #[test]
        fn no_map_and_no_weight_panics(values in prop::collection::vec(any::<f32>(), 12), weight: f32) {
            let map = Array2::from_shape_vec((3, 4), values).unwrap();
            let image = RgbImage::from_pixel(4, 3, Rgb([1, 128, 255]));
            for blend in [Blend::Add, Blend::Mix] {
                let out = overlay(&image, map.view(), Colormap::Turbo, blend, weight);
                prop_assert_eq!(out.dimensions(), (4, 3));
            }
            prop_assert!(emphasize(map.view()).iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
