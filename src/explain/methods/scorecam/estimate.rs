//! Score-CAM from some of its passes: the weights of the others are estimated.
//!
//! `budget` limits the number of passes. `tolerance` limits how far the map's correlation with the
//! map of all passes may be from 1: after some passes the estimate is checked, and the passes stop
//! once the correlation is good enough with a probability of nine in ten.

use ndarray::{Array1, Array2, Array3, Axis, s};

use super::mask::MaskGenerator;
use super::plan::Plan;
use super::weights::pass_scores;
use crate::engine::PassScores;
use crate::error::Result;
use crate::explain::context::MethodContext;
use crate::explain::mask_set::MaskSet;
use crate::explain::math::channels::weighted_sum;
use crate::explain::math::gaussian_process::{Estimator, Prediction};
use crate::explain::parameters::MethodParameters;
use crate::explain::result::{Passes, TargetMap};
use crate::explain::target::ClassTarget;

/// The smallest number of passes from which their reliability can be estimated.
pub const MIN_PASSES: usize = 8;

/// Whether the parameters ask for an estimate that leaves out some of `passes`.
pub(super) fn is_requested(parameters: &MethodParameters, passes: usize) -> bool {
    let is_short = parameters.budget.is_some_and(|budget| budget.max(MIN_PASSES) < passes);
    is_short || (parameters.tolerance.is_some() && passes > MIN_PASSES)
}

/// The estimated maps, one per target, from as many of the plan's passes as needed.
pub(super) fn maps(
    context: &MethodContext<'_>,
    plan: &Plan,
    masks: &MaskGenerator<'_>,
    passes: &mut Passes,
) -> Result<Vec<TargetMap>> {
    let (activation, parameters) = (context.activation, &context.parameters);
    let channels: Vec<usize> = plan.passes.iter().copied().flatten().collect();
    let shapes = activation.select(Axis(0), &channels);
    // A pass that several channels share weights the sum of them.
    let mut weighted = Array3::<f32>::zeros(shapes.raw_dim());
    for (channel, map) in activation.outer_iter().enumerate() {
        if let Some(pass) = plan.pass_of_channel[channel] {
            weighted.index_axis_mut(Axis(0), pass).scaled_add(1.0, &map);
        }
    }
    let count = parameters.budget.map_or(channels.len(), |budget| budget.max(MIN_PASSES));
    let estimator = Estimator::new(shapes.view(), weighted.view(), count);
    let order = estimator.order();

    let predict = |done: usize, scores: &PassScores, target: &ClassTarget| {
        let rows = context.scores(scores);
        let known = pass_scores(rows.slice(s![..done, ..]), target, parameters.convention);
        estimator.predict(&known.mapv(f64::from).to_vec())
    };
    let map = |prediction: &Prediction| -> Array2<f32> {
        let weight = |pass: &Option<usize>| pass.map_or(0.0, |pass| prediction.scores[pass] as f32);
        let weights: Array1<f32> = plan.pass_of_channel.iter().map(weight).collect();
        weighted_sum(weights.view(), activation)
    };
    let mut next_check = 2 * MIN_PASSES;
    let is_good_enough = |done: usize, scores: &PassScores| {
        let Some(tolerance) = parameters.tolerance.filter(|_| done >= next_check) else {
            return false;
        };
        // A check costs more with every finished pass, so checks become less frequent.
        next_check = done + done / 4;
        let is_within = |target: &ClassTarget| {
            predict(done, scores, target).confidence.at_least >= 1.0 - f64::from(tolerance)
        };
        context.targets.iter().all(is_within)
    };
    let (first, before) = (&context.targets[0], *passes);
    let reporter = context.reporter(first, order.len());
    let scores = context
        .masked_passes(MaskSet::ScoreCamEstimate {
            convention: parameters.convention,
            max_channels: parameters.max_channels,
        })
        .masks(order.len(), |pass, out| masks.write(plan.passes[order[pass]], out))
        .progress(|done, scores| {
            let passes = Passes { masked: before.masked + done, ..before };
            reporter.report(done, passes, || map(&predict(done, scores, first)));
        })
        .stop_when(is_good_enough)
        .run()?;
    passes.add_masked(&scores);
    let done = scores.scores.nrows();
    passes.skipped += channels.len() - done;
    let estimated = context.targets.iter().map(|target| {
        let prediction = predict(done, &scores, target);
        TargetMap { map: map(&prediction), confidence: Some(prediction.confidence) }
    });
    Ok(estimated.collect())
}
