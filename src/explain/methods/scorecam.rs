//! Score-CAM (Wang et al., arXiv 1910.01279).
//!
//! No gradient: a channel's weight is the score of the image seen through that channel, and the map
//! is `ReLU(Σ_k w_k A_k)`. [`plan`] decides from the activation which masks need a pass, [`mask`]
//! makes them, [`weights`] turns the scores into one weight per channel, and [`estimate`] infers
//! the weights from some of the passes. Each of these files states where the conventions differ.

pub mod estimate;
pub mod mask;
pub mod plan;
pub mod weights;

use ndarray::Array2;

use self::mask::MaskGenerator;
use self::plan::Plan;
use self::weights::channel_weights;
use crate::engine::PassScores;
use crate::error::Result;
use crate::explain::context::MethodContext;
use crate::explain::mask_set::MaskSet;
use crate::explain::math::channels::weighted_sum;
use crate::explain::method::Method;
use crate::explain::parameters::{Convention, ScoreKind};
use crate::explain::result::{Passes, TargetMap};
use crate::explain::spec::{MethodSpec, Needs};
use crate::explain::target::ClassTarget;

pub(super) const SPEC: MethodSpec = MethodSpec {
    method: Method::ScoreCam,
    name: "scorecam",
    title: "Score-CAM",
    supports_signed: true,
    needs: Needs::Masked,
    conventions: &[Convention::Paper, Convention::Article, Convention::PytorchGradCam],
    paper_score: ScoreKind::Probability,
    weights_are_scores: true,
    parameters: &["max_channels", "budget", "tolerance"],
    passes: |parameters, [channels, ..], _| {
        let budget = parameters.budget.map(|budget| budget.max(estimate::MIN_PASSES));
        channels.min(parameters.max_channels.unwrap_or(channels)).min(budget.unwrap_or(channels))
    },
    maps,
    ..MethodSpec::GRADIENT
};

/// All targets share the masked passes, because a pass gives the scores of all classes.
fn maps(context: &MethodContext<'_>, passes: &mut Passes) -> Result<Vec<TargetMap>> {
    let (activation, parameters) = (context.activation, &context.parameters);
    let plan = Plan::new(activation, parameters.convention, parameters.max_channels);
    let masks = MaskGenerator::new(activation, context.input_size(), parameters.convention);
    passes.skipped += plan.skipped();
    if estimate::is_requested(parameters, plan.passes.len()) {
        return estimate::maps(context, &plan, &masks, passes);
    }
    let map = |plan: &Plan, scores: &PassScores, target: &ClassTarget| -> Array2<f32> {
        let scores = context.scores(scores);
        let weights = channel_weights(plan, scores, target, parameters.convention);
        weighted_sum(weights.view(), activation)
    };
    let (first, before) = (&context.targets[0], *passes);
    let reporter = context.reporter(first, plan.passes.len());
    let scores = context
        .masked_passes(MaskSet::ScoreCam {
            convention: parameters.convention,
            max_channels: parameters.max_channels,
        })
        .masks(plan.passes.len(), |pass, out| masks.write(plan.passes[pass], out))
        .progress(|done, scores| {
            let passes = Passes { masked: before.masked + done, ..before };
            reporter.report(done, passes, || map(&plan.truncated(done), scores, first));
        })
        .run()?;
    passes.add_masked(&scores);
    Ok(context.targets.iter().map(|target| map(&plan, &scores, target).into()).collect())
}
