//! Bringing a finished map to 0..1, or to −1..1 where it keeps its sign, and saying what it was
//! before.

use ndarray::Array2;

use super::options::Normalize;

/// A map brought to 0..1 or −1..1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The map; zeros when `empty`.
    pub map: Array2<f32>,
    /// Its largest value before; with signs the largest absolute one.
    pub max: f32,
    /// True when there is nothing above 0; with signs, nothing but 0.
    pub empty: bool,
}

/// How a finished map is brought to 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// By its maximum, by minimum and maximum, or not at all.
    pub how: Normalize,
    /// What is added to the range in [`Normalize::MinMax`].
    pub epsilon: f32,
    /// Whether everything below 0 is cut off first. [`Normalize::MinMax`] can do without.
    pub cut: bool,
    /// Whether the map keeps its sign: nothing is cut off, and 0 stays 0. There is no
    /// [`Normalize::MinMax`] then.
    pub signed: bool,
}

/// Normalises a map.
///
/// `Max` divides by the maximum; `MinMax` is `(x − min) / (max(x − min) + ε)`. A map without a
/// positive number stays zero in both: it has no shape to bring out. So does one that is not cut
/// and flat. A signed map is divided by its largest absolute value.
#[must_use]
pub fn normalize(map: Array2<f32>, finish: Finish) -> Normalized {
    if finish.signed {
        let max = map.fold(0.0_f32, |max, value| max.max(value.abs()));
        let is_scaled = finish.how != Normalize::None && max > 0.0;
        let map = if is_scaled { map.mapv_into(|value| value / max) } else { map };
        return Normalized { map, max, empty: max <= 0.0 };
    }
    let is_cut = finish.cut || finish.how != Normalize::MinMax;
    let map = if is_cut { map.mapv_into(|value| value.max(0.0)) } else { map };
    let (min, max) = map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &value| {
        (min.min(value), max.max(value))
    });
    if if is_cut { max <= 0.0 } else { max <= min } {
        return Normalized { map: Array2::zeros(map.raw_dim()), max: max.max(0.0), empty: true };
    }
    let map = match finish.how {
        Normalize::Max => map.mapv_into(|value| value / max),
        Normalize::MinMax => {
            let range = match max - min + finish.epsilon {
                0.0 => 1.0,
                range => range,
            };
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
        let normalize =
            |map, how| normalize(map, Finish { how, epsilon: 0.0, cut: true, signed: false });
        let normalized = normalize(array![[1.0, 4.0]], Normalize::Max);
        assert_eq!(normalized, Normalized { map: array![[0.25, 1.0]], max: 4.0, empty: false });
        assert_eq!(normalize(array![[1.0, 3.0]], Normalize::MinMax).map[[0, 0]], 0.0);
        assert_eq!(normalize(array![[1.0, 3.0]], Normalize::None).map, array![[1.0, 3.0]]);
    }

    #[test]
    fn a_map_of_nothing_stays_zero_and_says_so() {
        let normalize =
            |map, how| normalize(map, Finish { how, epsilon: 1e-7, cut: true, signed: false });
        for how in [Normalize::Max, Normalize::MinMax, Normalize::None] {
            let normalized = normalize(array![[0.0, 0.0]], how);
            assert!(normalized.empty);
            assert_eq!(normalized.map, array![[0.0, 0.0]]);
        }
    }

    #[test]
    fn a_map_that_is_not_cut_is_stretched_whole() {
        let finish = Finish { how: Normalize::MinMax, epsilon: 0.0, cut: false, signed: false };
        assert_eq!(normalize(array![[-3.0, -1.0]], finish).map, array![[0.0, 1.0]]);
        assert!(normalize(array![[-3.0, -3.0]], finish).empty);
        let cut = Finish { cut: true, ..finish };
        assert!(normalize(array![[-3.0, -1.0]], cut).empty);
    }

    #[test]
    fn a_signed_map_keeps_its_zero() {
        let finish = |how| Finish { how, epsilon: 1e-7, cut: true, signed: true };
        let normalized = normalize(array![[-4.0, 0.0, 2.0]], finish(Normalize::Max));
        assert_eq!(
            normalized,
            Normalized { map: array![[-1.0, 0.0, 0.5]], max: 4.0, empty: false }
        );
        let raw = normalize(array![[-4.0, 2.0]], finish(Normalize::None));
        assert_eq!(raw, Normalized { map: array![[-4.0, 2.0]], max: 4.0, empty: false });
        let nothing = normalize(array![[0.0, -0.0]], finish(Normalize::Max));
        assert_eq!(nothing, Normalized { map: array![[0.0, 0.0]], max: 0.0, empty: true });
    }
}
