//! Bringing a finished map to 0..1, and saying what it was before.

use ndarray::Array2;

use super::options::Normalize;

/// A map brought to 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The map; zeros when `empty`.
    pub map: Array2<f32>,
    /// Its largest value before.
    pub max: f32,
    /// True when there is nothing above 0.
    pub empty: bool,
}

/// Cuts a map at 0, `ReLU(map)`, and normalises it.
///
/// `Max` divides by the maximum; `MinMax` is pytorch-grad-cam's `(x − min) / (10⁻⁷ + max(x − min))`.
/// A map without a positive number stays zero in both: it has no shape to bring out.
#[must_use]
pub fn normalize(map: Array2<f32>, how: Normalize) -> Normalized {
    let map = map.mapv_into(|value| value.max(0.0));
    let max = map.iter().copied().fold(0.0_f32, f32::max);
    if max <= 0.0 || max.is_nan() {
        return Normalized { map: Array2::zeros(map.raw_dim()), max: 0.0, empty: true };
    }
    let map = match how {
        Normalize::Max => map.mapv_into(|value| value / max),
        Normalize::MinMax => {
            let min = map.iter().copied().fold(f32::INFINITY, f32::min);
            let range = 1e-7 + (max - min);
            map.mapv_into(|value| (value - min) / range)
        }
        Normalize::None => map,
    };
    Normalized { map, max, empty: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_largest_value_becomes_one() {
        let normalized = normalize(array![[1.0, 4.0]], Normalize::Max);
        assert_eq!(normalized, Normalized { map: array![[0.25, 1.0]], max: 4.0, empty: false });
        assert_eq!(normalize(array![[1.0, 3.0]], Normalize::MinMax).map[[0, 0]], 0.0);
        assert_eq!(normalize(array![[1.0, 3.0]], Normalize::None).map, array![[1.0, 3.0]]);
    }

    #[test]
    fn a_map_of_nothing_stays_zero_and_says_so() {
        for how in [Normalize::Max, Normalize::MinMax, Normalize::None] {
            let normalized = normalize(array![[0.0, 0.0]], how);
            assert!(normalized.empty);
            assert_eq!(normalized.map, array![[0.0, 0.0]]);
        }
    }
}
