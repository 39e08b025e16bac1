//! One map from several layers.
//!
//! Deep layers are semantic but coarse, early layers detailed but less specific; their mean has
//! something of both. The steps are those of pytorch-grad-cam with several `target_layers`:
//! normalise each layer's map to 0..1, so that layers with larger values do not dominate; upsample
//! it to the model's input size, bilinear with half-pixel centres; take the mean; normalise it
//! again. The convention defines the normalisation, as for a single layer.

use ndarray::Array2;

use super::normalise::Normalizer;
use super::parameters::Normalization;
use super::result::{Explanation, Passes, Timing};
use crate::error::{Error, Result};
use crate::picture::resize::upsample;
use crate::warning::Warning;

/// The largest number of layers in one map.
pub const MAX_LAYERS: usize = 10;

/// The normalisation of each single layer: as requested for the whole, but never
/// [`Normalization::None`].
#[must_use]
pub fn per_layer_normalization(requested: Option<Normalization>) -> Option<Normalization> {
    requested.filter(|normalization| *normalization != Normalization::None)
}

/// The mean `[H, W]` of maps of different sizes `[h, w]`.
#[must_use]
pub fn mean(maps: &[Array2<f32>], [height, width]: [usize; 2]) -> Array2<f32> {
    let mut sum = Array2::<f32>::zeros((height, width));
    for map in maps {
        sum += &upsample(map.view(), height, width);
    }
    sum / maps.len().max(1) as f32
}

/// Fuses one explanation per layer, all of the same method and class, into one.
///
/// # Errors
/// An internal error if `layers` is empty.
pub fn fuse(layers: Vec<Explanation>, normalizer: Normalizer) -> Result<Explanation> {
    let maps: Vec<Array2<f32>> = layers.iter().map(|one| one.map.clone()).collect();
    let names: Vec<&str> = layers.iter().map(|one| one.layer.as_str()).collect();
    let layer = names.join(",");
    let passes = layers.iter().fold(Passes::default(), |sum, one| sum + one.passes);
    let timing = layers.iter().fold(Timing::default(), |sum, one| sum + one.timing);
    let estimated = layers.iter().any(|one| one.estimated);
    // How far the errors of several layers cancel is unknown, so report the least certain layer.
    let confidence = layers
        .iter()
        .filter_map(|one| one.confidence)
        .min_by(|a, b| a.at_least.total_cmp(&b.at_least));
    let warnings = Warning::each_once(layers.iter().flat_map(|one| &one.warnings));
    let first = layers
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal("fusing layers", "there is none"))?;
    let normalized = normalizer.apply(mean(&maps, first.input_size));
    Ok(Explanation {
        layer,
        map: normalized.map,
        normalizer,
        max: normalized.max,
        empty: normalized.empty,
        passes,
        timing,
        estimated,
        confidence,
        warnings,
        ..first
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn maps_of_different_sizes_are_averaged_at_the_input_size() {
        let (deep, early) = (array![[1.0]], array![[0.0, 1.0], [0.0, 0.0]]);
        assert_eq!(mean(&[deep.clone(), early.clone()], [2, 2]), array![[0.5, 1.0], [0.5, 0.5]]);
        assert_eq!(mean(&[early], [2, 2]), array![[0.0, 1.0], [0.0, 0.0]]);
    }

    #[test]
    fn each_layer_is_normalised_even_if_the_whole_is_not() {
        assert_eq!(per_layer_normalization(Some(Normalization::None)), None);
        let min_max = Some(Normalization::MinMax);
        assert_eq!(per_layer_normalization(min_max), min_max);
    }
}
