//! One model that is loaded and ready: what it is, and the passes it runs.

mod load;

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array4;

use super::cache::{Cache, Image};
use super::cancel::CancellationToken;
use super::programs::ProgramCompiler;
use super::session::{PassOutput, PassRequest, RunInputs};
use super::worker::{ProgramKey, Worker};
use crate::engine::optimize::FusionReport;
use crate::error::{Error, Kind, Result};
use crate::graph::head::{ClassifierHead, OutputActivation};
use crate::graph::layers::{self, Layer};
use crate::graph::tail;
use crate::model::preprocess::Preprocess;
use crate::model::{Labels, ModelFolder};

/// One model that is loaded and ready. It is shared by all requests; its worker thread takes turns.
pub struct Model {
    folder: ModelFolder,
    preprocess: Preprocess,
    input_name: String,
    score: ClassifierHead,
    layers: Vec<Layer>,
    default_layer: usize,
    /// Why a layer has no gradient, by its tensor.
    unsupported_reasons: HashMap<String, String>,
    batch: usize,
    cache: Cache,
    programs: Arc<ProgramCompiler>,
    worker: Worker,
}

impl Model {
    /// The model's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.folder.id
    }

    /// What camlens's own operators compute of the default layer's program, the runtime being
    /// slower.
    #[must_use]
    pub fn fused(&self) -> FusionReport {
        self.programs.fused(self.default_layer())
    }

    /// The folder that it was read from.
    #[must_use]
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// Its class names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.folder.labels
    }

    /// How many classes it tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.score.classes()
    }

    /// How it wants its input.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The name of the image input in the graph.
    #[must_use]
    pub fn input_name(&self) -> &str {
        &self.input_name
    }

    /// The name of the graph output that is explained.
    #[must_use]
    pub fn output_name(&self) -> &str {
        &self.score.output
    }

    /// The graph's other outputs.
    #[must_use]
    pub fn other_outputs(&self) -> &[String] {
        &self.score.others
    }

    /// How its scores become probabilities.
    #[must_use]
    pub fn output_activation(&self) -> OutputActivation {
        self.score.output_activation
    }

    /// How many masked images share a pass.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The layers that can be explained, in order of computation.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layer that is explained when a request names none.
    #[must_use]
    pub fn default_layer(&self) -> &Layer {
        &self.layers[self.default_layer]
    }

    /// The layer that a request means, by any of its names.
    ///
    /// # Errors
    /// [`Kind::UnknownLayer`] naming some that there are.
    pub fn layer(&self, asked: Option<&str>) -> Result<&Layer> {
        let Some(asked) = asked else { return Ok(self.default_layer()) };
        layers::resolve(&self.layers, asked).ok_or_else(|| {
            let last: Vec<&str> =
                self.layers.iter().rev().take(3).map(|layer| layer.name.as_str()).collect();
            Error::new(
                Kind::UnknownLayer,
                format!(
                    "model '{}' has no layer '{asked}'; its last ones are {}",
                    self.id(),
                    last.join(", ")
                ),
            )
        })
    }

    /// Why a layer has no gradient, if it has none.
    #[must_use]
    pub fn gradient_unsupported_reason(&self, layer: &Layer) -> Option<&str> {
        self.unsupported_reasons.get(&layer.tensor).map(String::as_str)
    }

    /// The ONNX graph that [`Model::run`] runs for a layer, encoded; its large weights are
    /// references to the model's own file.
    ///
    /// # Errors
    /// A fault.
    pub fn program(&self, layer: &Layer) -> Result<Vec<u8>> {
        let key = ProgramKey::Whole(vec![layer.tensor.clone()]);
        Ok(self.programs.compile(&key)?.model)
    }

    /// Why what stands behind a layer can't be run by itself, if it can't.
    #[must_use]
    pub fn tail_unsupported_reason(&self, layer: &Layer) -> Option<String> {
        tail::check(&self.programs.prepared, &self.programs.shapes, &self.score, layer).err()
    }

    /// Runs a pass of `layer`'s program: forward, and what the pass wants besides. What is known of
    /// one image already is not computed again.
    ///
    /// # Errors
    /// [`Kind::NotANumber`], those of [`CancellationToken::check`], or a fault.
    pub fn run(
        &self,
        layer: &Layer,
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        // Most tails read nothing but the activation; then the layer's usual program will do.
        if pass.carry && self.programs.tail(layer).is_ok_and(|tail| !tail.side_inputs.is_empty()) {
            // What is carried over is not kept.
            return self.call(Some(ProgramKey::Head(layer.tensor.clone())), pass.into(), cancel);
        }
        only(self.run_all(&[layer], pass, cancel)?)
    }

    /// Runs a pass of the program that several layers have in common: an outcome for each of them,
    /// from one forward pass and one backward pass. What is known of one image already is not
    /// computed again. Nothing is carried to tails.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run_all(
        &self,
        layers: &[&Layer],
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        cancel.check()?;
        let image = |layer: &&Layer| self.cache.image(self.id(), &layer.tensor, &pass.input);
        let images: Option<Vec<_>> = layers.iter().map(image).collect();
        let Some(images) = images else { return self.call_layers(layers, pass, cancel) };
        let known: Option<Vec<_>> = images.iter().map(|image| image.outcome(&pass)).collect();
        if let Some(outcomes) = known {
            return Ok(outcomes);
        }
        let outcomes = self.call_layers(layers, pass.clone(), cancel)?;
        for (image, outcome) in images.iter().zip(&outcomes) {
            image.keep(&pass, outcome);
        }
        Ok(outcomes)
    }

    /// Runs a pass for some layers. In whatever order they are named, they share a session.
    fn call_layers(
        &self,
        layers: &[&Layer],
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&place| &layers[place].tensor);
        let tensors = order.iter().map(|&place| layers[place].tensor.clone()).collect();
        let outcomes = self.call_all(Some(ProgramKey::Whole(tensors)), pass.into(), cancel)?;
        let mut outcomes: Vec<(usize, PassOutput)> = order.into_iter().zip(outcomes).collect();
        outcomes.sort_by_key(|(place, _)| *place);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Runs a plain forward pass: one of the default layer's program that wants nothing besides.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn forward(&self, input: Array4<f32>, cancel: &CancellationToken) -> Result<PassOutput> {
        self.run(self.default_layer(), PassRequest::of(input), cancel)
    }

    /// A plain forward pass of inputs that nobody asks for twice.
    pub(super) fn pass(
        &self,
        input: Array4<f32>,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        self.call(None, PassRequest::of(input).into(), cancel)
    }

    pub(super) fn programs(&self) -> &ProgramCompiler {
        &self.programs
    }

    /// Runs the program of one layer, or any that is at hand.
    pub(super) fn call(
        &self,
        key: Option<ProgramKey>,
        call: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        only(self.call_all(key, call, cancel)?)
    }

    fn call_all(
        &self,
        key: Option<ProgramKey>,
        call: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        self.worker
            .run(key, call, cancel)?
            .into_iter()
            .map(|outcome| self.finite(outcome))
            .collect()
    }

    /// What is known of an image under the plain forward pass.
    pub(super) fn known(&self, input: &Array4<f32>) -> Option<Image<'_>> {
        self.cache.image(self.id(), &self.default_layer().tensor, input)
    }

    fn finite(&self, outcome: PassOutput) -> Result<PassOutput> {
        if outcome.scores.iter().chain(&outcome.probabilities).all(|value| value.is_finite()) {
            return Ok(outcome);
        }
        let detail = format!(
            "model '{}' gives NaN or infinity for this image, so there is nothing to explain",
            self.id()
        );
        Err(Error::new(Kind::NotANumber, detail))
    }
}

/// The outcome of a program with one layer.
fn only(outcomes: Vec<PassOutput>) -> Result<PassOutput> {
    let first = outcomes.into_iter().next();
    first.ok_or_else(|| Error::internal("running the model", "a program without layers"))
}
