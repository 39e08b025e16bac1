//! What can be asked of a method on a layer of a model, told before any pass runs.

use super::job::Job;
use crate::error::{Error, Kind, Result};
use crate::explain::methods::{METHODS, MethodSpec};
use crate::explain::options::{Convention, Method, Normalize, ScoreKind};
use crate::graph::explain_graph::GradientOf;
use crate::graph::head::OutputActivation;

impl Job<'_> {
    /// The score that a method explains.
    pub(super) fn score(&self, row: &MethodSpec) -> ScoreKind {
        self.options.score.unwrap_or(row.score(self.options.convention))
    }

    /// The gradient that a method needs, or why it can't be had.
    pub(super) fn gradient_of(&self, method: Method) -> Result<GradientOf> {
        let impossible =
            |option: &str, why: String| Err(Error::new(Kind::Impossible, why).about(option));
        let row = method.row();
        let score = self.score(row);
        if row.class_discriminative
            && score == ScoreKind::Logit
            && self.model.output_activation() == OutputActivation::Unknown
        {
            return impossible(
                "score",
                format!(
                    "model '{}' gives probabilities and hides their logits; score=probability works",
                    self.model.id()
                ),
            );
        }
        self.has_goal(row, score)?;
        if self.options.signed {
            self.supports_signed(row, score)?;
        }
        if row.needs.tail()
            && let Some(unsupported_reason) = self.model.tail_unsupported_reason(self.layer)
        {
            return impossible(
                "layer",
                format!(
                    "{} runs what stands behind layer '{}' by itself: {unsupported_reason}; scorecam works without",
                    row.title, self.layer.name
                ),
            );
        }
        if !row.needs.gradient() {
            return Ok(GradientOf::Nothing);
        }
        if let Some(unsupported_reason) = self.model.gradient_unsupported_reason(self.layer) {
            return impossible(
                "layer",
                format!(
                    "{} needs a gradient, and layer '{}' has none: {unsupported_reason}; scorecam works without",
                    row.title, self.layer.name
                ),
            );
        }
        Ok(score.gradient_of())
    }

    /// Whether passes are weighed by numbers of which none is below 0.
    fn weighs_by_positives(&self, row: &MethodSpec, score: ScoreKind) -> bool {
        row.weighs_by_score
            && (score == ScoreKind::Probability || self.options.convention == Convention::Article)
    }

    /// Refuses a signed map where a method makes none.
    fn supports_signed(&self, row: &MethodSpec, score: ScoreKind) -> Result<()> {
        let refuse = |option: &str, why: String| Err(Error::new(Kind::Option, why).about(option));
        if self.options.normalize == Some(Normalize::MinMax) {
            let why = "option 'normalize' can't be 'minmax' of a signed map, whose 0 has to stay; it takes max or none";
            return refuse("normalize", why.into());
        }
        if !row.supports_signed {
            let names: Vec<_> =
                METHODS.iter().filter(|row| row.supports_signed).map(|row| row.name).collect();
            let why = format!(
                "{} does not tell for from against; option 'signed' is for {}",
                row.title,
                names.join(", ")
            );
            return refuse("signed", why);
        }
        if row.weighs_by_score && self.options.convention == Convention::PytorchGradCam {
            let why = format!(
                "{} by pytorch-grad-cam weighs by a softmax, of which nothing is below 0; convention=paper works with \
                 score=logit or contrast",
                row.title
            );
            return refuse("signed", why);
        }
        if self.weighs_by_positives(row, score) && self.contrast.is_none() {
            let cure = if self.options.convention == Convention::Article {
                "contrast"
            } else {
                "score=logit or contrast"
            };
            let why = format!(
                "{} weighs by probabilities, and none is below 0; {cure} gives a sign",
                row.title
            );
            return refuse("signed", why);
        }
        Ok(())
    }

    /// Refuses a goal that a method can't have.
    fn has_goal(&self, row: &MethodSpec, score: ScoreKind) -> Result<()> {
        let options = self.options;
        let refuse =
            |option: &str, why: String| Err(Error::new(Kind::Impossible, why).about(option));
        let asked = match (self.contrast, options.negate) {
            (Some(_), _) => "contrast",
            (None, true) => "negate",
            (None, false) => return Ok(()),
        };
        if !row.class_discriminative {
            return refuse(asked, format!("{} looks at no class; leave out {asked}", row.title));
        }
        // Its softmax over the channels makes weights of any number.
        let is_relative = options.convention == Convention::PytorchGradCam;
        if asked == "negate" && self.weighs_by_positives(row, score) && !is_relative {
            return refuse(
                asked,
                format!(
                    "{} weighs by probabilities, and the negative of a probability speaks for nothing; \
                     score=logit or contrast works",
                    row.title
                ),
            );
        }
        Ok(())
    }
}
