//! Group-CAM (Zhang, Rao and Yang, arXiv 2103.13859).
//!
//! Masked passes, but few: the channels, each times its Grad-CAM weight `mean_xy g`, are summed in
//! 32 groups, and each sum is one mask. What is below 0 is cut off, then all but the highest 30 %
//! of places, then the rest is enlarged and brought to 0..1. Where a mask is 0, a blurred image
//! shows, and a group weighs what the class's probability gains over that of the blurred image
//! alone: `w_G = p(x ∘ M_G + blur(x) ∘ (1 − M_G)) − p(blur(x))`, and the map is `ReLU(Σ_G w_G
//! M_G)`.
//!
//! `Paper`, as the authors' code has it: the gradient is the logit's; groups are equal runs of
//! neighbouring channels, the last one shorter; the blur is a Gaussian of deviation 50 over 51 × 51
//! pixels. The authors cut the map at 0 after it is enlarged, camlens before: its maps have the
//! layer's size, and so places around which the map changes its sign can differ.

use ndarray::{Array2, Array4, ArrayView1, ArrayView3, ArrayViewMut2, Axis, s};

use super::goal::ClassTarget;
use super::methods::MethodSpec;
use super::options::{Convention, Method, Normalize};
use super::scorecam::extremes;
use super::stage::MethodContext;
use super::{gradcam, weighted_sum};
use crate::engine::PassScores;
use crate::error::Result;
use crate::model::manifest::Layout;
use crate::picture::blur::gaussian;
use crate::picture::resize::Upsampler;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::GroupCam,
    name: "groupcam",
    title: "Group-CAM",
    conventions: &[Convention::Paper],
    paper_normalize: Normalize::MinMax,
    maps: |stage| {
        let goals = stage.goals.iter().zip(&stage.gradients).enumerate();
        goals
            .map(|(index, (goal, gradient))| {
                stage.turn_to(index);
                map(stage, goal, gradient.view())
            })
            .collect()
    },
    ..MethodSpec::GRADIENT
};

const GROUPS: usize = 32;
/// The part of a group's places that its mask leaves out.
const LEFT_OUT: f64 = 0.7;
/// The blur's deviation and how far it reaches, in pixels of the model's input.
const BLUR: (f64, usize) = (50.0, 25);

fn map(
    stage: &MethodContext<'_>,
    goal: &ClassTarget,
    gradient: ArrayView3<'_, f32>,
) -> Result<Array2<f32>> {
    let (_, height, width) = stage.activation.dim();
    let upsampler = Upsampler::half_pixel((height, width), stage.input_size());
    let groups = groups(gradient, stage.activation);
    let count = groups.len();
    let masks: Vec<Mask> = groups
        .into_iter()
        .filter_map(|group| Mask::new(group, &upsampler, stage.input_size()))
        .collect();
    stage.skip(count - masks.len());
    let map = |done: usize, answers: &PassScores| {
        let scores = goal.scores(answers.probabilities.slice(s![..done, ..]));
        sum(&masks, scores.view(), (height, width))
    };
    // The masks hang on the class, so its name is part of theirs.
    let set = format!("{goal:?} {:?}", stage.score);
    let backdrop = blurred(stage.input(), stage.input_layout());
    // The first pass shows the blurred image alone.
    let answers = stage.masked_before(
        &backdrop,
        &set,
        masks.len() + 1,
        |pass, mut out| match pass.checked_sub(1) {
            Some(group) => masks[group].write(&upsampler, out),
            None => out.fill(0.0),
        },
        map,
    )?;
    Ok(map(masks.len() + 1, &answers))
}

