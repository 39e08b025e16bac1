//! A map becomes a picture: grey, coloured, or laid over the image.
//!
//! Maps are [height, width] with values in 0..=1, or in −1..=1 where they have a sign. What lies
//! outside is cut off and NaN counts as 0, so no map can make these functions fail. With
//! [`Blend::Add`] the bytes are those of the Keras article: the arithmetic is in single
//! precision and rounds down, as NumPy's there. Where a signed map is 0 there is nothing to
//! show, so its colours are laid over an image the more strongly the farther from 0 it is.

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

/// The values that a map can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 1.
    Unit,
    /// −1 to 1.
    Signed,
}

impl Range {
    /// The middle of a colour table, and what a value of 1 is away from it.
    const MIDDLE: u8 = 128;
    const REACH: f32 = 127.0;

    /// The index in a colour table: 255 · h rounded down, as `numpy.uint8(255 * h)`; of a signed
    /// map 128 + 127 · h, so that 0 has the colour in the middle.
    fn level(self, value: f32) -> u8 {
        match self {
            // The cast cuts to 0..=255 and makes 0 of NaN.
            Self::Unit => (255.0 * value) as u8,
            Self::Signed if value.is_nan() => Self::MIDDLE,
            Self::Signed => (f32::from(Self::MIDDLE) + Self::REACH * value.clamp(-1.0, 1.0)) as u8,
        }
    }

    /// How strongly a colour shows over an image, 0..=1.
    fn strength(self, level: u8) -> f32 {
        match self {
            Self::Unit => 1.0,
            Self::Signed => (f32::from(level.abs_diff(Self::MIDDLE)) / Self::REACH).min(1.0),
        }
    }
}

/// The map with its contrast raised around one half: 1 / (1 + exp(−50 (h − 0.5))), the article's
/// sigmoid. Of a signed map that is done to the absolute value.
#[must_use]
pub fn emphasize(map: ArrayView2<'_, f32>, range: Range) -> Array2<f32> {
    map.mapv(|value| {
        let size = if range == Range::Signed { value.abs() } else { value };
        let raised = 1.0 / (1.0 + (-50.0 * (unit(size) - 0.5)).exp());
        if range == Range::Signed && value < 0.0 { -raised } else { raised }
    })
}

