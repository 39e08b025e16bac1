//! Normalisation of a finished map to 0..1, or to −1..1 if it is signed.

use ndarray::Array2;

use super::parameters::Normalization;

/// A normalised map.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizedMap {
    /// The map `[h, w]`; zeros when `empty`.
    pub map: Array2<f32>,
    /// The largest value before normalisation; of a signed map the largest absolute value.
    pub max: f32,
    /// True if no value is above 0; for a signed map, if all values are 0.
    pub empty: bool,
}

/// How a finished map is normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalizer {
    /// By the maximum, by minimum and maximum, or not at all.
    pub normalization: Normalization,
    /// Added to the range in [`Normalization::MinMax`].
    pub epsilon: f32,
    /// Whether a ReLU is applied first. Only [`Normalization::MinMax`] can do without it.
    pub relu: bool,
    /// Whether the map keeps its sign: no ReLU is applied and 0 stays 0, which rules out
    /// [`Normalization::MinMax`].
    pub signed: bool,
}

impl Normalizer {
    /// Normalises a map `[h, w]`.
    ///
    /// `Max` divides by the maximum; `MinMax` is `(x − min) / (max(x − min) + ε)`. In both, a map
    /// without a positive value stays zero, and so does a constant map without ReLU. A signed map
    /// is divided by its largest absolute value.
    #[must_use]
    pub fn apply(self, map: Array2<f32>) -> NormalizedMap {
        if self.signed {
            let max = map.fold(0.0_f32, |max, value| max.max(value.abs()));
            let is_scaled = self.normalization != Normalization::None && max > 0.0;
            let map = if is_scaled { map.mapv_into(|value| value / max) } else { map };
            return NormalizedMap { map, max, empty: max <= 0.0 };
        }
        let relu = self.relu || self.normalization != Normalization::MinMax;
        let map = if relu { map.mapv_into(|value| value.max(0.0)) } else { map };
        let (min, max) = map
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &v| (min.min(v), max.max(v)));
        let is_empty = if relu { max <= 0.0 } else { max <= min };
        if is_empty {
            let map = Array2::zeros(map.raw_dim());
            return NormalizedMap { map, max: max.max(0.0), empty: true };
        }
        let map = match self.normalization {
            Normalization::Max => map.mapv_into(|value| value / max),
            Normalization::MinMax => {
                let range = match max - min + self.epsilon {
                    0.0 => 1.0,
                    range => range,
                };
                map.mapv_into(|value| (value - min) / range)
            }
            Normalization::None => map,
        };
        NormalizedMap { map, max, empty: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    const UNSIGNED: Normalizer =
        Normalizer { normalization: Normalization::Max, epsilon: 0.0, relu: true, signed: false };

    #[test]
    fn the_largest_value_becomes_one() {
        let apply = |map, normalization| Normalizer { normalization, ..UNSIGNED }.apply(map);
        assert_eq!(
            apply(array![[1.0, 4.0]], Normalization::Max),
            NormalizedMap { map: array![[0.25, 1.0]], max: 4.0, empty: false }
        );
        assert_eq!(apply(array![[1.0, 3.0]], Normalization::MinMax).map[[0, 0]], 0.0);
        assert_eq!(apply(array![[1.0, 3.0]], Normalization::None).map, array![[1.0, 3.0]]);
    }

    #[test]
    fn a_map_of_zeros_stays_zero_and_is_marked_empty() {
        for normalization in [Normalization::Max, Normalization::MinMax, Normalization::None] {
            let normalizer = Normalizer { normalization, epsilon: 1e-7, ..UNSIGNED };
            let normalized = normalizer.apply(array![[0.0, 0.0]]);
            assert!(normalized.empty);
            assert_eq!(normalized.map, array![[0.0, 0.0]]);
        }
    }

    #[test]
    fn min_max_without_relu_stretches_negative_values() {
        let normalizer =
            Normalizer { normalization: Normalization::MinMax, relu: false, ..UNSIGNED };
        assert_eq!(normalizer.apply(array![[-3.0, -1.0]]).map, array![[0.0, 1.0]]);
        assert!(normalizer.apply(array![[-3.0, -3.0]]).empty);
        let with_relu = Normalizer { relu: true, ..normalizer };
        assert!(with_relu.apply(array![[-3.0, -1.0]]).empty);
    }

    #[test]
    fn zero_stays_zero_in_a_signed_map() {
        let apply = |map, normalization| {
            Normalizer { normalization, epsilon: 1e-7, relu: true, signed: true }.apply(map)
        };
        assert_eq!(
            apply(array![[-4.0, 0.0, 2.0]], Normalization::Max),
            NormalizedMap { map: array![[-1.0, 0.0, 0.5]], max: 4.0, empty: false }
        );
        assert_eq!(
            apply(array![[-4.0, 2.0]], Normalization::None),
            NormalizedMap { map: array![[-4.0, 2.0]], max: 4.0, empty: false }
        );
        assert_eq!(
            apply(array![[0.0, -0.0]], Normalization::Max),
            NormalizedMap { map: array![[0.0, 0.0]], max: 0.0, empty: true }
        );
    }
}
