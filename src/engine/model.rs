//! One loaded model: its properties, and the passes that it runs.

mod kernel_memory;
mod load;
mod passes;
mod warnings;

use std::sync::Arc;

use super::cache::Cache;
use super::compiler::{ProgramCompiler, ProgramKey};
use super::recent_mean::RecentMean;
use super::side_sessions::SideSessions;
use super::turns::{InWork, JobClass, Turns};
use super::worker::Worker;
use crate::engine::optimize::FusionReport;
use crate::error::{Error, Kind, Result};
use crate::graph::analysed::{AnalysedModel, UnknownLayer};
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;
use crate::graph::tail::{SideInput, side_inputs};
use crate::model::onnx_file::OnnxFile;
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
    threads: usize,
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

    /// Announces a request, before its image is decoded: while several are in work, passes of small
    /// models run side by side. It is in work until the guard is dropped.
    #[must_use]
    pub fn begin(&self, class: JobClass) -> InWork {
        self.turns.begin(class)
    }

    /// How many threads compute a pass.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
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

    /// The model's file and those of its external data.
    #[must_use]
    pub fn file(&self) -> &OnnxFile {
        &self.compiler.file
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
}

#[cfg(test)]
mod tests;
