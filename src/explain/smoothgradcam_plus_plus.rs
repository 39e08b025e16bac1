//! Smooth Grad-CAM++ (Omeiza et al., arXiv 1908.01224).
//!
//! Grad-CAM++ with derivatives that are means over `samples` inputs with Gaussian noise on them, as
//! SmoothGrad has it: `α = D₂ / (2·D₂ + S_k·D₃)` and `w_k = Σ_xy α · ReLU(D₁)`, where `D_p = mean_m
//! g_m^p` and `S_k = Σ_xy A_k` of the image without noise; the map is `ReLU(Σ_k w_k A_k)`.
//!
//! - `Paper`: that. As printed, α has `D₁` above the line; without noise that is not Grad-CAM++,
//!   which the paper says it starts from, so `D₂` is taken as in Grad-CAM++. `D_p` stands for
//!   derivatives of `exp(y)` there as in Grad-CAM++; their factor `exp(y)` is left out here too,
//!   and so every sample counts as much as another. The noise's deviation is `noise` times the
//!   range of the input's numbers; the paper leaves both numbers to the user, so they are those
//!   usual for SmoothGrad: 20 samples of 0.15.
//! - `TorchCam`: torch-cam 0.5 takes the last sample's own gradient for `D₁` and the last sample's
//!   activation for the final sum. Its denominator is `2·D₂ + Σ_xy D₃·A_k + 10⁻⁸`: each place's own
//!   `D₃` stands inside the sum, so that all places of a channel share one number. The deviation is
//!   in the input's own unit: 4 samples of 0.3.
//!
//! The noise comes from [`Chance`]: the same `seed` gives the same map. Numbers are drawn in the
//! order of the input tensor, sample after sample.

use ndarray::{Array1, Array2, Array3, Array4, ArrayView3, Axis, Zip};

use super::chance::Chance;
use super::gradcam_plus_plus::alpha;
use super::methods::MethodSpec;
use super::options::{Convention, Method, Options};
use super::stage::MethodContext;
use super::{total, weighted_sum};
use crate::error::Result;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::SmoothGradCamPlusPlus,
    name: "smoothgradcam++",
    also: &["smoothgradcampp", "smoothgradcamplusplus"],
    title: "Smooth Grad-CAM++",
    conventions: &[Convention::Paper, Convention::TorchCam],
    options: &["seed", "samples", "noise"],
    maps,
    ..MethodSpec::GRADIENT
};

/// The samples serve all goals.
fn maps(stage: &MethodContext<'_>) -> Result<Vec<Array2<f32>>> {
    let (options, activation) = (stage.options, stage.activation);
    let samples = samples(options);
    let deviation = deviation(options, stage.input());
    let mut chance = Chance::new(options.seed);
    let mut powers: Vec<Powers> =
        stage.goals.iter().map(|_| Powers::zeros(activation.raw_dim())).collect();
    let map = |done: usize, powers: &Powers, gradient: &Array3<f32>, seen: &Array3<f32>| {
        powers.map(done, activation, gradient.view(), seen.view(), options.convention)
    };
    stage.tell(0, samples, || Array2::zeros((0, 0)));
    let mut last = (Vec::new(), Array3::zeros(activation.raw_dim()));
    for done in 1..=samples {
        let noisy =
            stage.input().mapv(|value| (f64::from(value) + deviation * chance.normal()) as f32);
        last = stage.gradients_at(noisy)?;
        let (gradients, seen) = &last;
        powers.iter_mut().zip(gradients).for_each(|(powers, gradient)| powers.add(gradient.view()));
        stage.tell(done, samples, || map(done, &powers[0], &gradients[0], seen));
    }
    let (gradients, seen) = &last;
    Ok(powers
        .iter()
        .zip(gradients)
        .map(|(powers, gradient)| map(samples, powers, gradient, seen))
        .collect())
}

/// How many noisy inputs there are: at least 1.
fn samples(options: &Options) -> usize {
    let usual = if options.convention == Convention::TorchCam { 4 } else { 20 };
    options.samples.unwrap_or(usual).max(1)
}

/// The deviation of the noise, in the unit of the input's numbers.
fn deviation(options: &Options, input: &Array4<f32>) -> f64 {
    if options.convention == Convention::TorchCam {
        return f64::from(options.noise.unwrap_or(0.3));
    }
    let (low, high) =
        input.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    f64::from(options.noise.unwrap_or(0.15)) * (f64::from(high) - f64::from(low))
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

    /// The map `[h, w]` after `samples`, given the activation without noise, and the last sample's
    /// gradient and activation, all `[C, h, w]`.
    fn map(
        &self,
        samples: usize,
        activation: ArrayView3<'_, f32>,
        last_gradient: ArrayView3<'_, f32>,
        last_activation: ArrayView3<'_, f32>,
        convention: Convention,
    ) -> Array2<f32> {
        let share = 1.0 / samples as f64;
        let weight = |channel: usize| {
            let total = total(activation.index_axis(Axis(0), channel));
            let cubes = self.third.index_axis(Axis(0), channel);
            let shared: f64 = cubes
                .iter()
                .zip(activation.index_axis(Axis(0), channel))
                .map(|(&third, &a)| third * share * f64::from(a))
                .sum();
            let mut weight = 0.0;
            Zip::from(self.first.index_axis(Axis(0), channel))
                .and(self.second.index_axis(Axis(0), channel))
                .and(cubes)
                .and(last_gradient.index_axis(Axis(0), channel))
                .for_each(|&first, &second, &third, &last| {
                    let (second, third) = (second * share, third * share);
                    weight += match convention {
                        Convention::TorchCam => {
                            second / (2.0 * second + shared + 1e-8) * f64::from(last).max(0.0)
                        }
                        _ => alpha(second, third, total) * (first * share).max(0.0),
                    };
                });
            weight as f32
        };
        let weights: Array1<f32> = (0..activation.len_of(Axis(0))).map(weight).collect();
        let shown = if convention == Convention::TorchCam { last_activation } else { activation };
        weighted_sum(weights.view(), shown)
    }
}
