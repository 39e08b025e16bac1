//! One loaded model: its properties, and the passes that it runs.

mod load;
mod warnings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array4;

use super::cache::{Cache, CachedImage};
use super::cancellation::CancellationToken;
use super::compiler::{ProgramCompiler, ProgramKey};
use super::recent_mean::RecentMean;
use super::session::{PassOutput, PassRequest, RunInputs};
use super::side_sessions::SideSessions;
use super::turns::{JobClass, Share, Turns};
use super::worker::Worker;
use crate::engine::optimize::FusionReport;
use crate::error::{Error, Kind, Result};
use crate::graph::analysed::{AnalysedModel, UnknownLayer};
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;
use crate::graph::tail::{SideInput, side_inputs};
use crate::model::preprocess::Preprocess;
use crate::model::{Labels, ModelFolder};
use crate::text::shortened;
use crate::warning::Warning;

/// A loaded model. All requests share it; its worker thread runs one pass at a time, and those of a
/// small model also run side by side.
pub struct Model {
    folder: ModelFolder,
    preprocess: Preprocess,
    analysed: Arc<AnalysedModel>,
    default_layer: usize,
    batch: usize,
    cache: Cache,
    /// The id with a number of this version, whose results are those of no other version.
    cache_key: String,
    compiler: Arc<ProgramCompiler>,
    worker: Worker,
    side_sessions: SideSessions,
    turns: Turns,
    /// How long a pass of one image takes with all threads.
    pass_time: RecentMean,
    warnings: Vec<Warning>,
}

