//! Random channel weights: the baseline that every method must beat.
//!
//! `M = ReLU(Σ_k w_k A_k)` with weights drawn uniformly from −1..1, as in pytorch-grad-cam's
//! RandomCAM. The seed determines the weights: the same seed gives the same map on every machine.
//! Apart from the activation, the map depends on neither class nor model.

use ndarray::Array1;

use crate::explain::math::channels::weighted_sum;
use crate::explain::math::rng::SplitMix64;
use crate::explain::method::Method;
use crate::explain::spec::{MethodSpec, Needs};

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::Random,
    name: "random",
    aliases: &["randomcam"],
    title: "Random weights",
    needs: Needs::ActivationOnly,
    class_discriminative: false,
    parameters: &["seed"],
    maps: |context, _| {
        let weights = weights(context.activation.dim().0, context.parameters.seed);
        context.shared_map(weighted_sum(weights.view(), context.activation))
    },
    ..MethodSpec::GRADIENT
};

/// Weights `[C]` in −1..1.
#[must_use]
pub fn weights(channels: usize, seed: u64) -> Array1<f32> {
    let mut rng = SplitMix64::new(seed);
    (0..channels).map(|_| (2.0 * rng.uniform() - 1.0) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_the_weights() {
        assert_eq!(weights(512, 7), weights(512, 7));
        assert_ne!(weights(512, 7), weights(512, 8));
        let many = weights(10_000, 0);
        assert!(many.iter().all(|weight| (-1.0..=1.0).contains(weight)));
        assert!(many.mean().is_some_and(|mean| mean.abs() < 0.02));
    }
}
