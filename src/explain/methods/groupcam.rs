//! Group-CAM (Zhang, Rao and Yang, arXiv 2103.13859).
//!
//! Masked passes, but only a few: the channels, each times its Grad-CAM weight `mean_xy g`, are
//! summed in 32 groups, and each sum becomes one mask. A mask is made by a ReLU, by setting all
//! but the highest 30 % of its positions to 0, and by upsampling it and scaling it to 0..1. Where
//! a mask is 0, a blurred image shows. A group's weight is the class's gain of probability over
//! the blurred image alone, `w_G = p(x ∘ M_G + blur(x) ∘ (1 − M_G)) − p(blur(x))`, and the map is
//! `ReLU(Σ_G w_G M_G)`.
//!
//! `Paper`, as in the authors' code: the gradient is the logit's; groups are equal runs of
//! neighbouring channels, the last one shorter; the blur is a Gaussian of standard deviation 50
//! over 51 × 51 pixels. The authors apply the ReLU after upsampling the map, camlens before,
//! because its maps have the layer's size. Positions around which the map changes its sign can
//! therefore differ.

use ndarray::{Array2, Array4, ArrayView1, ArrayView3, ArrayViewMut2, Axis, s};

use super::gradcam;
use crate::engine::PassScores;
use crate::error::Result;
use crate::explain::context::MethodContext;
use crate::explain::mask_set::MaskSet;
use crate::explain::math::channels::{min_max, weighted_sum};
use crate::explain::method::Method;
use crate::explain::parameters::{Convention, Normalization};
use crate::explain::result::{Passes, TargetMap};
use crate::explain::spec::MethodSpec;
use crate::explain::target::ClassTarget;
use crate::model::manifest::Layout;
use crate::picture::blur::gaussian;
use crate::picture::resize::Upsampler;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::GroupCam,
    name: "groupcam",
    title: "Group-CAM",
    conventions: &[Convention::Paper],
    paper_normalization: Normalization::MinMax,
    passes: |_, _, targets| targets * (GROUPS + 1),
    maps,
    ..MethodSpec::GRADIENT
};

const GROUPS: usize = 32;
/// The fraction of a group's positions that its mask sets to 0.
const DROPPED: f64 = 0.7;
/// The blur's standard deviation and radius, in pixels of the model's input.
const BLUR: (f64, usize) = (50.0, 25);

/// The masks depend on the class, so each target has passes of its own.
fn maps(context: &MethodContext<'_>, passes: &mut Passes) -> Result<Vec<TargetMap>> {
    let targets = context.targets.iter().zip(&context.gradients);
    targets
        .map(|(target, gradient)| map(context, target, gradient.view(), passes).map(Into::into))
        .collect()
}

fn map(
    context: &MethodContext<'_>,
    target: &ClassTarget,
    gradient: ArrayView3<'_, f32>,
    passes: &mut Passes,
) -> Result<Array2<f32>> {
    let (_, height, width) = context.activation.dim();
    let upsampler = Upsampler::half_pixel((height, width), context.input_size());
    let groups = groups(gradient, context.activation);
    let groups_count = groups.len();
    let masks: Vec<Mask> = groups
        .into_iter()
        .filter_map(|group| Mask::new(group, &upsampler, context.input_size()))
        .collect();
    passes.skipped += groups_count - masks.len();
    let map = |done: usize, scores: &PassScores| {
        let scores = target.scores(scores.probabilities.slice(s![..done, ..]));
        sum(&masks, scores.view(), (height, width))
    };
    let backdrop = blurred(context.input, context.input_layout());
    // The first pass shows the blurred image alone.
    let count = masks.len() + 1;
    let (reporter, before) = (context.reporter(target, count), *passes);
    let scores = context
        .masked_passes(MaskSet::GroupCam { target: *target, score: context.score })
        .backdrop(&backdrop)
        .masks(count, |pass, mut out| match pass.checked_sub(1) {
            Some(group) => masks[group].write(&upsampler, out),
            None => out.fill(0.0),
        })
        .progress(|done, scores| {
            let passes = Passes { masked: before.masked + done, ..before };
            reporter.report(done, passes, || map(done, scores));
        })
        .run()?;
    passes.add_masked(&scores);
    Ok(map(count, &scores))
}

/// The groups' sums `[h, w]` of weighted channels, after the ReLU and with all but the highest
/// positions set to 0.
#[must_use]
pub fn groups(gradient: ArrayView3<'_, f32>, activation: ArrayView3<'_, f32>) -> Vec<Array2<f32>> {
    let weights = gradcam::weights(gradient);
    let size = weights.len().div_ceil(GROUPS).max(1);
    let channels = activation.axis_chunks_iter(Axis(0), size);
    let sum = |(weights, channels): (ArrayView1<'_, f32>, ArrayView3<'_, f32>)| {
        let group = weighted_sum(weights, channels).mapv_into(|value| value.max(0.0));
        let threshold = quantile(&group, DROPPED);
        group.mapv_into(|value| if value > threshold { value } else { 0.0 })
    };
    weights.axis_chunks_iter(Axis(0), size).zip(channels).map(sum).collect()
}

/// A map's quantile at `fraction`, interpolated linearly between two values.
fn quantile(map: &Array2<f32>, fraction: f64) -> f32 {
    let mut values: Vec<f32> = map.iter().copied().collect();
    values.sort_by(f32::total_cmp);
    let at = fraction * (values.len().max(1) - 1) as f64;
    let value = |index: usize| {
        values.get(index.min(values.len().max(1) - 1)).copied().map_or(0.0, f64::from)
    };
    let (low, high) = (value(at.floor() as usize), value(at.ceil() as usize));
    (low + (high - low) * at.fract()) as f32
}

/// One group's mask: its map at the layer's size, and the offset and range that bring the
/// upsampled map to 0..1.
struct Mask {
    group: Array2<f32>,
    low: f32,
    range: f32,
}

impl Mask {
    /// `None` for a constant group, which shows or hides all positions alike.
    fn new(group: Array2<f32>, upsampler: &Upsampler, size: (usize, usize)) -> Option<Self> {
        let mut upsampled = Array2::zeros(size);
        upsampler.apply(group.view(), upsampled.view_mut());
        let (low, high) = min_max(upsampled.view());
        (high > low).then(|| Self { group, low, range: high - low })
    }

    fn write(&self, upsampler: &Upsampler, mut out: ArrayViewMut2<'_, f32>) {
        upsampler.apply(self.group.view(), out.view_mut());
        out.mapv_inplace(|value| (value - self.low) / self.range);
    }
}

/// `Σ_G (p_G − p_0) M_G`, `[h, w]`, over the masks that have a score. The first of the scores,
/// `[1 + G]`, is `p_0`.
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

/// The input `[1, C, H, W]` or `[1, H, W, C]` with every channel blurred.
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
    fn a_group_keeps_its_highest_positions() {
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
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&array![[4.0, 1.0, 2.0]], 0.7), 2.8);
        assert_eq!(quantile(&array![[4.0]], 0.7), 4.0);
    }

    #[test]
    fn a_group_s_weight_is_the_gain_of_the_score() {
        let mask = |group| Mask { group, low: 1.0, range: 2.0 };
        let masks = [mask(array![[1.0, 3.0]]), mask(array![[2.0, 1.0]])];
        let scores = array![0.25, 0.75, 0.125];
        assert_eq!(sum(&masks, scores.view(), (1, 2)), array![[-0.0625, 0.5]]);
        // Without the second group's score.
        assert_eq!(sum(&masks, scores.slice(s![..2]), (1, 2)), array![[0.0, 0.5]]);
    }
}
