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
//! 3. Where the graph shows no activation, [`OutputSamples`] tell what a few runs gave: values that
//!    lie in 0..1 in all of them are probabilities without logits.
//! 4. A single unbounded score for each image is a quantity (a regression) if, as a logit, it would
//!    be 99.99 % sure of one and the same class on zeros and on all noise, and no two labels name
//!    classes. Otherwise it is the logit of the second of two classes.
//! 5. All other outputs are logits of a softmax.

mod activation;
mod evidence;
mod lift;
mod outputs;

pub use evidence::OutputSamples;
pub use lift::AddedNodes;

use activation::ActivationFinder;
use lift::{Lift, Lifted};
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::GraphProto;
use outputs::{before_rearranging, choose, columns};

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

/// What was assumed about an output because nothing tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A single score is a quantity, because as a logit it would be certain of noise.
    Regression,
    /// A single score is the logit of the second of two classes.
    BinaryLogit,
}

/// Where a model's scores are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifierHead {
    /// The graph output that is explained.
    pub output: String,
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
}

/// True if the graph shows how an output's probabilities come from logits.
#[must_use]
pub fn shows_activation(graph: &GraphProto, facts: &TensorFacts, output: &str) -> bool {
    let graph_index = GraphIndex::new(graph);
    let finder = ActivationFinder { graph_index: &graph_index, facts, images: None };
    let mut names = graph.output.iter().map(|output| output.name());
    names.find(|name| *name == output).is_some_and(|name| Lift::new(finder).lift(name).is_some())
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

impl ClassifierHead {
    /// True for a model with a single class score for each image, as binary classifiers have.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.columns == 1 && self.output_activation != OutputActivation::Identity
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
                let names = names().collect::<Vec<_>>().join(", ");
                format!("the model has no output '{wanted}'; it has {names}")
            })?,
            None => choose(finder, hints).ok_or_else(|| {
                let names = names().collect::<Vec<_>>().join(", ");
                format!(
                    "no output of the model holds a score for each class, [N, classes]; it has \
                     {names}"
                )
            })?,
        };
        // The shape of the output counts; the tensor of scores may be shaped differently.
        let columns = facts.get(output).and_then(|sizes| columns(sizes, images));
        let columns =
            columns.and_then(|columns| usize::try_from(columns).ok()).ok_or_else(|| {
                let sizes = facts.get(output).unwrap_or_default();
                format!(
                    "output '{output}' has the shape {sizes:?} and holds no score for each class, \
                 [N, classes]"
                )
            })?;
        let head = Self {
            output: output.to_owned(),
            others: names().filter(|name| *name != output).map(str::to_owned).collect(),
            tensor: before_rearranging(&graph_index, output).to_owned(),
            scores: None,
            probabilities: None,
            output_activation: OutputActivation::Softmax,
            columns,
            guess: None,
        };
        let mut lift = Lift::new(finder);
        let is_softmax = |lifted: &Lifted<'_>| lifted.activation.kind == OutputActivation::Softmax;
        let lifted = match hints.kind {
            OutputKind::Logits | OutputKind::Regression => None,
            OutputKind::Auto | OutputKind::Probabilities => lift.lift(output),
            OutputKind::Sigmoid => lift.lift(output).filter(|lifted| !is_softmax(lifted)),
        };
        Ok(match lifted {
            Some(lifted) => head.with_logits(lift, lifted),
            None => (head.without_activation(hints), AddedNodes::default()),
        })
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
        // A softmax over one score is always 1; its gradient would be 0.
        let is_single = self.columns == 1 && !is_selection;
        if is_single && activation.kind == OutputActivation::Softmax {
            self.output_activation = OutputActivation::Sigmoid;
        } else if !is_exact || is_selection {
            self.probabilities = Some(lift.probabilities(&self.output, values));
        }
        (self, lift.added)
    }

    /// The same output as probabilities without logits, for a graph that gives no gradient between
    /// the two.
    #[must_use]
    pub fn without_logits(self) -> Self {
        Self {
            tensor: self.output.clone(),
            scores: None,
            probabilities: None,
            output_activation: OutputActivation::Unknown,
            ..self
        }
    }

    /// The head of an output at which the graph shows no activation.
    fn without_activation(mut self, hints: &OutputHints<'_>) -> Self {
        let are_probabilities = hints.samples.are_probabilities(&self.output);
        let is_single = self.columns == 1;
        self.output_activation = match hints.kind {
            OutputKind::Regression => OutputActivation::Identity,
            OutputKind::Probabilities => OutputActivation::Unknown,
            OutputKind::Auto | OutputKind::Sigmoid if are_probabilities => {
                OutputActivation::Unknown
            }
            OutputKind::Sigmoid => OutputActivation::Sigmoid,
            OutputKind::Logits if is_single => OutputActivation::Sigmoid,
            OutputKind::Auto if is_single => {
                let is_certain = hints.samples.is_certain_of_noise(&self.output);
                let guess = match hints.label_count {
                    2 => None,
                    _ if is_certain => Some(Guess::Regression),
                    0 => Some(Guess::BinaryLogit),
                    _ => None,
                };
                self.guess = guess;
                match guess {
                    Some(Guess::Regression) => OutputActivation::Identity,
                    _ => OutputActivation::Sigmoid,
                }
            }
            OutputKind::Auto | OutputKind::Logits => OutputActivation::Softmax,
        };
        self
    }
}

#[cfg(test)]
mod tests;