impl Model {
    /// The model's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.folder.id
    }

    /// Whether the model's files are no longer those that were loaded.
    #[must_use]
    pub fn has_changed_on_disk(&self) -> bool {
        self.compiler.file.change().is_some()
    }

    /// What custom operators replace in the default layer's program.
    #[must_use]
    pub fn fusion_report(&self) -> FusionReport {
        self.compiler.fusion_report(self.default_layer())
    }

    /// The folder that the model was read from.
    #[must_use]
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// Checks that the model's files hold what was loaded. Takes a system call for each.
    ///
    /// # Errors
    /// [`Kind::ModelFailed`] if one was overwritten.
    pub fn check_files(&self) -> Result<()> {
        self.compiler.check_files()
    }

    /// What a reader of every result of this model must know.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The class names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.folder.labels
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.analysed.head.classes()
    }

    /// How an image becomes the input tensor.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The name of the image input in the graph.
    #[must_use]
    pub fn input_name(&self) -> &str {
        &self.analysed.prepared.input.name
    }

    /// The name of the graph output that is explained.
    #[must_use]
    pub fn output_name(&self) -> &str {
        &self.analysed.head.output
    }

    /// The graph's other outputs.
    #[must_use]
    pub fn other_outputs(&self) -> &[String] {
        &self.analysed.head.others
    }

    /// How scores become probabilities.
    #[must_use]
    pub fn output_activation(&self) -> OutputActivation {
        self.analysed.head.output_activation
    }

    /// How many images one pass takes.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The turns of this model's passes, which it shares with the other models of its registry.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// How many images the next pass of a request takes: fewer than [`Model::batch`] for a long
    /// request while short ones are about, and for a large model where memory is short.
    #[must_use]
    pub fn batch_now(&self, cancel: &CancellationToken) -> usize {
        let fitting = self.turns.batch_bytes() / self.pass_bytes().max(1);
        let most = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, self.batch);
        if cancel.class() == JobClass::Short || !self.turns.is_contended() {
            return most;
        }
        let pass_ns = self.pass_time().as_nanos().max(1);
        let images = self.turns.contended_batch().as_nanos() / pass_ns;
        usize::try_from(images).unwrap_or(usize::MAX).clamp(1, most)
    }

    /// How long a pass of one image takes with all threads, from the recent ones.
    #[must_use]
    pub fn pass_time(&self) -> Duration {
        self.pass_time.get()
    }

    /// How many bytes one image of a pass takes at most while it runs, by estimate: the largest
    /// activation, as input and output of an operator and as its workspace.
    #[must_use]
    pub fn pass_bytes(&self) -> u64 {
        let bytes = |layer: &Layer| layer.shape.iter().map(|&size| size as u64).product::<u64>();
        let [channels, height, width] = self.preprocess.shape().map(|size| size as u64);
        let input = channels * height * width;
        3 * 4 * self.layers().iter().map(bytes).max().unwrap_or(0).max(input)
    }

    /// The layers that can be explained, in order of computation.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.analysed.layers
    }

    /// The layer that is explained when a request names none.
    #[must_use]
    pub fn default_layer(&self) -> &Layer {
        &self.analysed.layers[self.default_layer]
    }

    /// The layer that a request names, by any of its names, or the default one. Any tensor whose
    /// axes could be traced is a layer, listed or not.
    ///
    /// # Errors
    /// [`Kind::UnknownLayer`] that names the last layers of the model, or says why the tensor of
    /// this name is no layer.
    pub fn layer(&self, name: Option<&str>) -> Result<&Layer> {
        let Some(name) = name else { return Ok(self.default_layer()) };
        self.analysed.resolve(name).map_err(|unknown| {
            let name = shortened(name);
            let detail = match unknown {
                UnknownLayer::NoSuchName => {
                    let last: Vec<&str> = self
                        .layers()
                        .iter()
                        .rev()
                        .take(3)
                        .map(|layer| layer.name.as_str())
                        .collect();
                    format!(
                        "model '{}' has no layer '{name}'; its last ones are {}",
                        self.id(),
                        last.join(", ")
                    )
                }
                UnknownLayer::NoMaps(reason) => {
                    format!("model '{}' can't explain layer '{name}': {reason}", self.id())
                }
            };
            Error::new(Kind::UnknownLayer, detail)
        })
    }

    /// Why a layer has no gradient, if it has none.
    #[must_use]
    pub fn gradient_unsupported_reason(&self, layer: &Layer) -> Option<&str> {
        self.analysed.gradient_unsupported_reason(layer)
    }

    /// Whether the score reads a listed layer only as an average over all positions.
    #[must_use]
    pub fn is_averaged(&self, layer: &Layer) -> bool {
        self.analysed.averaged.contains(&layer.tensor)
    }

    /// Why the part of the model after a layer cannot run on its own, if it cannot.
    #[must_use]
    pub fn tail_unsupported_reason(&self, layer: &Layer) -> Option<String> {
        self.tail_side_inputs(layer).err()
    }

    /// The ONNX graph that [`Model::run`] runs for a layer, encoded. Its large weights refer to the
    /// model's own file.
    ///
    /// # Errors
    /// [`Kind::Internal`].
    pub fn program(&self, layer: &Layer) -> Result<Vec<u8>> {
        let key = ProgramKey::Whole(vec![layer.tensor.clone()]);
        Ok(self.compiler.compile(&key)?.model.bytes)
    }

    /// Runs a pass of `layer`'s program, or takes its output from the cache.
    ///
    /// # Errors
    /// [`Kind::NotANumber`], those of [`CancellationToken::check`], or [`Kind::Internal`].
    pub fn run(
        &self,
        layer: &Layer,
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        // Most tails read the activation alone; then the layer's usual program will do.
        if pass.side_inputs
            && self.tail_side_inputs(layer).is_ok_and(|side_inputs| !side_inputs.is_empty())
        {
            // Side inputs are not cached.
            return self.run_program(
                Some(ProgramKey::Head(layer.tensor.clone())),
                pass.into(),
                cancel,
            );
        }
        single(self.run_all(&[layer], pass, cancel)?)
    }

    /// Runs a pass of the program that several layers share, or takes its outputs from the cache:
    /// one forward and one backward pass give an output for each layer. The outputs have no side
    /// inputs.
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
        let image = |layer: &&Layer| self.cache.image(&self.cache_key, &layer.tensor, &pass.input);
        let images: Option<Vec<_>> = layers.iter().map(image).collect();
        let Some(images) = images else { return self.run_layers(layers, pass, cancel) };
        let cached: Option<Vec<_>> = images.iter().map(|image| image.output(&pass)).collect();
        if let Some(outputs) = cached {
            return Ok(outputs);
        }
        let outputs = self.run_layers(layers, pass.clone(), cancel)?;
        for (image, output) in images.iter().zip(&outputs) {
            image.store(&pass, output);
        }
        Ok(outputs)
    }

    /// Runs a pass for some layers. The order in which they are given does not change the session.
    fn run_layers(
        &self,
        layers: &[&Layer],
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&index| &layers[index].tensor);
        let tensors = order.iter().map(|&index| layers[index].tensor.clone()).collect();
        let outputs = self.run_worker(Some(ProgramKey::Whole(tensors)), pass.into(), cancel)?;
        let mut outputs: Vec<(usize, PassOutput)> = order.into_iter().zip(outputs).collect();
        outputs.sort_by_key(|(index, _)| *index);
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }

    /// Runs a plain forward pass: the default layer's program without gradients.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn forward(&self, input: Array4<f32>, cancel: &CancellationToken) -> Result<PassOutput> {
        self.run(self.default_layer(), PassRequest::new(input), cancel)
    }

    /// Runs a plain forward pass in the default layer's session, bypassing the cache.
    pub(super) fn forward_uncached(
        &self,
        input: Array4<f32>,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        self.run_program(None, PassRequest::new(input).into(), cancel)
    }

    /// The graph and what is known about it.
    #[must_use]
    pub fn analysed(&self) -> &AnalysedModel {
        &self.analysed
    }

    /// The side inputs of the tail after a layer, or why it cannot run on its own.
    pub(super) fn tail_side_inputs(
        &self,
        layer: &Layer,
    ) -> std::result::Result<Vec<SideInput>, String> {
        side_inputs(&self.analysed, layer)
    }

    /// Runs a program with one layer; without a key, the default layer's program.
    pub(super) fn run_program(
        &self,
        key: Option<ProgramKey>,
        inputs: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        single(self.run_worker(key, inputs, cancel)?)
    }

    fn run_worker(
        &self,
        key: Option<ProgramKey>,
        inputs: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let images = inputs.images();
        let is_tail = matches!(key, Some(ProgramKey::Tail(_)));
        let default_layer = &self.default_layer().tensor;
        // A batch keeps all threads busy.
        let takes_part = images == 1 && self.side_sessions.serves(key.as_ref(), default_layer);
        let turn = self.turns.take(cancel, takes_part)?;
        let began = Instant::now();
        let outputs = match turn.share() {
            Share::All => self.worker.run(key, inputs, cancel)?,
            Share::Part(part) => self.side_sessions.run(part, &inputs, cancel)?,
        };
        let (elapsed, share) = (began.elapsed(), turn.share());
        drop(turn);
        // Batches of long requests, which these times serve to choose, have all threads.
        if share == Share::All {
            if !is_tail {
                self.pass_time.add(elapsed / images);
            }
            if cancel.class() == JobClass::Short {
                self.turns.note_short_pass(elapsed);
            }
        }
        // Weights that changed while the pass read them have given nonsense.
        self.compiler.check_files()?;
        outputs.into_iter().map(|output| self.checked_finite(output)).collect()
    }

    /// The cache entry of an image's plain forward pass.
    pub(super) fn cached_image(&self, input: &Array4<f32>) -> Option<CachedImage<'_>> {
        self.cache.image(&self.cache_key, &self.default_layer().tensor, input)
    }

    fn checked_finite(&self, output: PassOutput) -> Result<PassOutput> {
        if output.scores.iter().chain(&output.probabilities).all(|value| value.is_finite()) {
            return Ok(output);
        }
        let detail = format!(
            "model '{}' gives NaN or infinity for this image, so there is nothing to explain",
            self.id()
        );
        Err(Error::new(Kind::NotANumber, detail))
    }
}

/// The output of a program with one layer.
fn single(outputs: Vec<PassOutput>) -> Result<PassOutput> {
    let first = outputs.into_iter().next();
    first.ok_or_else(|| Error::internal("running the model", "a program without layers"))
}

#[cfg(test)]
mod tests;
