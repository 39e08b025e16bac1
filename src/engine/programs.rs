//! The programs of a model: written when a session of one is first needed.

use crate::error::{Error, Result};
use crate::graph::fast::{self, Fused, Machine};
use crate::graph::file::OnnxFile;
use crate::graph::layers::Layer;
use crate::graph::prepare::{Prepared, frames};
use crate::graph::probe::Shapes;
use crate::graph::program;
use crate::graph::proto::ModelProto;
use crate::graph::quantized;
use crate::graph::score::Score;
use crate::graph::tail::Tail;

use super::session::Compiled;
use super::worker::Key;

/// All that programs are written from.
pub(super) struct Programs {
    pub(super) file: OnnxFile,
    pub(super) prepared: Prepared,
    pub(super) shapes: Shapes,
    pub(super) score: Score,
    pub(super) layers: Vec<Layer>,
    /// What decides what camlens's own operators compute faster than the runtime, if they may.
    pub(super) fast: Option<Machine>,
}

impl Programs {
    /// What stands behind a layer, or why that can't be run by itself.
    pub(super) fn tail(&self, layer: &Layer) -> Result<Tail, String> {
        Tail::new(&self.prepared, &self.shapes, &self.score, layer)
    }

    /// Layers of which one has no gradient still have activations, which is all that some methods
    /// need.
    fn write(&self, prepared: &Prepared, layers: &[&Layer]) -> ModelProto {
        program::explain(prepared, &self.shapes, &self.score, layers)
            .unwrap_or_else(|_| program::forward(prepared, &self.shapes, &self.score, layers))
    }

    /// What camlens's own operators compute of a layer's program.
    pub(super) fn fused(&self, layer: &Layer) -> Fused {
        self.fast.map_or_else(Fused::default, |machine| {
            fast::fuse(&mut self.write(&self.prepared, &[layer]), machine)
        })
    }

    fn layer(&self, tensor: &str) -> Result<&Layer> {
        let layer = self.layers.iter().find(|known| known.tensor == tensor);
        layer.ok_or_else(|| fault(format!("there is no layer '{tensor}'")))
    }

    /// Writes a program.
    pub(super) fn compile(&self, key: &Key) -> Result<Compiled> {
        let mut carried: Vec<String> = Vec::new();
        let mut inputs = vec![self.prepared.input.name.clone()];
        let (mut model, layers) = match key {
            Key::Whole(tensors) => {
                let layers =
                    tensors.iter().map(|tensor| self.layer(tensor)).collect::<Result<Vec<_>>>()?;
                (self.write(&self.prepared, &layers), layers)
            }
            Key::Head(tensor) => {
                let layer = self.layer(tensor)?;
                carried = self
                    .tail(layer)
                    .map_err(fault)?
                    .carried
                    .into_iter()
                    .map(|(_, it)| it)
                    .collect();
                (program::carrying(self.write(&self.prepared, &[layer]), &carried), vec![layer])
            }
            Key::Tail(tensor) => {
                let layer = self.layer(tensor)?;
                let tail = self.tail(layer).map_err(fault)?;
                inputs = std::iter::once(tail.layer.tensor.clone())
                    .chain(tail.carried.iter().map(|(name, _)| name.clone()))
                    .collect();
                (self.write(&tail.prepared, &[&tail.layer]), vec![layer])
            }
        };
        model.graph.iter_mut().for_each(frames::close);
        if let Some(machine) = self.fast {
            let fused = fast::fuse(&mut model, machine);
            tracing::debug!(?key, ?fused, "what the runtime need not compute");
        }
        let places = layers.iter().enumerate();
        let activations =
            places.map(|(place, layer)| program::activation(&self.shapes, layer, place)).collect();
        let in_integers = model.graph.as_ref().is_some_and(quantized::is_in);
        Ok(Compiled {
            model: self.file.reference_weights(model),
            inputs,
            activations,
            carried,
            in_integers,
        })
    }
}

fn fault(what: String) -> Error {
    Error::internal("writing a program", what)
}
