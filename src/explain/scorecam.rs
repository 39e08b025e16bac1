//! Score-CAM (Wang et al., arXiv 1910.01279).
//!
//! No gradient: a channel's weight is what the model says of the image seen
//! through that channel. [`plan`] decides from the activation which masks are
//! worth a pass, [`Mask`] makes them, [`weights`] turns the model's answers into one
//! weight a channel. What the three sources do differently stands side by side in
//! each of them.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, Axis};

use super::goal::ClassTarget;
use super::methods::{MethodSpec, Needs};
use super::options::{Convention, Method, ScoreKind};
use super::stage::MethodContext;
use super::{scorecam_estimate, total, weighted_sum};
use crate::engine::PassScores;
use crate::error::Result;
use crate::picture::resize::Upsampler;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::ScoreCam,
    name: "scorecam",
    title: "Score-CAM",
    supports_signed: true,
    needs: Needs::Masked,
    conventions: &[Convention::Paper, Convention::Article, Convention::PytorchGradCam],
    paper_score: ScoreKind::Probability,
    weighs_by_score: true,
    options: &["max_channels", "budget", "tolerance"],
    maps,
    ..MethodSpec::GRADIENT
};

/// One set of masked passes serves all goals: the model's answers tell every class.
fn maps(stage: &MethodContext<'_>) -> Result<Vec<Array2<f32>>> {
    let (activation, options) = (stage.activation, stage.options);
    let plan = plan(activation, options.convention, options.max_channels);
    let mask = Mask::new(activation, stage.input_size(), options.convention);
    stage.skip(plan.skipped());
    if scorecam_estimate::is_asked(options, plan.passes.len()) {
        return scorecam_estimate::maps(stage, &plan, &mask);
    }
    let map = |plan: &Plan, answers: &PassScores, goal: &ClassTarget| {
        let weights = weights(plan, stage.scores(answers), goal, options.convention);
        weighted_sum(weights.view(), activation)
    };
    let set = format!("{:?} {:?}", options.convention, options.max_channels);
    let answers = stage.masked(
        &set,
        plan.passes.len(),
        |pass, out| mask.write(plan.passes[pass], out),
        |done, answers| map(&plan.first(done), answers, &stage.goals[0]),
    )?;
    Ok(stage.goals.iter().map(|goal| map(&plan, &answers, goal)).collect())
}

/// Which masked passes are run, and for which channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The channel whose mask each pass shows; `None` is the mask of zeros.
    pub passes: Vec<Option<usize>>,
    /// For each channel the pass that answers for it; `None` where no answer can change the map.
    pub answered_by: Vec<Option<usize>>,
}

impl Plan {
    /// Channels that need no pass of their own.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.answered_by.len() - self.passes.len()
    }

    /// The plan as if it ended after the first `count` passes.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let passes = self.passes.iter().copied().take(count).collect();
        let is_first = |pass: &usize| *pass < count;
        Self {
            passes,
            answered_by: self.answered_by.iter().map(|pass| pass.filter(is_first)).collect(),
        }
    }
}

/// Plans the passes for an activation `[C, h, w]`.
///
/// A channel that is 0 everywhere adds `w_k · 0` to the map whatever its weight. `Paper` skips
/// every flat channel, as its authors' code does; `Article` uses flat channels but those of zeros;
/// `PytorchGradCam` takes a softmax over the channels' scores, so that all weights hang together,
/// but all channels of zeros have one and the same masked image: one pass answers for them all.
///
/// Channels whose masks are the same share a pass, too. A mask is brought to 0..1, so it does not
/// tell a channel from its multiple: channels that are active at one and the same place, and there
/// are always some, have the same mask.
///
/// `max_channels` keeps the channels whose activation has the largest standard deviation (the
/// article's `max_N`); of equal ones, the earlier.
#[must_use]
pub fn plan(
    activation: ArrayView3<'_, f32>,
    convention: Convention,
    max_channels: Option<usize>,
) -> Plan {
    let channels = activation.len_of(Axis(0));
    let kept = strongest(activation, max_channels.unwrap_or(channels));
    let mut plan = Plan { passes: Vec::new(), answered_by: vec![None; channels] };
    let mut seen = HashMap::new();
    for (index, channel) in
        activation.axis_iter(Axis(0)).enumerate().filter(|(index, _)| kept[*index])
    {
        let (low, high) = extremes(channel);
        let is_zero = low == 0.0 && high == 0.0;
        let shown = match convention {
            Convention::Paper if low == high => continue,
            Convention::Article if is_zero => continue,
            Convention::PytorchGradCam if is_zero => None,
            _ => Some(index),
        };
        let pass = *seen.entry(identity(channel, convention)).or_insert_with(|| {
            plan.passes.push(shown);
            plan.passes.len() - 1
        });
        plan.answered_by[index] = Some(pass);
    }
    plan
}

