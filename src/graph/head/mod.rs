//! The classifier's head: the tensor of logits, and how they become probabilities.
//!
//! Grad-CAM differentiates the logit, "the score before the softmax" (arXiv 1610.02391, section 3).
//! Keras exports end in `Softmax`, torch exports mostly don't, multi-label models end in `Sigmoid`,
//! and much may stand between either and the output. [`ClassifierHead::find`] decides in this
//! order:
//!
//! 1. What the manifest says holds.
//! 2. The graph is followed from the output back to an activation. Its input holds the logits, and
//!    the probabilities are what the model says.
//! 3. Where the graph shows no activation, values whose [`Range`] lies in 0..1 are probabilities
//!    without logits, and so are those that lie in 0..1 in a few runs ([`OutputSamples`]).
//! 4. A single score for each image is a quantity (a regression) if its range has a bound. Without
//!    bounds it is one if, as a logit, it would be 99.99 % sure of one and the same class on zeros
//!    and on all noise. Otherwise, or if two labels name classes, it is the logit of the second of
//!    two classes.
//! 5. Rows of length 1 are features, which are quantities. All other outputs are logits of a
//!    softmax.
//!
//! Where an output holds the largest scores or their indices, the scores of all classes are used.

mod activation;
mod decide;
mod evidence;
mod lift;
mod outputs;
mod range;
mod selection;
mod values;

pub use decide::Guess;
pub use evidence::OutputSamples;
pub use lift::AddedNodes;
pub use range::Range;
pub use selection::Selection;

use crate::text::listed;
use activation::ActivationFinder;
use decide::{Evidence, is_ambiguous, rescaled};
use lift::{Lift, Lifted};
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::GraphProto;
use outputs::{before_rearranging, choose, columns};
use selection::before_selection;

/// How a model's scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputActivation {
    /// Softmax over the classes: one of many.
    Softmax,
    /// The logistic function for each class, as in multi-label models.
    Sigmoid,
    /// Another increasing function of each logit, such as `HardSigmoid`, which only the graph
    /// computes.
    Other,
    /// The model outputs probabilities and does not show the logits that they came from.
    Unknown,
    /// The scores are quantities: there are no probabilities.
    Identity,
}

/// What the output holds: `[output] kind` in a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Decide by the graph, and by what a few runs give.
    #[default]
    Auto,
    /// Logits of a softmax.
    Logits,
    /// Probabilities; the logits are those of the graph's softmax or sigmoid, if it shows one.
    Probabilities,
    /// One independent score for each label: probabilities if the graph ends in a sigmoid or the
    /// values lie in 0..1, else logits.
    Sigmoid,
    /// Quantities, such as an age: values without probabilities.
    Regression,
}

/// Where a model's scores are.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierHead {
    /// The graph output that is explained.
    pub output: String,
    /// The tensor whose scores are explained: the output, or one from before a selection.
    pub source: String,
    /// The model's other outputs.
    pub others: Vec<String>,
    /// The tensor that is differentiated, `[N, …]`: logits, probabilities with
    /// [`OutputActivation::Unknown`], or quantities. It holds the scores unless `scores` names them.
    pub tensor: String,
    /// The scores, if they are a selection of `tensor`, such as the three largest logits.
    pub scores: Option<String>,
    /// The probabilities, if they are not exactly the activation of the scores: the model rounds
    /// them, or chooses among them.
    pub probabilities: Option<String>,
    /// How the scores become probabilities.
    pub output_activation: OutputActivation,
    /// Number of scores per image.
    pub columns: usize,
    /// What was assumed, if something was.
    pub guess: Option<Guess>,
    /// A choice among the classes that the output holds.
    pub selection: Option<Selection>,
    /// The range of the output's values, as far as the graph shows it.
    pub range: Range,
}

/// True if the graph shows how an output's probabilities come from logits.
#[must_use]
pub fn shows_activation(graph: &GraphProto, facts: &TensorFacts, output: &str) -> bool {
    let graph_index = GraphIndex::new(graph);
    let finder = ActivationFinder { graph_index: &graph_index, facts, images: None };
    let mut names = graph.output.iter().map(|output| output.name());
    let source = names.find(|name| *name == output).map(|name| before_selection(finder, name).0);
    source.is_some_and(|source| Lift::new(finder).lift(source).is_some())
}

/// What is known about a model's outputs besides its graph.
#[derive(Clone, Copy, Debug)]
pub struct OutputHints<'a> {
    /// The graph output to explain; found in the graph when absent.
    pub output: Option<&'a str>,
    /// What it holds.
    pub kind: OutputKind,
    /// How many class labels there are.
    pub label_count: usize,
    /// Values of the outputs in a few runs.
    pub samples: &'a OutputSamples,
}

/// An output for an error message: its name, what it holds and its shape.
fn described(facts: &TensorFacts, output: &str) -> String {
    let held = onnx_gradient::dtype::name(facts.element_type(output));
    match facts.get(output) {
        Some(sizes) => format!("'{output}', {held} {sizes:?}"),
        None => format!("'{output}', {held} of unknown shape"),
    }
}