/// The map in colour, at the map's own size.
#[must_use]
pub fn heatmap(map: ArrayView2<'_, f32>, range: Range, colormap: Colormap) -> RgbImage {
    let table = colormap.table();
    let mut out = RgbImage::new(side(map.ncols()), side(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Rgb(table[usize::from(range.level(value))]);
    }
    out
}

/// The map as grey levels 0..=255, at the map's own size; of a signed map 0 is 128.
#[must_use]
pub fn gray(map: ArrayView2<'_, f32>, range: Range) -> GrayImage {
    let mut out = GrayImage::new(side(map.ncols()), side(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Luma([range.level(value)]);
    }
    out
}

/// The coloured map over the image it explains; `weight` is the share of the heat, of a signed map
/// where it is 1 or −1.
///
/// # Panics
/// If the map does not have the image's size: enlarge it first.
#[must_use]
pub fn overlay(
    image: &RgbImage,
    map: ArrayView2<'_, f32>,
    range: Range,
    colormap: Colormap,
    blend: Blend,
    weight: f32,
) -> RgbImage {
    let size = (image.height() as usize, image.width() as usize);
    assert_eq!(map.dim(), size, "the map is laid over an image of another size");
    let table = colormap.table();
    // For each level the share of the heat, and its colour times that.
    let heat: [(f32, [f32; 3]); 256] = std::array::from_fn(|level| {
        let share = weight * range.strength(level as u8);
        (share, table[level].map(|channel| f32::from(channel) * share))
    });
    let mut out = image.clone();
    for (pixel, &value) in out.pixels_mut().zip(map) {
        let (share, heat) = heat[usize::from(range.level(value))];
        for (channel, heat) in pixel.0.iter_mut().zip(heat) {
            let below = f32::from(*channel);
            // A float becomes a byte rounded down and cut to 0..=255.
            *channel = match blend {
                Blend::Add => (heat + below) as u8,
                Blend::Mix => (below * (1.0 - share) + heat).round() as u8,
            };
        }
    }
    out
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
        let map = array![
            [0.0, 0.999, 1.0, 2.0, -1.0],
            [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.5, 1e-9]
        ];
        assert_eq!(
            gray(map.view(), Range::Unit).into_raw(),
            [0, 254, 255, 255, 0, 0, 255, 0, 127, 0]
        );
    }

    #[test]
    fn add_cuts_at_white_and_mix_keeps_between() {
        let image = RgbImage::from_pixel(1, 1, Rgb([200, 10, 0]));
        let hot = array![[1.0]];
        let add = overlay(&image, hot.view(), Range::Unit, Colormap::Jet, Blend::Add, 0.8);
        assert_eq!(add.get_pixel(0, 0).0, [255, 10, 0]);
        let mix = overlay(&image, hot.view(), Range::Unit, Colormap::Gray, Blend::Mix, 0.5);
        assert_eq!(mix.get_pixel(0, 0).0, [228, 133, 128]);
    }

    #[test]
    fn the_sigmoid_is_steep_around_one_half() {
        let map = emphasize(array![[0.0, 0.5, 1.0, f32::NAN]].view(), Range::Unit);
        assert!(
            map[[0, 0]] < 1e-10 && map[[0, 1]] == 0.5 && map[[0, 2]] == 1.0 && map[[0, 3]] < 1e-10
        );
    }

    #[test]
    fn a_signed_map_has_its_zero_in_the_middle_and_leaves_the_image_alone_there() {
        let map = array![[-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, f32::NAN]];
        assert_eq!(gray(map.view(), Range::Signed).into_raw(), [1, 1, 64, 128, 191, 255, 128]);
        let raised = emphasize(map.view(), Range::Signed);
        assert_eq!((raised[[0, 1]], raised[[0, 2]], raised[[0, 5]]), (-1.0, -0.5, 1.0));
        assert!(raised[[0, 3]] < 1e-10);

        let image = RgbImage::from_pixel(7, 1, Rgb([200, 100, 0]));
        for blend in [Blend::Add, Blend::Mix] {
            let out = overlay(&image, map.view(), Range::Signed, Colormap::RdBu, blend, 1.0);
            assert_eq!(out.get_pixel(3, 0).0, [200, 100, 0], "{blend:?}");
            assert_eq!(out.get_pixel(6, 0).0, [200, 100, 0], "{blend:?}");
        }
        let mix = overlay(&image, map.view(), Range::Signed, Colormap::RdBu, Blend::Mix, 1.0);
        assert_eq!(mix.get_pixel(5, 0).0, Colormap::RdBu.table()[255]);
        assert_eq!(mix.get_pixel(1, 0).0, Colormap::RdBu.table()[1]);
    }

    proptest! {
        #[test]
        fn no_map_and_no_weight_panics(values in prop::collection::vec(any::<f32>(), 12), weight: f32) {
            let map = Array2::from_shape_vec((3, 4), values).unwrap();
            let image = RgbImage::from_pixel(4, 3, Rgb([1, 128, 255]));
            for range in [Range::Unit, Range::Signed] {
                for blend in [Blend::Add, Blend::Mix] {
                    let out = overlay(&image, map.view(), range, Colormap::Turbo, blend, weight);
                    prop_assert_eq!(out.dimensions(), (4, 3));
                }
                let low = if range == Range::Unit { 0.0 } else { -1.0 };
                prop_assert!(emphasize(map.view(), range).iter().all(|v| (low..=1.0).contains(v)));
            }
        }
    }
}
