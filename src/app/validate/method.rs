//! Checks that a method can explain layers of a model with these options.

use super::combinations;
use crate::app::explain_options::ExplainOptions;
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::explain::Convention;
use crate::explain::METHODS;
use crate::explain::MethodSpec;
use crate::explain::Normalization;
use crate::explain::ScoreKind;
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;
use crate::graph::program_io::GradientOf;

/// The score that a method explains: the one of the options, else the convention's, as far as the
/// model has it. A quantity counts as a logit: it is what the model computes, without an activation.
#[must_use]
pub fn score(model: &Model, spec: &MethodSpec, options: &ExplainOptions) -> ScoreKind {
    options.score.unwrap_or_else(|| match model.output_activation() {
        OutputActivation::Unknown => ScoreKind::Probability,
        OutputActivation::Identity => ScoreKind::Logit,
        OutputActivation::Softmax | OutputActivation::Sigmoid | OutputActivation::Other => {
            spec.score(options.convention)
        }
    })
}

/// Checks that the method can explain these layers, and returns the gradient that it needs.
///
/// # Errors
/// [`Kind::Impossible`] or [`Kind::Option`] that says what prevents it and what works instead.
pub fn check(
    model: &Model,
    layers: &[&Layer],
    spec: &MethodSpec,
    options: &ExplainOptions,
) -> Result<GradientOf> {
    let score = score(model, spec, options);
    let is_hidden = model.output_activation() == OutputActivation::Unknown;
    if spec.class_discriminative && score == ScoreKind::Logit && is_hidden {
        return impossible(
            "score",
            format!(
                "model '{}' outputs probabilities and does not expose their logits; \
                 score=probability works",
                model.id()
            ),
        );
    }
    if model.output_activation() == OutputActivation::Identity {
        quantity(model, spec, options, score)?;
    }
    class_target(spec, options, score)?;
    if options.signed {
        signed(spec, options, score)?;
    }
    combinations::estimate(spec, options)?;
    for layer in layers {
        supported(model, layer, spec)?;
    }
    Ok(if spec.needs.gradient() { score.gradient_of() } else { GradientOf::None })
}

/// Checks that the method can explain a quantity, which has no probability.
fn quantity(
    model: &Model,
    spec: &MethodSpec,
    options: &ExplainOptions,
    score: ScoreKind,
) -> Result<()> {
    if !spec.class_discriminative {
        return Ok(());
    }
    if score == ScoreKind::Probability {
        let why = format!(
            "model '{}' outputs quantities, which have no probability; score=logit explains the \
             quantity itself",
            model.id()
        );
        return impossible("score", why);
    }
    if spec.weights_are_scores && options.convention == Convention::Article {
        let why = format!(
            "{} by the article weights passes by a softmax over the classes, and model '{}' \
             outputs quantities; convention=paper works",
            spec.title,
            model.id()
        );
        return impossible("convention", why);
    }
    Ok(())
}

/// Checks that a layer has what the method needs.
fn supported(model: &Model, layer: &Layer, spec: &MethodSpec) -> Result<()> {
    let (title, name) = (spec.title, &layer.name);
    if spec.needs.tail()
        && let Some(reason) = model.tail_unsupported_reason(layer)
    {
        return impossible(
            "layer",
            format!(
                "{title} runs the part of the model after layer '{name}' on its own: {reason}; \
                 scorecam works without it"
            ),
        );
    }
    if spec.needs.gradient()
        && let Some(reason) = model.gradient_unsupported_reason(layer)
    {
        return impossible(
            "layer",
            format!(
                "{title} needs a gradient, and layer '{name}' has none: {reason}; scorecam works \
                 without one"
            ),
        );
    }
    Ok(())
}

/// Whether passes are weighted by values that are never negative.
fn has_positive_weights(spec: &MethodSpec, options: &ExplainOptions, score: ScoreKind) -> bool {
    spec.weights_are_scores
        && (score == ScoreKind::Probability || options.convention == Convention::Article)
}

/// Checks that the method can explain a contrast or a negated score, if the options request one.
fn class_target(spec: &MethodSpec, options: &ExplainOptions, score: ScoreKind) -> Result<()> {
    let option = match (&options.contrast, options.negate) {
        (Some(_), _) => "contrast",
        (None, true) => "negate",
        (None, false) => return Ok(()),
    };
    let title = spec.title;
    if !spec.class_discriminative {
        return impossible(
            option,
            format!("{title} does not depend on the class; leave out {option}"),
        );
    }
    // A softmax over the channels turns scores of any sign into positive weights.
    let is_relative = options.convention == Convention::PytorchGradCam;
    if option == "negate" && has_positive_weights(spec, options, score) && !is_relative {
        return impossible(
            option,
            format!(
                "{title} weights passes by probabilities, and negated ones would leave an empty \
                 map; score=logit or contrast works"
            ),
        );
    }
    Ok(())
}

/// Checks that the method's maps can be signed.
fn signed(spec: &MethodSpec, options: &ExplainOptions, score: ScoreKind) -> Result<()> {
    let refuse = |option: &str, why: String| Err(Error::new(Kind::Option, why).about(option));
    let title = spec.title;
    if options.normalize == Some(Normalization::MinMax) {
        let why = "option 'normalize' can't be 'minmax' for a signed map, whose zero must stay \
                   zero; it takes max or none";
        return refuse("normalize", why.into());
    }
    if !spec.supports_signed {
        let names: Vec<_> =
            METHODS.iter().filter(|spec| spec.supports_signed).map(|spec| spec.name).collect();
        let why = format!(
            "{title} does not separate evidence for the class from evidence against it; option \
             'signed' is for {}",
            names.join(", ")
        );
        return refuse("signed", why);
    }
    if spec.weights_are_scores && options.convention == Convention::PytorchGradCam {
        let why = format!(
            "{title} by pytorch-grad-cam weights passes by a softmax, which is never negative; \
             convention=paper works with score=logit or contrast"
        );
        return refuse("signed", why);
    }
    if has_positive_weights(spec, options, score) && options.contrast.is_none() {
        let cure = match options.convention {
            Convention::Article => "contrast",
            _ => "score=logit or contrast",
        };
        let why = format!(
            "{title} weights passes by probabilities, which are never negative; {cure} gives them \
             a sign"
        );
        return refuse("signed", why);
    }
    Ok(())
}

fn impossible<T>(option: &str, why: String) -> Result<T> {
    Err(Error::new(Kind::Impossible, why).about(option))
}
