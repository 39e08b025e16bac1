//! The warnings of a map: those of its model, and what holds for this image, class and method.

use ndarray::ArrayView3;

use crate::app::explain_options::ExplainOptions;
use crate::app::validate::method::score;
use crate::engine::{Model, PassOutput};
use crate::explain::parameters::Normalization;
use crate::explain::result::Explanation;
use crate::explain::{MethodSpec, ScoreKind};
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;
use crate::warning::{Warning, WarningCode};

/// How near a probability may come to 1 before its map is called ill-conditioned. The gradient of a
/// probability p is proportional to 1 − p. In 32 bits p is rounded by up to 6e-8 near 1, which is
/// 6 % of 1e-6, and logits of 20 are rounded by 1e-6, which changes 1 − p as much.
const SATURATED: f64 = 1e-6;

/// What a reader of a map must know to judge it.
pub(super) fn of_map(
    model: &Model,
    spec: &MethodSpec,
    options: &ExplainOptions,
    layer: &Layer,
    output: &PassOutput,
    class: usize,
) -> Vec<Warning> {
    let found = [
        probability_explained(model, spec, options),
        saturated(model, spec, options, output, class),
        straight_through(spec, layer),
        positions_untraced(layer),
    ];
    model.warnings().iter().cloned().chain(found.into_iter().flatten()).collect()
}

/// The convention explains the logit, but the model shows none.
fn probability_explained(
    model: &Model,
    spec: &MethodSpec,
    options: &ExplainOptions,
) -> Option<Warning> {
    let is_replaced = model.output_activation() == OutputActivation::Unknown
        && spec.class_discriminative
        && options.score.is_none()
        && spec.score(options.convention) == ScoreKind::Logit;
    is_replaced.then(|| {
        let detail = format!(
            "model '{}' outputs probabilities, and the logits behind them were not found in its \
             graph, so the probability itself is explained",
            model.id()
        );
        Warning::new(WarningCode::ProbabilityExplained, detail)
    })
}

/// The map is that of the gradient of a probability that is nearly 1.
fn saturated(
    model: &Model,
    spec: &MethodSpec,
    options: &ExplainOptions,
    output: &PassOutput,
    class: usize,
) -> Option<Warning> {
    let is_concerned = spec.needs.gradient()
        && spec.class_discriminative
        && score(model, spec, options) == ScoreKind::Probability;
    if !is_concerned || complement(model, output, class) >= SATURATED {
        return None;
    }
    let cure = match model.output_activation() {
        OutputActivation::Unknown => {
            "the model shows no logits, so score=logit is not possible; method=scorecam needs no \
             gradient"
        }
        _ => "score=logit explains the class without this",
    };
    let detail = format!(
        "the probability of class {class} is within {SATURATED:e} of 1, where its gradient nearly \
         vanishes and rounding decides the map; {cure}"
    );
    Some(Warning::new(WarningCode::SaturatedScore, detail))
}

/// 1 − p for a class of the first image, from the logits where they tell it without a subtraction.
fn complement(model: &Model, output: &PassOutput, class: usize) -> f64 {
    let scores = output.scores.row(0);
    let head = &model.analysed().head;
    match head.output_activation {
        OutputActivation::Softmax if head.scores.is_none() => {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponential = |score: &f32| (f64::from(*score) - f64::from(largest)).exp();
            let total: f64 = scores.iter().map(exponential).sum();
            let others = scores.iter().enumerate().filter(|(index, _)| *index != class);
            others.map(|(_, score)| exponential(score)).sum::<f64>() / total
        }
        OutputActivation::Sigmoid => (1.0 + f64::from(scores[class]).exp()).recip(),
        _ => 1.0 - f64::from(output.probabilities[[0, class]]),
    }
}

fn straight_through(spec: &MethodSpec, layer: &Layer) -> Option<Warning> {
    (spec.needs.gradient() && layer.is_straight_through).then(|| {
        let detail = "the model rounds to integers, which has no gradient; the map uses the \
                      straight-through estimate";
        Warning::new(WarningCode::StraightThrough, detail)
    })
}

/// The layer's positions may not be the image's.
fn positions_untraced(layer: &Layer) -> Option<Warning> {
    let mover = layer.moved_by.as_ref()?;
    let detail = format!(
        "rows and columns of layer '{}' can't be traced to the image's, because node {mover} may \
         move them; the map is laid over the image as if it did not",
        layer.name
    );
    Some(Warning::new(WarningCode::PositionsUntraced, detail))
}

/// The map is all zeros: why, and what would show something.
pub(super) fn empty_map(
    explanation: &Explanation,
    spec: &MethodSpec,
    activation: ArrayView3<'_, f32>,
    gradient: Option<ArrayView3<'_, f32>>,
    is_rounding: bool,
) -> Option<Warning> {
    if !explanation.empty {
        return None;
    }
    let Explanation { layer, target, normalizer, .. } = explanation;
    let is_zero = |array: ArrayView3<'_, f32>| array.iter().all(|&value| value == 0.0);
    let takes_sign = spec.supports_signed && normalizer.normalization != Normalization::MinMax;
    let (why, cure) = if is_zero(activation) {
        ("its activation is 0 everywhere", "try another layer")
    } else if gradient.is_some_and(is_zero) {
        ("its gradient is 0 everywhere", "try another layer, or method=scorecam")
    } else if is_rounding {
        (
            "the terms of every value cancel, and only rounding is left",
            "try another layer, or method=layercam",
        )
    } else if explanation.signed {
        ("every value of the map is 0", "try another layer or method")
    } else if !normalizer.relu && normalizer.normalization == Normalization::MinMax {
        ("all values of the map are equal", "try another layer or method")
    } else if takes_sign {
        (
            "no value of the map is above 0",
            match explanation.negate {
                true => "signed=true shows what speaks for the class, or try another layer",
                false => "signed=true shows what speaks against the class, or try another layer",
            },
        )
    } else {
        ("no value of the map is above 0", "try another layer or method")
    };
    let subject = match spec.class_discriminative {
        true if explanation.negate => format!("speaks against class {}", target.index),
        true => format!("speaks for class {}", target.index),
        false => "stands out".to_owned(),
    };
    let detail = format!("nothing in layer '{layer}' {subject}: {why}; {cure}");
    Some(Warning::new(WarningCode::EmptyMap, detail))
}