/// What the mask of a channel depends on: equal for channels whose masks differ by rounding at
/// most.
///
/// `Paper` takes the minimum off and divides by the range, and enlarging changes neither the one
/// nor the other, so that is what is left of a channel; `Article` only divides. `PytorchGradCam`
/// adds 10⁻⁸ to the range: there a multiple is not the same.
fn identity(channel: ArrayView2<'_, f32>, convention: Convention) -> Vec<u32> {
    let (low, high) = extremes(channel);
    let range = f64::from(high) - f64::from(low);
    let (shift, scale) = match convention {
        Convention::Paper if range > 0.0 => (f64::from(low), range),
        Convention::Article if range > 0.0 => (0.0, range),
        _ => (0.0, 1.0),
    };
    // The sum turns −0 into 0.
    channel
        .iter()
        .map(|&value| (((f64::from(value) - shift) / scale) as f32 + 0.0).to_bits())
        .collect()
}

/// Marks the `count` channels with the largest standard deviation.
fn strongest(activation: ArrayView3<'_, f32>, count: usize) -> Vec<bool> {
    let channels = activation.len_of(Axis(0));
    if count >= channels {
        return vec![true; channels];
    }
    let deviation = |channel: ArrayView2<'_, f32>| {
        let mean = total(channel) / channel.len() as f64;
        channel.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>()
    };
    let deviations: Vec<f64> = activation.axis_iter(Axis(0)).map(deviation).collect();
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by(|&a, &b| deviations[b].total_cmp(&deviations[a]));
    let mut kept = vec![false; channels];
    order[..count].iter().for_each(|&index| kept[index] = true);
    kept
}

pub(super) fn extremes(map: ArrayView2<'_, f32>) -> (f32, f32) {
    map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
        (low.min(value), high.max(value))
    })
}

/// Makes the masks of one activation.
pub struct Mask<'a> {
    activation: ArrayView3<'a, f32>,
    upsampler: Upsampler,
    convention: Convention,
}

impl<'a> Mask<'a> {
    /// Masks of `size` (height, width) for an activation `[C, h, w]`.
    #[must_use]
    pub fn new(
        activation: ArrayView3<'a, f32>,
        size: (usize, usize),
        convention: Convention,
    ) -> Self {
        let (_, height, width) = activation.dim();
        let upsampler = match convention {
            Convention::PytorchGradCam => Upsampler::align_corners((height, width), size),
            _ => Upsampler::half_pixel((height, width), size),
        };
        Self { activation, upsampler, convention }
    }

    /// Writes the mask of one channel, or that of zeros.
    ///
    /// - `Paper`: `(u − min) / (max − min)`.
    /// - `Article`: `u / (max − min)`, the minimum is not subtracted; a flat channel is used as it
    ///   is.
    /// - `PytorchGradCam`: `(u − min) / (max − min + 10⁻⁸)`.
    pub fn write(&self, channel: Option<usize>, mut out: ArrayViewMut2<'_, f32>) {
        let Some(channel) = channel else {
            out.fill(0.0);
            return;
        };
        self.upsampler.apply(self.activation.index_axis(Axis(0), channel), out.view_mut());
        let (low, high) = extremes(out.view());
        let (shift, range) = match self.convention {
            Convention::Article => (0.0, high - low),
            Convention::PytorchGradCam => (low, high - low + 1e-8),
            _ => (low, high - low),
        };
        // What is not flat at layer size can't be flat here, but for rounding.
        let range = if range > 0.0 { range } else { 1.0 };
        out.mapv_inplace(|value| (value - shift) / range);
    }
}

/// Turns the answers to the passes, `[K, classes]`, into weights `[C]`. The answers are
/// probabilities in the first two conventions and logits in the third, unless a request said
/// otherwise.
///
/// - `Paper`: the class's answer for the masked image.
/// - `Article`: a softmax is taken over the model's answers, once more.
/// - `PytorchGradCam`: a softmax over the channels of the class's answer.
///
/// Of a goal with two classes it is the difference of their answers.
#[must_use]
pub fn weights(
    plan: &Plan,
    answers: ArrayView2<'_, f32>,
    goal: &ClassTarget,
    convention: Convention,
) -> Array1<f32> {
    let answers = pass_answers(answers, goal, convention);
    let mut weights: Array1<f32> = plan
        .answered_by
        .iter()
        .map(|pass| pass.map_or(f32::NEG_INFINITY, |pass| answers[pass]))
        .collect();
    if convention == Convention::PytorchGradCam {
        // A channel that was left out weighs e^−∞ = 0.
        weights = softmax(weights.view());
    }
    weights.mapv_into(|weight| if weight == f32::NEG_INFINITY { 0.0 } else { weight })
}

/// What each pass, a row of `[K, classes]`, says of the goal: `[K]`.
pub(super) fn pass_answers(
    answers: ArrayView2<'_, f32>,
    goal: &ClassTarget,
    convention: Convention,
) -> Array1<f32> {
    match convention {
        Convention::Article => {
            answers.outer_iter().map(|row| goal.score(softmax(row).view())).collect()
        }
        _ => goal.scores(answers),
    }
}

