//! Decides what an output holds where the graph shows no activation that camlens can follow.

use super::activation::ActivationFinder;
use super::lift::{Lifted, MAX_STEPS};
use super::range::{Range, RangeFinder};
use super::{ClassifierHead, OutputActivation, OutputHints, OutputKind};

/// What was assumed about an output because nothing tells, or against what its graph tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guess {
    /// A single score without bounds is a quantity: as a logit it would be certain of noise.
    Regression,
    /// A single score that is bounded, or a whole number, is a quantity.
    BoundedQuantity,
    /// A single probability that is multiplied by this factor is a quantity.
    ScaledProbability(f32),
    /// Rows of length 1 are features.
    UnitVector,
    /// A single score is the logit of the second of two classes.
    BinaryLogit,
    /// Several scores that are bounded are the logits of a softmax.
    Logits,
    /// Scores that are computed from an activation's result are the logits of a softmax.
    LogitsAfterActivation,
    /// Values that lay in 0..1 in a few runs are probabilities.
    Probabilities,
    /// Probabilities are multiplied by this factor.
    Rescaled(f32),
    /// Values that can't leave 0..1 are logits, because the manifest says so.
    DeclaredLogits,
    /// A softmax over one class always gives 1.
    OneClassSoftmax,
}

/// What the graph tells about an output without a known activation.
pub(super) struct Evidence {
    pub(super) range: Range,
    /// Whether the values are rounded to whole numbers.
    pub(super) is_whole: bool,
    /// The factor of a single probability that is no plain one.
    pub(super) factor: Option<f32>,
    /// Whether the values are computed from an activation's result, value by value.
    pub(super) follows_activation: bool,
}

impl Evidence {
    pub(super) fn new<'g>(finder: ActivationFinder<'g, '_>, tensor: &'g str) -> Self {
        let mut ranges = RangeFinder::new(finder.graph_index, finder.facts);
        let range = ranges.range(tensor);
        let is_whole = ranges.is_whole(tensor);
        Self {
            range,
            is_whole,
            factor: None,
            follows_activation: follows_activation(finder, tensor),
        }
    }
}

/// True for a single probability in a unit of its own, such as a sigmoid times 100, which nothing
/// tells from a quantity between 0 and 100.
pub(super) fn is_ambiguous(lifted: &Lifted<'_>, columns: usize, hints: &OutputHints<'_>) -> bool {
    columns == 1
        && hints.kind == OutputKind::Auto
        && hints.label_count != 2
        && lifted.values.factor() != 1.0
}

/// The guess about an output whose logits were found.
pub(super) fn rescaled(lifted: &Lifted<'_>, hints: &OutputHints<'_>) -> Option<Guess> {
    let factor = lifted.values.factor();
    // 100 makes per cent, and −1 of a logarithm a loss.
    let is_usual = factor == 1.0 || factor == 100.0 || lifted.values.of_log == Some(-1.0);
    (hints.kind == OutputKind::Auto && !is_usual).then_some(Guess::Rescaled(factor))
}

