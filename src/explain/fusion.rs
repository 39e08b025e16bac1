//! One map of several layers.
//!
//! A deep layer knows what it sees and not quite where, an early one the reverse; their
//! mean has something of both. As pytorch-grad-cam does it with several `target_layers`:
//! each layer's map is brought to 0..1 by itself, so that no layer counts for more because
//! its numbers are larger; enlarged to the model's input, bilinear with half-pixel centres; the
//! mean is taken, and brought to 0..1 once more. How it is brought there the convention
//! says, as for a map of one layer.

use ndarray::Array2;

use super::normalize::{Finish, normalize};
use super::options::{Normalize, Options};
use super::result::{Explanation, Passes, Timing};
use crate::error::{Error, Result};
use crate::picture::resize::upsample;

/// Layers that one request may name.
pub const MOST_LAYERS: usize = 10;

/// What is asked of each layer by itself: as what is asked of all, but always brought to 0..1.
#[must_use]
pub fn of_each(options: &Options) -> Options {
    Options {
        normalize: options.normalize.filter(|how| *how != Normalize::None),
        ..options.clone()
    }
}

/// The mean of maps, each `[h, w]` of its own, as `[H, W]`.
#[must_use]
pub fn mean(maps: &[Array2<f32>], [height, width]: [usize; 2]) -> Array2<f32> {
    let mut sum = Array2::<f32>::zeros((height, width));
    for map in maps {
        sum += &upsample(map.view(), height, width);
    }
    sum / maps.len().max(1) as f32
}

/// One explanation of those of several layers, which are of one method and one class.
///
/// # Errors
/// A fault, where there is no layer at all.
pub fn fuse(layers: Vec<Explanation>, finish: Finish) -> Result<Explanation> {
    let maps: Vec<Array2<f32>> = layers.iter().map(|one| one.map.clone()).collect();
    let names: Vec<&str> = layers.iter().map(|one| one.layer.as_str()).collect();
    let layer = names.join(",");
    let passes = layers.iter().fold(Passes::default(), |sum, one| sum + one.passes);
    let timing = layers.iter().fold(Timing::default(), |sum, one| sum + one.timing);
    let estimated = layers.iter().any(|one| one.estimated);
    // How far the errors of several layers cancel can't be told, so the least sure of them speaks
    // for all.
    let confidence = layers
        .iter()
        .filter_map(|one| one.confidence)
        .min_by(|a, b| a.at_least.total_cmp(&b.at_least));
    let first = layers
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal("fusing layers", "there is none"))?;
    let normalized = normalize(mean(&maps, first.input_size), finish);
    Ok(Explanation {
        layer,
        map: normalized.map,
        max: normalized.max,
        empty: normalized.empty,
        passes,
        timing,
        estimated,
        confidence,
        ..first
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn layers_of_different_sizes_meet_at_the_size_of_the_input() {
        let (deep, early) = (array![[1.0]], array![[0.0, 1.0], [0.0, 0.0]]);
        assert_eq!(mean(&[deep.clone(), early.clone()], [2, 2]), array![[0.5, 1.0], [0.5, 0.5]]);
        assert_eq!(mean(&[early], [2, 2]), array![[0.0, 1.0], [0.0, 0.0]]);
    }

    #[test]
    fn each_layer_is_brought_to_one_even_if_the_whole_is_not() {
        let options = |normalize| Options { normalize, ..Options::default() };
        assert_eq!(of_each(&options(Some(Normalize::None))).normalize, None);
        assert_eq!(of_each(&options(Some(Normalize::MinMax))).normalize, Some(Normalize::MinMax));
    }
}
