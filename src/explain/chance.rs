//! Numbers that look like chance and are the same every time.
//!
//! A map that a client can't get again is no answer, so nothing here is drawn from the
//! clock or the system: all of it follows from a seed. The generator is SplitMix64 (Steele,
//! Lea and Flood, OOPSLA 2014).

/// A sequence of numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The sequence of this seed.
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

    /// Evenly from 0 to 1, 1 left out.
    pub fn unit(&mut self) -> f64 {
        // The upper 53 bits are all that a double between 0 and 1 holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From the normal distribution of mean 0 and deviation 1, by Box and Muller's formula: two
    /// even numbers for each, so that the n-th is the same whoever asks.
    pub fn normal(&mut self) -> f64 {
        let (radius, turn) = (self.unit(), self.unit());
        // 1 − u is never 0, whose logarithm there is not.
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of seed 1234567, as the generator's authors publish them.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut chance = Chance::new(1_234_567);
        let first = [chance.next(), chance.next(), chance.next()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut chance = Chance::new(3);
        let many: Vec<f64> = (0..100_000).map(|_| chance.normal()).collect();
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
