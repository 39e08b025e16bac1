//! Renders a map as grayscale, in colour, or blended over the image.
//!
//! Maps are `[H, W]` with values in 0..=1, or in −1..=1 for signed maps. Values outside are clamped
//! and NaN counts as 0, so these functions never fail on a map's values. With [`Blend::Add`] the
//! bytes equal those of the Keras article: the arithmetic is in single precision and rounds down,
//! as NumPy's does there. The opacity of a signed map grows with the distance from 0 and is 0
//! there.

use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::colormap::Colormap;

/// How the coloured map and the image are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blend {
    /// `min(image + weight · heat, 255)`, rounded down, as in the Keras article.
    Add,
    /// `(1 − weight) · image + weight · heat`, rounded to nearest.
    #[default]
    Mix,
}

impl Blend {
    /// The default weight of the coloured map.
    #[must_use]
    pub const fn default_weight(self) -> f32 {
        match self {
            Self::Add => 0.8,
            Self::Mix => 0.5,
        }
    }
}

/// The range of a map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 1.
    Unit,
    /// −1 to 1.
    Signed,
}

impl Range {
    /// The level of 0 in a signed map, and the number of levels from there to 1.
    const MIDDLE: u8 = 128;
    const HALF_RANGE: f32 = 127.0;

    /// The index in a colour table: `255 · h` rounded down, as `numpy.uint8(255 * h)`; for a signed
    /// map `128 + 127 · h`, so that 0 has the colour in the middle.
    fn level(self, value: f32) -> u8 {
        match self {
            // The cast saturates to 0..=255 and turns NaN into 0.
            Self::Unit => (255.0 * value) as u8,
            Self::Signed if value.is_nan() => Self::MIDDLE,
            Self::Signed => {
                (f32::from(Self::MIDDLE) + Self::HALF_RANGE * value.clamp(-1.0, 1.0)) as u8
            }
        }
    }

    /// The opacity of a level's colour over an image, 0..=1.
    fn opacity(self, level: u8) -> f32 {
        match self {
            Self::Unit => 1.0,
            Self::Signed => (f32::from(level.abs_diff(Self::MIDDLE)) / Self::HALF_RANGE).min(1.0),
        }
    }
}

/// Raises the contrast of a map around one half: `1 / (1 + exp(−50 (h − 0.5)))`, the sigmoid of
/// the Keras article. For a signed map it applies to the absolute value and keeps the sign.
#[must_use]
pub fn emphasize(map: ArrayView2<'_, f32>, range: Range) -> Array2<f32> {
    map.mapv(|value| {
        let magnitude = if range == Range::Signed { value.abs() } else { value };
        let raised = 1.0 / (1.0 + (-50.0 * (clamp_to_unit(magnitude) - 0.5)).exp());
        if range == Range::Signed && value < 0.0 { -raised } else { raised }
    })
}

/// Colours a map `[H, W]`, at the map's own size.
#[must_use]
pub fn heatmap(map: ArrayView2<'_, f32>, range: Range, colormap: Colormap) -> RgbImage {
    let table = colormap.table();
    let mut out = RgbImage::new(side_px(map.ncols()), side_px(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Rgb(table[usize::from(range.level(value))]);
    }
    out
}

/// Renders a map `[H, W]` as gray levels 0..=255, at the map's own size; in a signed map 0 is level
/// 128.
#[must_use]
pub fn gray(map: ArrayView2<'_, f32>, range: Range) -> GrayImage {
    let mut out = GrayImage::new(side_px(map.ncols()), side_px(map.nrows()));
    for (pixel, &value) in out.pixels_mut().zip(map) {
        *pixel = Luma([range.level(value)]);
    }
    out
}

/// Blends the coloured map `[H, W]` over the image it explains, of the same size. `weight` is the
/// weight of the colour; for a signed map it is reached at 1 and −1.
///
/// # Panics
/// If the map and the image differ in size; upsample the map first.
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
    assert_eq!(map.dim(), size, "the map and the image must have the same size");
    let table = colormap.table();
    // For each level the weight of its colour, and the weighted colour.
    let heat: [(f32, [f32; 3]); 256] = std::array::from_fn(|level| {
        let alpha = weight * range.opacity(level as u8);
        (alpha, table[level].map(|channel| f32::from(channel) * alpha))
    });
    let mut out = image.clone();
    for (pixel, &value) in out.pixels_mut().zip(map) {
        let (alpha, heat) = heat[usize::from(range.level(value))];
        for (channel, heat) in pixel.0.iter_mut().zip(heat) {
            let pixel = f32::from(*channel);
            // The cast rounds down and saturates to 0..=255.
            *channel = match blend {
                Blend::Add => (heat + pixel) as u8,
                Blend::Mix => (pixel * (1.0 - alpha) + heat).round() as u8,
            };
        }
    }
    out
}

fn clamp_to_unit(value: f32) -> f32 {
    // The comparison is false for NaN, which therefore becomes 0.
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// The length of a map's side in pixels. A map of 2³² positions would not fit into memory.
fn side_px(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn levels_round_down_and_nan_is_level_0() {
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
    fn add_saturates_at_255_and_mix_interpolates() {
        let image = RgbImage::from_pixel(1, 1, Rgb([200, 10, 0]));
        let hot = array![[1.0]];
        let add = overlay(&image, hot.view(), Range::Unit, Colormap::Jet, Blend::Add, 0.8);
        assert_eq!(add.get_pixel(0, 0).0, [255, 10, 0]);
        let mix = overlay(&image, hot.view(), Range::Unit, Colormap::Gray, Blend::Mix, 0.5);
        assert_eq!(mix.get_pixel(0, 0).0, [228, 133, 128]);
    }

    #[test]
    fn emphasize_is_steep_around_one_half() {
        let map = emphasize(array![[0.0, 0.5, 1.0, f32::NAN]].view(), Range::Unit);
        assert!(
            map[[0, 0]] < 1e-10 && map[[0, 1]] == 0.5 && map[[0, 2]] == 1.0 && map[[0, 3]] < 1e-10
        );
    }

    #[test]
    fn zero_in_a_signed_map_is_the_middle_level_and_leaves_the_image_unchanged() {
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
        fn any_map_and_weight_can_be_rendered(
            values in prop::collection::vec(any::<f32>(), 12), weight: f32,
        ) {
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
