//! Warnings: what a reader of a result must know to judge it.
//!
//! Some hold for a model, such as preprocessing that was guessed, others for one result, such as a
//! score at which the map is ill-conditioned. Every response carries both kinds.

use serde::Serialize;

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// What the model's manifest says about it, such as the only pictures that it knows.
    ModelNotice,
    /// The folder has no manifest, so the preprocessing is a default.
    PreprocessingGuessed,
    /// There are more labels than classes, or fewer.
    LabelsDoNotFit,
    /// The model has several outputs, and nothing names the one to explain.
    SeveralOutputs,
    /// What the output holds was guessed.
    OutputGuessed,
    /// The file is random, or in training mode.
    NotReproducible,
    /// No logits were found, so the probability itself is explained.
    ProbabilityExplained,
    /// The explained probability is so near 1 that its gradient is ill-conditioned.
    SaturatedScore,
    /// The gradient is a straight-through estimate, because the model rounds to integers.
    StraightThrough,
    /// Rows and columns could not be traced from the image to the layer.
    PositionsUntraced,
    /// Nothing in the layer speaks for the class, so the map is all zeros.
    EmptyMap,
    /// No font has some characters of a figure's text.
    GlyphsMissing,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::ModelNotice,
        Self::PreprocessingGuessed,
        Self::LabelsDoNotFit,
        Self::SeveralOutputs,
        Self::OutputGuessed,
        Self::NotReproducible,
        Self::ProbabilityExplained,
        Self::SaturatedScore,
        Self::StraightThrough,
        Self::PositionsUntraced,
        Self::EmptyMap,
        Self::GlyphsMissing,
    ];

    /// The code as responses write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ModelNotice => "model-notice",
            Self::PreprocessingGuessed => "preprocessing-guessed",
            Self::LabelsDoNotFit => "labels-do-not-fit",
            Self::SeveralOutputs => "several-outputs",
            Self::OutputGuessed => "output-guessed",
            Self::NotReproducible => "not-reproducible",
            Self::ProbabilityExplained => "probability-explained",
            Self::SaturatedScore => "saturated-score",
            Self::StraightThrough => "straight-through",
            Self::PositionsUntraced => "positions-untraced",
            Self::EmptyMap => "empty-map",
            Self::GlyphsMissing => "glyphs-missing",
        }
    }
}

/// A warning: a code for programs, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// What is the matter, and what would help.
    pub detail: String,
}

impl Warning {
    /// A warning.
    #[must_use]
    pub fn new(code: WarningCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// Equal warnings of several results, each once, in their first order.
    #[must_use]
    pub fn each_once<'a>(warnings: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for warning in warnings {
            if !found.contains(warning) {
                found.push(warning.clone());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_serialised_as_its_name() {
        for code in WarningCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