/// The groups' sums `[h, w]` of weighted channels, as far as they are above 0 and among the
/// highest.
#[must_use]
pub fn groups(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Vec<Array2<f32>> {
    let weights = gradcam::weights(gradient);
    let size = weights.len().div_ceil(GROUPS).max(1);
    let channels = activation.axis_chunks_iter(Axis(0), size);
    let sum = |(weights, channels): (ArrayView1<'_, f32>, ArrayView3<'_, f32>)| {
        let group = weighted_sum(weights, channels).mapv_into(|value| value.max(0.0));
        let threshold = percentile(&group, LEFT_OUT);
        group.mapv_into(|value| if value > threshold { value } else { 0.0 })
    };
    weights.axis_chunks_iter(Axis(0), size).zip(channels).map(sum).collect()
}

/// The number below which a part of a map lies, between two of its values in proportion.
fn percentile(map: &Array2<f32>, part: f64) -> f32 {
    let mut values: Vec<f32> = map.iter().copied().collect();
    values.sort_by(f32::total_cmp);
    let at = part * (values.len().max(1) - 1) as f64;
    let value = |index: usize| {
        values.get(index.min(values.len().max(1) - 1)).copied().map_or(0.0, f64::from)
    };
    let (low, high) = (value(at.floor() as usize), value(at.ceil() as usize));
    (low + (high - low) * at.fract()) as f32
}

/// One group's mask: its map at the layer's size, and what brings it to 0..1 when it is enlarged.
struct Mask {
    group: Array2<f32>,
    low: f32,
    range: f32,
}

impl Mask {
    /// None for a group that is flat, which shows or hides everything alike.
    fn new(group: Array2<f32>, upsampler: &Upsampler, size: (usize, usize)) -> Option<Self> {
        let mut wide = Array2::zeros(size);
        upsampler.apply(group.view(), wide.view_mut());
        let (low, high) = extremes(wide.view());
        (high > low).then(|| Self { group, low, range: high - low })
    }

    fn write(&self, upsampler: &Upsampler, mut out: ArrayViewMut2<'_, f32>) {
        upsampler.apply(self.group.view(), out.view_mut());
        out.mapv_inplace(|value| (value - self.low) / self.range);
    }
}

/// `Σ_G (p_G − p_0) M_G`, `[h, w]`, over the masks that have a score; the first of the scores, `[1
/// + G]`, is `p_0`.
fn sum(masks: &[Mask], scores: ArrayView1<'_, f32>, size: (usize, usize)) -> Array2<f32> {
    let mut sum = Array2::<f64>::zeros(size);
    for (mask, score) in masks.iter().zip(scores.iter().skip(1)) {
        let gain = f64::from(*score) - f64::from(scores[0]);
        sum.zip_mut_with(&mask.group, |sum, &value| {
            *sum += gain * (f64::from(value) - f64::from(mask.low)) / f64::from(mask.range);
        });
    }
    sum.mapv(|value| value as f32)
}

/// The input with every channel blurred.
fn blurred(input: &Array4<f32>, layout: Layout) -> Array4<f32> {
    let axis = match layout {
        Layout::Nchw => Axis(0),
        Layout::Nhwc => Axis(2),
    };
    let mut blurred: Array4<f32> = Array4::zeros(input.raw_dim());
    let (sigma, radius) = BLUR;
    for (image, mut out) in input.outer_iter().zip(blurred.outer_iter_mut()) {
        for (channel, mut out) in image.axis_iter(axis).zip(out.axis_iter_mut(axis)) {
            out.assign(&gaussian(channel, radius, sigma));
        }
    }
    blurred
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn a_group_keeps_its_highest_places() {
        // 40 channels make 20 groups of two.
        let gradient =
            Array3::from_shape_fn(
                (40, 1, 11),
                |(channel, ..)| if channel % 2 == 0 { 1.0 } else { -1.0 },
            );
        let activation = Array3::from_shape_fn((40, 1, 11), |(channel, _, x)| match channel {
            0 => x as f32,
            1 => 1.0,
            _ => 0.0,
        });
        let groups = groups(gradient.view(), activation.view());
        assert_eq!(groups.len(), 20);
        // 0 0 1 2 .. 9: seven tenths lie at or below 6.
        assert_eq!(groups[0], array![[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0, 9.0]]);
        assert!(groups[1..].iter().all(|group| group.iter().all(|&value| value == 0.0)));
    }

    #[test]
    fn percentiles_lie_between_values() {
        assert_eq!(percentile(&array![[4.0, 1.0, 2.0]], 0.7), 2.8);
        assert_eq!(percentile(&array![[4.0]], 0.7), 4.0);
    }

    #[test]
    fn a_group_weighs_what_the_class_gains() {
        let mask = |group| Mask { group, low: 1.0, range: 2.0 };
        let masks = [mask(array![[1.0, 3.0]]), mask(array![[2.0, 1.0]])];
        let scores = array![0.25, 0.75, 0.125];
        assert_eq!(sum(&masks, scores.view(), (1, 2)), array![[-0.0625, 0.5]]);
        // The second pass is still to come.
        assert_eq!(sum(&masks, scores.slice(s![..2]), (1, 2)), array![[0.0, 0.5]]);
    }
}
