//! Compiles a model's programs: the graphs that sessions run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::engine::optimize::{self, FusionReport, TargetCpu};
use crate::error::{Error, Kind, Result};
use crate::graph::analysed::AnalysedModel;
use crate::graph::explain_graph;
use crate::graph::layers::Layer;
use crate::graph::tail::{SideInput, side_inputs, tail};
use crate::graph::unused;
use crate::model::held_file::Change;
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::passes::qdq;
use onnx_gradient::proto::ModelProto;
use onnx_gradient::quantized;

use super::session::CompiledProgram;

/// Identifies a program of a model. Each has a session of its own. Layers are named by tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProgramKey {
    /// The whole model, with the activations and gradients of some layers.
    Whole(Vec<String>),
    /// The whole model for one layer, with the side inputs of the layer's tail as outputs.
    Head(String),
    /// The part of the model after a layer.
    Tail(String),
}

/// Compiles programs of one model. A program is compiled when its session is first needed.
pub(super) struct ProgramCompiler {
    pub(super) file: OnnxFile,
    pub(super) analysed: Arc<AnalysedModel>,
    /// What the custom operators are chosen for; `None` when they are switched off.
    pub(super) target_cpu: Option<TargetCpu>,
    /// What the log says already: 1 that a file was replaced, 2 that one was overwritten.
    pub(super) told_change: AtomicU8,
}

impl ProgramCompiler {
    /// What the custom operators replace in a layer's program.
    pub(super) fn fusion_report(&self, layer: &Layer) -> FusionReport {
        self.target_cpu.map_or_else(FusionReport::default, |target_cpu| {
            optimize::optimize(&mut explain_or_forward(&self.analysed, &[layer]), target_cpu)
        })
    }

    /// Checks that the weights in memory are still those that were loaded. A file that was
    /// replaced is told in the log, once: the model is served on as it was.
    ///
    /// # Errors
    /// [`Kind::ModelFailed`] when a mapped file was written to.
    pub(super) fn check_files(&self) -> Result<()> {
        match self.file.change() {
            None => Ok(()),
            Some((path, Change::Replaced)) => {
                if self.told_change.fetch_max(1, Ordering::Relaxed) < 1 {
                    tracing::warn!(
                        file = %path.display(),
                        "the file was replaced; the model that was loaded is served until a reload"
                    );
                }
                Ok(())
            }
            Some((path, Change::Overwritten)) => {
                let detail = "the model's file was overwritten while it was served, and what was \
                              loaded is gone; reload the models, and replace files by renaming";
                if self.told_change.fetch_max(2, Ordering::Relaxed) < 2 {
                    tracing::error!(file = %path.display(), "{detail}");
                }
                Err(Error::new(Kind::ModelFailed, detail))
            }
        }
    }

    /// Compiles a program.
    pub(super) fn compile(&self, key: &ProgramKey) -> Result<CompiledProgram> {
        let analysed = &*self.analysed;
        let image = || vec![analysed.prepared.input.name.clone()];
        let UncompiledProgram { mut model, inputs, layers, side_outputs } = match key {
            ProgramKey::Whole(tensors) => {
                let layers =
                    tensors.iter().map(|tensor| self.layer(tensor)).collect::<Result<Vec<_>>>()?;
                let model = explain_or_forward(analysed, &layers);
                UncompiledProgram { model, inputs: image(), layers, side_outputs: Vec::new() }
            }
            ProgramKey::Head(tensor) => {
                let layer = self.layer(tensor)?;
                let side_inputs = side_inputs(analysed, layer).map_err(fault)?;
                let side_outputs: Vec<String> =
                    side_inputs.into_iter().map(|input| input.tensor).collect();
                let program = explain_or_forward(analysed, &[layer]);
                let model = explain_graph::with_outputs(program, &side_outputs);
                UncompiledProgram { model, inputs: image(), layers: vec![layer], side_outputs }
            }
            ProgramKey::Tail(tensor) => {
                let layer = self.layer(tensor)?;
                let (tail, side_inputs) = tail(analysed, layer).map_err(fault)?;
                let names = side_inputs.into_iter().map(|SideInput { name, .. }| name);
                let inputs = [tail.prepared.input.name.clone()].into_iter().chain(names).collect();
                let tail_layers: Vec<&Layer> = tail.layers.iter().collect();
                let model = explain_or_forward(&tail, &tail_layers);
                UncompiledProgram { model, inputs, layers: vec![layer], side_outputs: Vec::new() }
            }
        };
        model.graph.iter_mut().for_each(qdq::fold_round_trips);
        if let Some(target_cpu) = self.target_cpu {
            let fused = optimize::optimize(&mut model, target_cpu);
            tracing::debug!(?key, ?fused, "custom operators in a program");
        }
        // ONNX Runtime rejects a model that is given the values of a weight which it has removed.
        model.graph.iter_mut().for_each(unused::remove);
        let activations = (layers.iter().enumerate())
            .map(|(index, layer)| explain_graph::activation_output(&analysed.facts, layer, index))
            .collect();
        let has_integer_operators = model.graph.as_ref().is_some_and(quantized::has_integer_ops);
        Ok(CompiledProgram {
            model: self.file.encode(model),
            inputs,
            activations,
            side_outputs,
            has_integer_operators,
        })
    }

    fn layer(&self, tensor: &str) -> Result<&Layer> {
        let layer = self.analysed.layer(tensor);
        layer.ok_or_else(|| fault(format!("there is no layer '{tensor}'")))
    }
}

/// A program before optimisation.
struct UncompiledProgram<'a> {
    model: ModelProto,
    inputs: Vec<String>,
    layers: Vec<&'a Layer>,
    /// Tensors of the graph that are outputs for a tail.
    side_outputs: Vec<String>,
}

/// The program with gradients, or the plain forward pass where a layer has none: some methods need
/// activations alone.
fn explain_or_forward(analysed: &AnalysedModel, layers: &[&Layer]) -> ModelProto {
    explain_graph::explain(analysed, layers)
        .unwrap_or_else(|_| explain_graph::forward(analysed, layers))
}

fn fault(reason: String) -> Error {
    Error::internal("compiling a program", reason)
}