impl ClassifierHead {
    /// True for a model with a single class score for each image, as binary classifiers have.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        // A softmax over one class leaves no second one.
        let is_alone = self.output_activation == OutputActivation::Softmax && self.scores.is_none();
        let is_quantity = self.output_activation == OutputActivation::Identity;
        self.columns == 1 && !is_alone && !is_quantity
    }

    /// The number of classes, or of quantities. A single class score stands for two classes: the
    /// negative and then the positive.
    #[must_use]
    pub fn classes(&self) -> usize {
        if self.is_binary() { 2 } else { self.columns }
    }

    /// The tensor of scores.
    #[must_use]
    pub fn scores(&self) -> &str {
        self.scores.as_ref().unwrap_or(&self.tensor)
    }

    /// The tensors at which a forward pass ends: those of scores and probabilities.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        [Some(&self.tensor), self.scores.as_ref(), self.probabilities.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// The tensor of probabilities, if their gradient is the graph's own rather than that of a
    /// softmax or sigmoid over the scores.
    #[must_use]
    pub fn differentiated_probabilities(&self) -> Option<&str> {
        let is_own = self.scores.is_some() || self.output_activation == OutputActivation::Other;
        self.probabilities.as_deref().filter(|_| is_own)
    }

    /// Finds the scores at the graph output that the hints name, or at the one that looks like
    /// class scores. Among several of those, one with a score for each label is preferred. Also
    /// returns nodes to add to the graph: they compute the tensors that the graph does not have.
    ///
    /// # Errors
    /// When the named output does not exist, or no output looks like class scores. The message
    /// lists the outputs.
    pub fn find(
        graph: &GraphProto,
        facts: &TensorFacts,
        hints: &OutputHints<'_>,
    ) -> Result<(Self, AddedNodes), String> {
        let graph_index = GraphIndex::new(graph);
        let images =
            graph.input.first().and_then(|input| facts.get(input.name())?.first().copied());
        let finder = ActivationFinder { graph_index: &graph_index, facts, images };
        let names = || graph.output.iter().map(|output| output.name());
        let output = match hints.output {
            Some(wanted) => names().find(|name| *name == wanted).ok_or_else(|| {
                let names = listed(names());
                format!("the model has no output '{wanted}'; it has {names}")
            })?,
            None => choose(finder, hints).ok_or_else(|| {
                let outputs: Vec<String> = names().map(|name| described(facts, name)).collect();
                let outputs = listed(outputs.iter().map(String::as_str));
                format!(
                    "no output of the model holds a score for each class, floats [N, classes]; it \
                     has {outputs}. Export the scores of all classes as an output"
                )
            })?,
        };
        let (source, selection) = before_selection(finder, output);
        // What the output gave says nothing about the scores that it chooses among.
        let unseen = OutputSamples::default();
        let samples = match selection {
            Some(Selection::Undone(_)) => &unseen,
            _ => hints.samples,
        };
        let hints = &OutputHints { samples, ..*hints };
        // The shape of the output counts; the tensor of scores may be shaped differently.
        let columns = facts.get(source).and_then(|sizes| columns(sizes, images));
        let columns =
            columns.and_then(|columns| usize::try_from(columns).ok()).ok_or_else(|| {
                let sizes = facts.get(source).unwrap_or_default();
                format!(
                    "output '{output}' has the shape {sizes:?} and holds no score for each class, \
                 [N, classes]"
                )
            })?;
        let head = Self {
            output: output.to_owned(),
            others: names().filter(|name| *name != output).map(str::to_owned).collect(),
            source: source.to_owned(),
            tensor: before_rearranging(&graph_index, source).to_owned(),
            scores: None,
            probabilities: None,
            output_activation: OutputActivation::Softmax,
            columns,
            guess: None,
            selection,
            range: Range::ALL,
        };
        let mut lift = Lift::new(finder);
        let is_softmax = |lifted: &Lifted<'_>| lifted.activation.kind == OutputActivation::Softmax;
        let lifted = match hints.kind {
            OutputKind::Logits | OutputKind::Regression => None,
            OutputKind::Auto | OutputKind::Probabilities => lift.lift(source),
            OutputKind::Sigmoid => lift.lift(source).filter(|lifted| !is_softmax(lifted)),
        };
        let ambiguous = lifted.as_ref().filter(|lifted| is_ambiguous(lifted, columns, hints));
        let factor = ambiguous.map(|lifted| lifted.values.factor());
        match lifted.filter(|_| factor.is_none()) {
            Some(lifted) => {
                let guess = rescaled(&lifted, hints);
                let (head, added) = head.with_logits(lift, lifted);
                Ok((Self { guess: head.guess.or(guess), ..head }, added))
            }
            None => {
                let evidence = Evidence { factor, ..Evidence::new(finder, source) };
                Ok((head.without_activation(&evidence, hints)?, AddedNodes::default()))
            }
        }
    }

    /// The head of an output whose logits were found.
    fn with_logits(mut self, mut lift: Lift<'_, '_>, lifted: Lifted<'_>) -> (Self, AddedNodes) {
        let Lifted { logits, activation, values, is_exact, is_moved, is_selection, .. } = lifted;
        self.output_activation = activation.kind;
        // A softmax's probabilities also depend on the logits that are left out.
        let is_selection = is_selection && activation.kind == OutputActivation::Softmax;
        if is_selection {
            self.tensor = activation.logits.to_owned();
            self.scores = Some(logits);
        } else if is_moved {
            self.tensor = logits;
        } else {
            let graph_index = lift.finder.graph_index;
            self.tensor = before_rearranging(graph_index, activation.logits).to_owned();
            lift.added = AddedNodes::default();
        }
        let is_single = self.columns == 1 && !is_selection;
        if is_single && activation.kind == OutputActivation::Softmax {
            self.guess = Some(Guess::OneClassSoftmax);
        } else if !is_exact || is_selection {
            self.probabilities = Some(lift.probabilities(&self.source, values));
        }
        (self, lift.added)
    }

    /// The same output as probabilities without logits, for a graph that gives no gradient between
    /// the two.
    #[must_use]
    pub fn without_logits(self) -> Self {
        Self {
            tensor: self.source.clone(),
            scores: None,
            probabilities: None,
            output_activation: OutputActivation::Unknown,
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
