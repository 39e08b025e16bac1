//! Ablation-CAM (Desai and Ramaswamy, WACV 2020).
//!
//! No gradient: a channel weighs what the score loses when the channel is taken out,
//! `w_k = (y − y_k) / y` (equation 4), and the map is `ReLU(Σ_k w_k A_k)`. Only the tail of
//! the model runs again, once a channel; a channel that is 0 everywhere loses nothing.
//!
//! - `Paper`: a channel is taken out by zeros. Of `y` in the denominator the absolute value is
//!   taken: the formula as printed turns every weight round where the score is below 0, as the
//!   logit of an unlikely class often is.
//! - `PytorchGradCam`: the denominator is `y` as it is. Where the activation's minimum is not
//!   exactly 0, a channel is filled with that minimum less 10⁷, and because the library looks for
//!   the minimum anew for each channel of a batch of 32, the n-th of a batch gets the minimum less
//!   n·10⁷.

use ndarray::{Array1, Array2, ArrayView2, ArrayView3, ArrayViewMut3, Axis, s};

use super::goal::ClassTarget;
use super::methods::{MethodSpec, Needs};
use super::options::{Convention, Method};
use super::stage::MethodContext;
use super::weighted_sum;
use crate::engine::PassScores;
use crate::error::Result;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::AblationCam,
    name: "ablationcam",
    title: "Ablation-CAM",
    supports_signed: true,
    needs: Needs::Tail,
    maps,
    ..MethodSpec::GRADIENT
};

fn maps(stage: &MethodContext<'_>) -> Result<Vec<Array2<f32>>> {
    let (activation, convention) = (stage.activation, stage.options.convention);
    let plan = plan(activation, convention);
    stage.skip(activation.len_of(Axis(0)) - plan.len());
    let map = |answers: &PassScores, done: usize, goal: &ClassTarget| {
        let weights =
            weights(&plan[..done], stage.scores(answers), goal, convention, activation.dim().0);
        weighted_sum(weights.view(), activation)
    };
    // The first pass changes nothing, so that y and every y_k come from the same arithmetic.
    let answers = stage.tail(
        plan.len() + 1,
        |pass, out| ablate(activation, pass.checked_sub(1).map(|index| &plan[index]), out),
        |done, answers| map(answers, done - 1, &stage.goals[0]),
    )?;
    Ok(stage.goals.iter().map(|goal| map(&answers, plan.len(), goal)).collect())
}

/// A channel that is taken out, and what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ablation {
    /// The channel.
    pub channel: usize,
    /// The value of all its places.
    pub value: f32,
}

/// Which channels of an activation `[C, h, w]` are taken out, and how.
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

/// The weights `[C]` for the answers to an unchanged pass and one for each of `plan`, `[1 + K,
/// classes]`.
#[must_use]
pub fn weights(
    plan: &[Ablation],
    answers: ArrayView2<'_, f32>,
    goal: &ClassTarget,
    convention: Convention,
    channels: usize,
) -> Array1<f32> {
    let mut weights = Array1::zeros(channels);
    let scores = goal.scores(answers);
    let whole = scores[0];
    let scale = match convention {
        Convention::PytorchGradCam => whole,
        _ => whole.abs(),
    };
    for (ablation, score) in plan.iter().zip(scores.iter().skip(1)) {
        let lost = whole - score;
        weights[ablation.channel] = if scale == 0.0 { lost } else { lost / scale };
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn what_the_score_loses_is_the_weight() {
        let activation = array![[[1.0, 0.0]], [[0.0, 0.0]], [[2.0, 3.0]]];
        let plan = plan(activation.view(), Convention::Paper);
        assert_eq!(plan.iter().map(|ablation| ablation.channel).collect::<Vec<_>>(), [0, 2]);
        let answers = array![[4.0, -2.0], [3.0, -2.0], [6.0, -3.0]];
        let of = |class, convention| {
            weights(&plan, answers.view(), &ClassTarget::of(class), convention, 3)
        };
        assert_eq!(of(0, Convention::Paper), array![0.25, 0.0, -0.5]);
        assert_eq!(of(1, Convention::Paper), array![0.0, 0.0, 0.5]);
        assert_eq!(of(1, Convention::PytorchGradCam), array![0.0, 0.0, -0.5]);
    }

    #[test]
    fn the_library_fills_channels_with_ever_lower_numbers() {
        let activation = ndarray::Array3::from_elem((34, 1, 1), -1.0);
        let values: Vec<f32> = plan(activation.view(), Convention::PytorchGradCam)
            .iter()
            .map(|ablation| ablation.value)
            .collect();
        assert_eq!(values[..2], [-1e7 - 1.0, -2e7]);
        assert_eq!(values[32..], values[..2]);
    }
}
