//! The programs of a model: written when a session of one is first needed.

use crate::engine::optimize::{self, FusionReport, TargetCpu};
use crate::error::{Error, Result};
use crate::graph::explain_graph;
use crate::graph::head::ClassifierHead;
use crate::graph::layers::Layer;
use crate::graph::prepared::PreparedModel;
use crate::graph::tail::Tail;
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::passes::qdq;
use onnx_gradient::proto::ModelProto;
use onnx_gradient::quantized;

use super::session::CompiledProgram;
use super::worker::ProgramKey;

/// All that programs are written from.
pub(super) struct ProgramCompiler {
    pub(super) file: OnnxFile,
    pub(super) prepared: PreparedModel,
    pub(super) shapes: TensorFacts,
    pub(super) score: ClassifierHead,
    pub(super) layers: Vec<Layer>,
    /// What decides what camlens's own operators compute faster than the runtime, if they may.
    pub(super) fast: Option<TargetCpu>,
}

impl ProgramCompiler {
    /// What stands behind a layer, or why that can't be run by itself.
    pub(super) fn tail(&self, layer: &Layer) -> Result<Tail, String> {
        Tail::new(&self.prepared, &self.shapes, &self.score, layer)
    }

    /// Layers of which one has no gradient still have activations, which is all that some methods
    /// need.
    fn write(&self, prepared: &PreparedModel, layers: &[&Layer]) -> ModelProto {
        explain_graph::explain(prepared, &self.shapes, &self.score, layers)
            .unwrap_or_else(|_| explain_graph::forward(prepared, &self.shapes, &self.score, layers))
    }

    /// What camlens's own operators compute of a layer's program.
    pub(super) fn fused(&self, layer: &Layer) -> FusionReport {
        self.fast.map_or_else(FusionReport::default, |machine| {
            optimize::optimize(&mut self.write(&self.prepared, &[layer]), machine)
        })
    }

    fn layer(&self, tensor: &str) -> Result<&Layer> {
        let layer = self.layers.iter().find(|known| known.tensor == tensor);
        layer.ok_or_else(|| fault(format!("there is no layer '{tensor}'")))
    }

    /// Writes a program.
    pub(super) fn compile(&self, key: &ProgramKey) -> Result<CompiledProgram> {
        let mut side_inputs: Vec<String> = Vec::new();
        let mut inputs = vec![self.prepared.input.name.clone()];
        let (mut model, layers) = match key {
            ProgramKey::Whole(tensors) => {
                let layers =
                    tensors.iter().map(|tensor| self.layer(tensor)).collect::<Result<Vec<_>>>()?;
                (self.write(&self.prepared, &layers), layers)
            }
            ProgramKey::Head(tensor) => {
                let layer = self.layer(tensor)?;
                side_inputs = self
                    .tail(layer)
                    .map_err(fault)?
                    .side_inputs
                    .into_iter()
                    .map(|(_, it)| it)
                    .collect();
                (
                    explain_graph::carrying(self.write(&self.prepared, &[layer]), &side_inputs),
                    vec![layer],
                )
            }
            ProgramKey::Tail(tensor) => {
                let layer = self.layer(tensor)?;
                let tail = self.tail(layer).map_err(fault)?;
                inputs = std::iter::once(tail.layer.tensor.clone())
                    .chain(tail.side_inputs.iter().map(|(name, _)| name.clone()))
                    .collect();
                (self.write(&tail.prepared, &[&tail.layer]), vec![layer])
            }
        };
        model.graph.iter_mut().for_each(qdq::fold_round_trips);
        if let Some(machine) = self.fast {
            let fused = optimize::optimize(&mut model, machine);
            tracing::debug!(?key, ?fused, "what the runtime need not compute");
        }
        let places = layers.iter().enumerate();
        let activations = places
            .map(|(place, layer)| explain_graph::activation(&self.shapes, layer, place))
            .collect();
        let in_integers = model.graph.as_ref().is_some_and(quantized::has_integer_ops);
        Ok(CompiledProgram {
            model: self.file.reference_weights(model),
            inputs,
            activations,
            side_inputs,
            in_integers,
        })
    }
}

fn fault(what: String) -> Error {
    Error::internal("writing a program", what)
}