/// True if an activation over the classes leads to a tensor by operators without weights, such as
/// sums along the classes, or logits and probabilities side by side.
fn follows_activation<'g>(finder: ActivationFinder<'g, '_>, tensor: &'g str) -> bool {
    let mut open = vec![tensor];
    let mut seen = std::collections::HashSet::new();
    while let Some(tensor) = open.pop()
        && seen.len() < MAX_STEPS
    {
        if !seen.insert(tensor) {
            continue;
        }
        if finder.find(tensor).is_some() {
            return true;
        }
        if let Some(node) = finder.graph_index.producer(tensor)
            && node.is_standard()
            && !makes_features(node.op())
        {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    false
}

/// True for operators that make new features of others: an activation before them belongs to the
/// network, not to its head.
fn makes_features(op: &str) -> bool {
    let suffixes = ["Normalization", "Pool", "Integer"];
    let prefixes = ["Conv", "QLinear", "Reduce"];
    matches!(op, "Attention" | "Einsum" | "GRU" | "Gemm" | "LSTM" | "MatMul" | "RNN" | "Resize")
        || suffixes.iter().any(|suffix| op.ends_with(suffix))
        || prefixes.iter().any(|prefix| op.starts_with(prefix))
}

impl ClassifierHead {
    /// The head of an output at which the graph shows no activation.
    pub(super) fn without_activation(
        mut self,
        evidence: &Evidence,
        hints: &OutputHints<'_>,
    ) -> Result<Self, String> {
        let (activation, guess) = match hints.kind {
            OutputKind::Regression => (OutputActivation::Identity, None),
            OutputKind::Probabilities => {
                self.check_declared(evidence, hints)?;
                (OutputActivation::Unknown, None)
            }
            OutputKind::Sigmoid if hints.samples.are_probabilities(&self.output) => {
                (OutputActivation::Unknown, None)
            }
            OutputKind::Sigmoid => (OutputActivation::Sigmoid, None),
            OutputKind::Logits => {
                let is_single = self.columns == 1;
                let doubtful = evidence.range.is_within_unit().then_some(Guess::DeclaredLogits);
                let kinds = [OutputActivation::Softmax, OutputActivation::Sigmoid];
                (kinds[usize::from(is_single)], doubtful)
            }
            OutputKind::Auto if self.columns == 1 => self.single(evidence, hints),
            OutputKind::Auto => self.several(evidence, hints),
        };
        self.output_activation = activation;
        self.guess = guess;
        self.range = evidence.range;
        Ok(self)
    }

    /// Refuses probabilities that were declared where the values are none.
    fn check_declared(&self, evidence: &Evidence, hints: &OutputHints<'_>) -> Result<(), String> {
        let seen = hints.samples.outside_unit(&self.output);
        let is_disjoint = evidence.range.low > 1.0 || evidence.range.high < 0.0;
        let found = match seen {
            Some([low, high]) => format!("it gave values from {low} to {high} on test images"),
            None if is_disjoint => format!("its values are {}", evidence.range),
            None => return Ok(()),
        };
        Err(format!(
            "model.toml says that output '{}' holds probabilities, but {found}; kind = \"logits\" \
             is for scores before a softmax or sigmoid, kind = \"regression\" for quantities",
            self.output
        ))
    }

    fn single(
        &self,
        evidence: &Evidence,
        hints: &OutputHints<'_>,
    ) -> (OutputActivation, Option<Guess>) {
        let Evidence { range, is_whole, factor, .. } = *evidence;
        let samples = hints.samples;
        let has_two_labels = hints.label_count == 2;
        if let Some(factor) = factor {
            return (OutputActivation::Identity, Some(Guess::ScaledProbability(factor)));
        }
        if range.is_within_unit() {
            return (OutputActivation::Unknown, None);
        }
        // Values that may leave 0..1 are no probabilities, whatever a few runs gave.
        if !range.is_bounded() && samples.are_probabilities(&self.output) {
            return (OutputActivation::Unknown, Some(Guess::Probabilities));
        }
        if has_two_labels {
            let guess = (!range.has_both_signs()).then_some(Guess::BinaryLogit);
            return (OutputActivation::Sigmoid, guess);
        }
        if range.is_bounded() || is_whole {
            return (OutputActivation::Identity, Some(Guess::BoundedQuantity));
        }
        if samples.is_certain_of_noise(&self.output) {
            return (OutputActivation::Identity, Some(Guess::Regression));
        }
        let guess = (hints.label_count == 0).then_some(Guess::BinaryLogit);
        (OutputActivation::Sigmoid, guess)
    }

    fn several(
        &self,
        evidence: &Evidence,
        hints: &OutputHints<'_>,
    ) -> (OutputActivation, Option<Guess>) {
        let Evidence { range, follows_activation, .. } = *evidence;
        let has_labels = hints.label_count == self.columns;
        if range.is_within_unit() || hints.samples.sum_to_one(&self.output) {
            return (OutputActivation::Unknown, None);
        }
        if hints.samples.are_unit_vectors(&self.output) && !has_labels {
            return (OutputActivation::Identity, Some(Guess::UnitVector));
        }
        if hints.samples.are_probabilities(&self.output) {
            return (OutputActivation::Unknown, Some(Guess::Probabilities));
        }
        let guess = match follows_activation {
            true => Some(Guess::LogitsAfterActivation),
            false => (range.is_bounded() && !has_labels).then_some(Guess::Logits),
        };
        (OutputActivation::Softmax, guess)
    }
}
