//! Reproducible pseudo-random numbers.
//!
//! Every map must be reproducible, so nothing here comes from the clock or the operating system:
//! the seed determines the whole sequence. The generator is SplitMix64 (Steele, Lea and Flood,
//! OOPSLA 2014).

/// The SplitMix64 generator.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator that starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A value uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        // The upper 53 bits fill the mantissa of a double.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A value from the standard normal distribution, by the Box–Muller transform. Each takes two
    /// uniform values, so the n-th does not depend on how the earlier ones were used.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(), self.uniform());
        // 1 − u is never 0, so its logarithm is finite.
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first values of seed 1234567, as published by the generator's authors.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut rng = SplitMix64::new(1_234_567);
        let first = [rng.next(), rng.next(), rng.next()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn normal_values_have_mean_0_and_standard_deviation_1() {
        let mut rng = SplitMix64::new(3);
        let many: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = many.iter().sum::<f64>() / many.len() as f64;
        let variance =
            many.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / many.len() as f64;
        let beyond_two =
            many.iter().filter(|value| value.abs() > 2.0).count() as f64 / many.len() as f64;
        assert!(
            mean.abs() < 0.01
                && (variance - 1.0).abs() < 0.02
                && (beyond_two - 0.0455).abs() < 0.003
        );
    }
}
