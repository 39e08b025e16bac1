//! A map of chance: the baseline that any method must be better than.
//!
//! `M = ReLU(Σ_k w_k A_k)` with weights drawn evenly from −1..1, as pytorch-grad-cam's
//! RandomCAM draws them. `seed` decides the draw: the same seed gives the same map on
//! every machine, and the map knows nothing of class or model but the activation itself.

use ndarray::Array1;

use super::chance::Chance;
use super::methods::{MethodSpec, Needs};
use super::options::Method;
use super::weighted_sum;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::Random,
    name: "random",
    also: &["randomcam"],
    title: "Random weights",
    needs: Needs::Nothing,
    class_discriminative: false,
    options: &["seed"],
    maps: |stage| {
        let weights = weights(stage.activation.dim().0, stage.options.seed);
        stage.of_activation(weighted_sum(weights.view(), stage.activation))
    },
    ..MethodSpec::GRADIENT
};

/// Weights `[C]` between −1 and 1.
#[must_use]
pub fn weights(channels: usize, seed: u64) -> Array1<f32> {
    let mut chance = Chance::new(seed);
    (0..channels).map(|_| (2.0 * chance.unit() - 1.0) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_draw() {
        assert_eq!(weights(512, 7), weights(512, 7));
        assert_ne!(weights(512, 7), weights(512, 8));
        let many = weights(10_000, 0);
        assert!(many.iter().all(|weight| (-1.0..=1.0).contains(weight)));
        assert!(many.mean().is_some_and(|mean| mean.abs() < 0.02));
    }
}
