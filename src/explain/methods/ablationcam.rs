//! Ablation-CAM (Desai and Ramaswamy, WACV 2020).
//!
//! No gradient: a channel's weight is the relative loss of score when the channel is ablated,
//! `w_k = (y − y_k) / y` (equation 4), and the map is `ReLU(Σ_k w_k A_k)`. Only the part of the
//! model after the layer runs again, once per channel. A channel that is 0 everywhere loses nothing
//! and needs no pass.
//!
//! - `Paper`: an ablated channel is 0. The denominator is `|y|`: as printed, the formula flips the
//!   sign of every weight where the score is negative, as the logit of an unlikely class often is.
//! - `PytorchGradCam`: the denominator is `y`. Unless the activation's minimum is exactly 0, an
//!   ablated channel is filled with that minimum minus 10⁷. The library recomputes the minimum for
//!   each channel of a batch of 32, so the n-th channel of a batch gets the minimum minus n·10⁷.

use ndarray::{Array1, Array2, ArrayView2, ArrayView3, ArrayViewMut3, Axis, s};

use crate::engine::PassScores;
use crate::error::Result;
use crate::explain::context::MethodContext;
use crate::explain::math::channels::weighted_sum;
use crate::explain::method::Method;
use crate::explain::parameters::Convention;
use crate::explain::result::{Passes, TargetMap};
use crate::explain::spec::{MethodSpec, Needs};
use crate::explain::target::ClassTarget;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::AblationCam,
    name: "ablationcam",
    title: "Ablation-CAM",
    supports_signed: true,
    needs: Needs::Tail,
    passes: |_, [channels, ..], _| channels + 1,
    maps,
    ..MethodSpec::GRADIENT
};

fn maps(context: &MethodContext<'_>, passes: &mut Passes) -> Result<Vec<TargetMap>> {
    let (activation, convention) = (context.activation, context.parameters.convention);
    let channels = activation.len_of(Axis(0));
    let plan = plan(activation, convention);
    passes.skipped += channels - plan.len();
    let map = |scores: &PassScores, done: usize, target: &ClassTarget| -> Array2<f32> {
        let scores = context.scores(scores);
        let weights = weights(&plan[..done], scores, target, convention, channels);
        weighted_sum(weights.view(), activation)
    };
    // The first pass changes nothing, so that y and every y_k come from the same arithmetic.
    let count = plan.len() + 1;
    let (first, before) = (&context.targets[0], *passes);
    let reporter = context.reporter(first, count);
    let scores = context.tail_passes(
        count,
        |pass, out| ablate(activation, pass.checked_sub(1).map(|index| &plan[index]), out),
        |done, scores| {
            let passes = Passes { tail: before.tail + done, ..before };
            reporter.report(done, passes, || map(scores, done - 1, first));
        },
    )?;
    passes.tail += count;
    Ok(context.targets.iter().map(|target| map(&scores, plan.len(), target).into()).collect())
}

/// A channel to ablate, and the value that replaces it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ablation {
    /// The channel.
    pub channel: usize,
    /// The value at all its positions.
    pub value: f32,
}

/// The ablations of an activation `[C, h, w]`, one per pass.
#[must_use]
pub fn plan(activation: ArrayView3<'_, f32>, convention: Convention) -> Vec<Ablation> {
    const BATCH: usize = 32;
    let lowest = activation.iter().copied().fold(f32::INFINITY, f32::min);
    let channels = 0..activation.len_of(Axis(0));
    if convention == Convention::PytorchGradCam && lowest != 0.0 {
        let value = |channel: usize| (0..=channel % BATCH).fold(lowest, |value, _| value - 1e7);
        return channels.map(|channel| Ablation { channel, value: value(channel) }).collect();
    }
    let is_zero =
        |channel: &usize| activation.index_axis(Axis(0), *channel).iter().all(|&a| a == 0.0);
    channels
        .filter(|channel| !is_zero(channel))
        .map(|channel| Ablation { channel, value: 0.0 })
        .collect()
}

fn ablate(
    activation: ArrayView3<'_, f32>,
    ablation: Option<&Ablation>,
    mut out: ArrayViewMut3<'_, f32>,
) {
    out.assign(&activation);
    if let Some(&Ablation { channel, value }) = ablation {
        out.slice_mut(s![channel, .., ..]).fill(value);
    }
}

/// The weights `[C]` from the scores of an unchanged pass and of one pass per ablation of `plan`,
/// `[1 + K, classes]`.
#[must_use]
pub fn weights(
    plan: &[Ablation],
    scores: ArrayView2<'_, f32>,
    target: &ClassTarget,
    convention: Convention,
    channels: usize,
) -> Array1<f32> {
    let mut weights = Array1::zeros(channels);
    let scores = target.scores(scores);
    let full = scores[0];
    let scale = match convention {
        Convention::PytorchGradCam => full,
        _ => full.abs(),
    };
    for (ablation, score) in plan.iter().zip(scores.iter().skip(1)) {
        let loss = full - score;
        weights[ablation.channel] = if scale == 0.0 { loss } else { loss / scale };
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_channel_s_weight_is_the_relative_loss_of_score() {
        let activation = array![[[1.0, 0.0]], [[0.0, 0.0]], [[2.0, 3.0]]];
        let plan = plan(activation.view(), Convention::Paper);
        assert_eq!(plan.iter().map(|ablation| ablation.channel).collect::<Vec<_>>(), [0, 2]);
        let scores = array![[4.0, -2.0], [3.0, -2.0], [6.0, -3.0]];
        let of = |class, convention| {
            weights(&plan, scores.view(), &ClassTarget::new(class), convention, 3)
        };
        assert_eq!(of(0, Convention::Paper), array![0.25, 0.0, -0.5]);
        assert_eq!(of(1, Convention::Paper), array![0.0, 0.0, 0.5]);
        assert_eq!(of(1, Convention::PytorchGradCam), array![0.0, 0.0, -0.5]);
    }

    #[test]
    fn pytorch_grad_cam_fills_channels_with_ever_lower_values() {
        let activation = ndarray::Array3::from_elem((34, 1, 1), -1.0);
        let values: Vec<f32> = plan(activation.view(), Convention::PytorchGradCam)
            .iter()
            .map(|ablation| ablation.value)
            .collect();
        assert_eq!(values[..2], [-1e7 - 1.0, -2e7]);
        assert_eq!(values[32..], values[..2]);
    }
}
