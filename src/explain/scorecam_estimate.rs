//! Score-CAM from some of its passes: the answers to the others are estimated.
//!
//! `budget` says how many passes there may be, `tolerance` how far from 1 the map's
//! correlation with that of all passes may be: after some passes the estimate is looked at,
//! and when it is good enough in nine of ten cases, no more are run.

use std::cell::Cell;

use ndarray::{Array1, Array2, Array3, Axis, s};

use super::estimate::{Estimator, Predicted};
use super::goal::ClassTarget;
use super::options::{Convention, Options};
use super::scorecam::{Mask, Plan, pass_answers};
use super::stage::MethodContext;
use super::weighted_sum;
use crate::engine::PassScores;
use crate::error::{Error, Kind, Result};

/// Fewer answers than this say nothing of how far they can be trusted.
pub const LEAST_PASSES: usize = 8;

/// True when a request asks for an estimate that leaves out some of so many passes.
pub(super) fn is_asked(options: &Options, passes: usize) -> bool {
    let is_short = options.budget.is_some_and(|budget| budget.max(LEAST_PASSES) < passes);
    is_short || (options.tolerance.is_some() && passes > LEAST_PASSES)
}

/// The maps of a stage, by as many of the plan's passes as are asked for.
pub(super) fn maps(
    stage: &MethodContext<'_>,
    plan: &Plan,
    mask: &Mask<'_>,
) -> Result<Vec<Array2<f32>>> {
    let (activation, options) = (stage.activation, stage.options);
    if options.convention == Convention::PytorchGradCam {
        let detail = "pytorch-grad-cam weighs all channels against each other, so that none can be estimated \
                      alone; options 'budget' and 'tolerance' work with the conventions paper and article";
        return Err(Error::new(Kind::Impossible, detail));
    }
    let channels: Vec<usize> = plan.passes.iter().copied().flatten().collect();
    let shapes = activation.select(Axis(0), &channels);
    // A mask that several channels share weighs them all.
    let mut weighed = Array3::<f32>::zeros(shapes.raw_dim());
    for (channel, map) in activation.outer_iter().enumerate() {
        if let Some(pass) = plan.answered_by[channel] {
            weighed.index_axis_mut(Axis(0), pass).scaled_add(1.0, &map);
        }
    }
    let count = options.budget.map_or(channels.len(), |budget| budget.max(LEAST_PASSES));
    let estimator = Estimator::new(shapes.view(), weighed.view(), count);
    let order = estimator.order();

    let predict = |done: usize, answers: &PassScores, goal: &ClassTarget| {
        let rows = stage.scores(answers);
        let known = pass_answers(rows.slice(s![..done, ..]), goal, options.convention);
        estimator.predict(&known.mapv(f64::from).to_vec())
    };
    let map = |predicted: &Predicted| {
        let weight = |pass: &Option<usize>| pass.map_or(0.0, |pass| predicted.answers[pass] as f32);
        let weights: Array1<f32> = plan.answered_by.iter().map(weight).collect();
        weighted_sum(weights.view(), activation)
    };
    let next_look = Cell::new(2 * LEAST_PASSES);
    let is_enough = |done: usize, answers: &PassScores| {
        let Some(tolerance) = options.tolerance.filter(|_| done >= next_look.get()) else {
            return false;
        };
        // Looking costs more with every pass that is known, so it is done the less often.
        next_look.set(done + done / 4);
        let is_good = |goal: &ClassTarget| {
            predict(done, answers, goal).confidence.at_least >= 1.0 - f64::from(tolerance)
        };
        stage.goals.iter().all(is_good)
    };
    let set = format!("estimate {:?} {:?}", options.convention, options.max_channels);
    let answers = stage.masked_until(
        &set,
        order.len(),
        |pass, out| mask.write(plan.passes[order[pass]], out),
        |done, answers| map(&predict(done, answers, &stage.goals[0])),
        is_enough,
    )?;
    let done = answers.scores.nrows();
    stage.skip(channels.len() - done);
    let finished = stage.goals.iter().map(|goal| {
        let predicted = predict(done, &answers, goal);
        stage.trust(predicted.confidence);
        map(&predicted)
    });
    Ok(finished.collect())
}
