//! One explanation request with all values typed, names of classes and layers still unresolved.

use crate::explain::{Convention, Method, MethodParameters, Normalization, ScoreKind};

/// What to explain, and how. `None` means the default of the convention or the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainOptions {
    /// How the map is computed.
    pub method: Method,
    /// Whose arithmetic is followed.
    pub convention: Convention,
    /// The layers, by any of their names, separated by commas; default: the model's.
    pub layer: Option<String>,
    /// The classes, by index or exact label, separated by commas; default: the predicted class.
    pub target: Option<String>,
    /// The class to contrast the target with, by index or exact label.
    pub contrast: Option<String>,
    /// Whether to explain the negated score: what lowers the target's score.
    pub negate: bool,
    /// Whether negative values stay, so that the map shows evidence for and against the class.
    pub signed: bool,
    /// The score; default: the convention's.
    pub score: Option<ScoreKind>,
    /// See [`MethodParameters::max_channels`].
    pub max_channels: Option<usize>,
    /// See [`MethodParameters::budget`].
    pub budget: Option<usize>,
    /// See [`MethodParameters::tolerance`].
    pub tolerance: Option<f32>,
    /// See [`MethodParameters::seed`].
    pub seed: u64,
    /// See [`MethodParameters::samples`].
    pub samples: Option<usize>,
    /// See [`MethodParameters::noise`].
    pub noise: Option<f32>,
    /// The final normalisation; default: the convention's.
    pub normalize: Option<Normalization>,
    /// How many predictions to report.
    pub top_k: usize,
}

impl ExplainOptions {
    /// The part that methods read.
    #[must_use]
    pub const fn parameters(&self) -> MethodParameters {
        let Self { convention, max_channels, budget, tolerance, seed, samples, noise, .. } = *self;
        MethodParameters { convention, max_channels, budget, tolerance, seed, samples, noise }
    }
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            method: Method::GradCamPlusPlus,
            convention: Convention::Paper,
            layer: None,
            target: None,
            contrast: None,
            negate: false,
            signed: false,
            score: None,
            max_channels: None,
            budget: None,
            tolerance: None,
            seed: 0,
            samples: None,
            noise: None,
            normalize: None,
            top_k: 5,
        }
    }
}