fn softmax(values: ArrayView1<'_, f32>) -> Array1<f32> {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = values.mapv(|value| (f64::from(value) - f64::from(largest)).exp());
    let total = exponentials.sum();
    exponentials.mapv(|value| (value / total) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    /// Channels: lively, zero, flat but not zero, weaker, zero.
    fn activation() -> Array3<f32> {
        array![
            [[0.0, 4.0], [2.0, 8.0]],
            [[0.0, 0.0], [0.0, 0.0]],
            [[3.0, 3.0], [3.0, 3.0]],
            [[1.0, 2.0], [1.0, 2.0]],
            [[0.0, 0.0], [0.0, 0.0]]
        ]
    }

    #[test]
    fn channels_that_cannot_count_get_no_pass() {
        let of = |convention| plan(activation().view(), convention, None);
        assert_eq!(of(Convention::Paper).passes, [Some(0), Some(3)]);
        assert_eq!(of(Convention::Article).passes, [Some(0), Some(2), Some(3)]);
        let shared = of(Convention::PytorchGradCam);
        assert_eq!(shared.passes, [Some(0), None, Some(2), Some(3)]);
        assert_eq!(shared.answered_by, [Some(0), Some(1), Some(2), Some(3), Some(1)]);
        assert_eq!(shared.skipped(), 1);
    }

    /// Channels: one place, the same twice as strong, the same with something below it, another
    /// place, the first.
    #[test]
    fn channels_with_the_same_mask_share_a_pass() {
        let activation = array![
            [[0.0, 3.0], [0.0, 0.0]],
            [[0.0, 6.1], [0.0, 0.0]],
            [[1.0, 4.0], [1.0, 1.0]],
            [[0.0, 0.0], [3.0, 0.0]],
            [[-0.0, 3.0], [0.0, 0.0]]
        ];
        let of = |convention| plan(activation.view(), convention, None);
        let paper = of(Convention::Paper);
        assert_eq!(paper.passes, [Some(0), Some(3)]);
        assert_eq!(paper.answered_by, [Some(0), Some(0), Some(0), Some(1), Some(0)]);
        assert_eq!(paper.skipped(), 3);
        assert_eq!(
            of(Convention::Article).answered_by,
            [Some(0), Some(0), Some(1), Some(2), Some(0)]
        );
        assert_eq!(
            of(Convention::PytorchGradCam).answered_by,
            [Some(0), Some(1), Some(2), Some(3), Some(0)]
        );
        for convention in [Convention::Paper, Convention::Article, Convention::PytorchGradCam] {
            let plan = of(convention);
            let mask = |channel: usize| {
                let mut out = Array2::zeros((16, 16));
                Mask::new(activation.view(), (16, 16), convention)
                    .write(Some(channel), out.view_mut());
                out
            };
            for (channel, pass) in plan.answered_by.iter().enumerate() {
                let shown = mask(plan.passes[pass.unwrap()].unwrap());
                assert!(
                    mask(channel).iter().zip(&shown).all(|(a, b)| (a - b).abs() <= f32::EPSILON)
                );
            }
        }
    }

    #[test]
    fn the_liveliest_channels_are_kept() {
        assert_eq!(plan(activation().view(), Convention::Paper, Some(1)).passes, [Some(0)]);
        assert_eq!(
            plan(activation().view(), Convention::Paper, Some(99)).passes,
            [Some(0), Some(3)]
        );
    }

    #[test]
    fn the_first_passes_of_a_plan_answer_for_their_channels_alone() {
        let plan = plan(activation().view(), Convention::PytorchGradCam, None);
        let first = plan.first(2);
        assert_eq!(first.passes, [Some(0), None]);
        assert_eq!(first.answered_by, [Some(0), Some(1), None, None, Some(1)]);
        assert_eq!(plan.first(99), plan);
    }

    #[test]
    fn the_article_keeps_the_minimum_in_its_masks() {
        let activation = array![[[1.0, 3.0]]];
        let at_layer_size = |convention| {
            let mut out = Array2::zeros((1, 2));
            Mask::new(activation.view(), (1, 2), convention).write(Some(0), out.view_mut());
            out
        };
        assert_eq!(at_layer_size(Convention::Paper), array![[0.0, 1.0]]);
        assert_eq!(at_layer_size(Convention::Article), array![[0.5, 1.5]]);
    }

    #[test]
    fn pytorch_grad_cam_takes_a_softmax_over_the_channels() {
        let plan = plan(activation().view(), Convention::PytorchGradCam, None);
        let scores = array![[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 0.0]];
        let weights =
            weights(&plan, scores.view(), &ClassTarget::of(0), Convention::PytorchGradCam);
        assert!((weights.sum() - 1.0).abs() < 1e-6);
        assert_eq!(weights[1], weights[4]);
        assert!((weights[2] / weights[0] - 1.0_f32.exp()).abs() < 1e-5);
    }

    #[test]
    fn the_article_takes_its_softmax_twice() {
        let plan = plan(activation().view(), Convention::Article, None);
        let probabilities = array![[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]];
        let weights =
            weights(&plan, probabilities.view(), &ClassTarget::of(0), Convention::Article);
        let e = 1.0_f32.exp();
        assert!((weights[0] - e / (e + 1.0)).abs() < 1e-6);
        assert!((weights[2] - 0.5).abs() < 1e-6);
        assert_eq!(weights[1], 0.0);
    }
}
