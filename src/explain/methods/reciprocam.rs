//! Recipro-CAM (Byun and Lee, arXiv 2209.14074).
//!
//! Neither gradient nor weights: the map's value at a position is the score that the part of the
//! model after the layer gives when all features but those at that position are 0 (equations 2 to
//! 4). The map is min–max normalised without a ReLU.
//!
//! - `Paper`, as in its authors' code: the features are spread over the 3×3 positions around their
//!   own by a Gaussian: 1/4 in the centre, 1/8 at its direct neighbours, 1/16 at the corners. What
//!   falls outside the map is lost. The score is the class's probability.
//! - `OpenvinoXai`, as in the package openvino-xai 1.1: the position alone. The score is the logit.

use ndarray::{Array2, ArrayView3, ArrayViewMut3, Axis, s};

use crate::engine::PassScores;
use crate::error::Result;
use crate::explain::context::MethodContext;
use crate::explain::method::Method;
use crate::explain::parameters::{Convention, Normalization, ScoreKind};
use crate::explain::result::{Passes, TargetMap};
use crate::explain::spec::{MethodSpec, Needs};
use crate::explain::target::ClassTarget;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::ReciproCam,
    name: "reciprocam",
    title: "Recipro-CAM",
    needs: Needs::Tail,
    conventions: &[Convention::Paper, Convention::OpenvinoXai],
    paper_score: ScoreKind::Probability,
    weights_are_scores: true,
    paper_normalization: Normalization::MinMax,
    relu: false,
    passes: |_, [_, height, width], _| height * width,
    maps,
    ..MethodSpec::GRADIENT
};

const GAUSSIAN: [[f32; 3]; 3] =
    [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]];

fn maps(context: &MethodContext<'_>, passes: &mut Passes) -> Result<Vec<TargetMap>> {
    let (activation, convention) = (context.activation, context.parameters.convention);
    let (_, height, width) = activation.dim();
    let map = |scores: &PassScores, done: usize, target: &ClassTarget| -> Array2<f32> {
        let scores = target.scores(context.scores(scores).slice(s![..done, ..]));
        // In a preview, positions to come look like the lowest so far.
        let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        Array2::from_shape_fn((height, width), |(y, x)| {
            scores.get(y * width + x).copied().unwrap_or(lowest)
        })
    };
    let count = height * width;
    let (first, before) = (&context.targets[0], *passes);
    let reporter = context.reporter(first, count);
    let scores = context.tail_passes(
        count,
        |pass, out| isolate(activation, (pass / width, pass % width), convention, out),
        |done, scores| {
            let passes = Passes { tail: before.tail + done, ..before };
            reporter.report(done, passes, || map(scores, done, first));
        },
    )?;
    passes.tail += count;
    Ok(context.targets.iter().map(|target| map(&scores, count, target).into()).collect())
}

/// Writes an activation `[C, h, w]` that keeps only the features at position `(y, x)`.
pub fn isolate(
    activation: ArrayView3<'_, f32>,
    (y, x): (usize, usize),
    convention: Convention,
    mut out: ArrayViewMut3<'_, f32>,
) {
    out.fill(0.0);
    let features = activation.slice(s![.., y, x]);
    if convention == Convention::OpenvinoXai {
        out.slice_mut(s![.., y, x]).assign(&features);
        return;
    }
    for (row, weights) in GAUSSIAN.iter().enumerate() {
        for (column, &weight) in weights.iter().enumerate() {
            let at = (y + row).checked_sub(1).zip((x + column).checked_sub(1));
            let Some((row, column)) = at
                .filter(|&(row, column)| row < out.len_of(Axis(1)) && column < out.len_of(Axis(2)))
            else {
                continue;
            };
            out.slice_mut(s![.., row, column]).zip_mut_with(&features, |out, &a| *out = a * weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn the_paper_spreads_features_over_their_neighbours() {
        let activation = Array3::from_shape_fn((1, 3, 3), |(_, y, x)| (y * 3 + x) as f32 * 16.0);
        let mut out = Array3::zeros((1, 3, 3));
        isolate(activation.view(), (1, 1), Convention::Paper, out.view_mut());
        assert_eq!(out, array![[[4.0, 8.0, 4.0], [8.0, 16.0, 8.0], [4.0, 8.0, 4.0]]]);
        isolate(activation.view(), (0, 2), Convention::Paper, out.view_mut());
        assert_eq!(out, array![[[0.0, 4.0, 8.0], [0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]]);
        isolate(activation.view(), (0, 2), Convention::OpenvinoXai, out.view_mut());
        assert_eq!(out, array![[[0.0, 0.0, 32.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]);
    }
}
