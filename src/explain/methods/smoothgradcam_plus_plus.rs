//! Smooth Grad-CAM++ (Omeiza et al., arXiv 1908.01224).
//!
//! Grad-CAM++ with derivatives averaged over `samples` inputs with added Gaussian noise, as in
//! SmoothGrad: `α = D₂ / (2·D₂ + S_k·D₃)` and `w_k = Σ_xy α · ReLU(D₁)`, where `D_p = mean_m g_m^p`
//! and `S_k = Σ_xy A_k` of the image without noise. The map is `ReLU(Σ_k w_k A_k)`.
//!
//! - `Paper`: the formula above. As printed, the numerator of α is `D₁`. Without noise that is not
//!   Grad-CAM++, from which the paper says it starts, so `D₂` is used as in Grad-CAM++. There as
//!   here, `D_p` stands for derivatives of `exp(y)`; their factor `exp(y)` is left out here too, so
//!   all samples count equally. The noise's standard deviation is `noise` times the range of the
//!   input's values. The paper leaves both parameters to the user; the defaults are those usual for
//!   SmoothGrad: 20 samples and 0.15.
//! - `TorchCam`: torch-cam 0.5 uses the last sample's gradient as `D₁` and the last sample's
//!   activation in the final sum. Its denominator is `2·D₂ + Σ_xy D₃·A_k + 10⁻⁸`: each position's
//!   `D₃` is inside the sum, so all positions of a channel share the second term. The standard
//!   deviation is in the unit of the input. Defaults: 4 samples and 0.3.
//!
//! The noise is drawn from [`SplitMix64`]: the same `seed` gives the same map. Values are drawn in
//! the order of the input tensor, sample after sample.

use ndarray::{Array1, Array2, Array3, Array4, ArrayView3, Axis, Zip};

use super::gradcam_plus_plus::alpha;
use crate::error::Result;
use crate::explain::context::{GradientPass, MethodContext};
use crate::explain::math::channels::{channel_sum, weighted_sum};
use crate::explain::math::rng::SplitMix64;
use crate::explain::method::Method;
use crate::explain::parameters::{Convention, MethodParameters};
use crate::explain::result::{Passes, TargetMap};
use crate::explain::spec::MethodSpec;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::SmoothGradCamPlusPlus,
    name: "smoothgradcam++",
    aliases: &["smoothgradcampp", "smoothgradcamplusplus"],
    title: "Smooth Grad-CAM++",
    conventions: &[Convention::Paper, Convention::TorchCam],
    parameters: &["seed", "samples", "noise"],
    passes: |parameters, _, _| samples(parameters),
    maps,
    ..MethodSpec::GRADIENT
};

/// All targets share the noisy samples.
fn maps(context: &MethodContext<'_>, passes: &mut Passes) -> Result<Vec<TargetMap>> {
    let (parameters, activation) = (&context.parameters, context.activation);
    let samples = samples(parameters);
    let deviation = deviation(parameters, context.input);
    let mut rng = SplitMix64::new(parameters.seed);
    let zeros = || Powers::zeros(activation.raw_dim());
    let mut powers: Vec<Powers> = context.targets.iter().map(|_| zeros()).collect();
    let map = |done: usize, powers: &Powers, gradient: &Array3<f32>, noisy: &Array3<f32>| {
        powers.map(done, activation, gradient.view(), noisy.view(), parameters.convention)
    };
    let reporter = context.reporter(&context.targets[0], samples);
    let mut last = None;
    for done in 1..=samples {
        let add_noise = |value: &f32| (f64::from(*value) + deviation * rng.normal()) as f32;
        let noisy = context.input.map(add_noise);
        let sample = context.gradient_pass(noisy)?;
        *if sample.from_cache { &mut passes.skipped } else { &mut passes.masked } += 1;
        for (powers, gradient) in powers.iter_mut().zip(&sample.gradients) {
            powers.add(gradient.view());
        }
        reporter.report(done, *passes, || {
            map(done, &powers[0], &sample.gradients[0], &sample.activation)
        });
        last = Some(sample);
    }
    let Some(GradientPass { gradients, activation: noisy, .. }) = last else {
        return Ok(Vec::new());
    };
    let maps = powers.iter().zip(&gradients);
    Ok(maps.map(|(powers, gradient)| map(samples, powers, gradient, &noisy).into()).collect())
}

/// The number of noisy inputs, at least 1.
fn samples(parameters: &MethodParameters) -> usize {
    let default = if parameters.convention == Convention::TorchCam { 4 } else { 20 };
    parameters.samples.unwrap_or(default).max(1)
}

/// The standard deviation of the noise, in the unit of the input's values.
fn deviation(parameters: &MethodParameters, input: &Array4<f32>) -> f64 {
    if parameters.convention == Convention::TorchCam {
        return f64::from(parameters.noise.unwrap_or(0.3));
    }
    let (low, high) =
        input.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    f64::from(parameters.noise.unwrap_or(0.15)) * (f64::from(high) - f64::from(low))
}

/// Sums of the powers of gradients, `[C, h, w]` each.
struct Powers {
    first: Array3<f64>,
    second: Array3<f64>,
    third: Array3<f64>,
}

impl Powers {
    fn zeros(shape: ndarray::Ix3) -> Self {
        Self {
            first: Array3::zeros(shape),
            second: Array3::zeros(shape),
            third: Array3::zeros(shape),
        }
    }

    fn add(&mut self, gradient: ArrayView3<'_, f32>) {
        Zip::from(&mut self.first)
            .and(&mut self.second)
            .and(&mut self.third)
            .and(gradient)
            .for_each(|first, second, third, &g| {
                let g = f64::from(g);
                *first += g;
                *second += g * g;
                *third += g * g * g;
            });
    }

    /// The map `[h, w]` after `samples` samples, from the activation without noise and the last
    /// sample's gradient and activation, all `[C, h, w]`.
    fn map(
        &self,
        samples: usize,
        activation: ArrayView3<'_, f32>,
        last_gradient: ArrayView3<'_, f32>,
        last_activation: ArrayView3<'_, f32>,
        convention: Convention,
    ) -> Array2<f32> {
        let scale = 1.0 / samples as f64;
        let weight = |channel: usize| {
            let sum = channel_sum(activation.index_axis(Axis(0), channel));
            let cubes = self.third.index_axis(Axis(0), channel);
            let shared: f64 = cubes
                .iter()
                .zip(activation.index_axis(Axis(0), channel))
                .map(|(&third, &a)| third * scale * f64::from(a))
                .sum();
            let mut weight = 0.0;
            Zip::from(self.first.index_axis(Axis(0), channel))
                .and(self.second.index_axis(Axis(0), channel))
                .and(cubes)
                .and(last_gradient.index_axis(Axis(0), channel))
                .for_each(|&first, &second, &third, &last| {
                    let (second, third) = (second * scale, third * scale);
                    weight += match convention {
                        Convention::TorchCam => {
                            second / (2.0 * second + shared + 1e-8) * f64::from(last).max(0.0)
                        }
                        _ => alpha(second, third, sum) * (first * scale).max(0.0),
                    };
                });
            weight as f32
        };
        let weights: Array1<f32> = (0..activation.len_of(Axis(0))).map(weight).collect();
        let summed = if convention == Convention::TorchCam { last_activation } else { activation };
        weighted_sum(weights.view(), summed)
    }
}
