//! From a model file to a graph that camlens can work on.
//!
//! Exporters agree on what a network computes and on little else. Here their
//! dialects become one: functions are written out, constants are initializers and initializers are
//! no inputs, the opset is recent enough for the gradient rules, the batch dimension
//! is free. Nothing that the graph computes changes.

use onnx_gradient::facts::TensorFacts;
use onnx_gradient::passes::constants::{constants_to_initializers, fold_identities};
use onnx_gradient::passes::{
    decompose, free_batch, inline_functions, io_types, opset_upgrade, qdq,
};
use onnx_gradient::proto::{GraphProto, ModelProto};

use super::image_input::{ImageInput, image_input};
use crate::error::Result;

/// Names of the tensors that graph passes add start with this.
pub(crate) const SCOPE: &str = "camlens/";

/// A model in the one dialect that the rest of the crate reads.
#[derive(Clone, Debug)]
pub struct PreparedModel {
    /// The model; large weights still are windows into the file.
    pub model: ModelProto,
    /// The image input.
    pub input: ImageInput,
    /// Why no gradient can be built for this model at all, if so.
    pub unsupported_reason: Option<String>,
    /// Whether the model was rewritten in a way that has to be proven.
    pub is_rewritten: bool,
}

impl PreparedModel {
    /// Reads a model into the common dialect.
    ///
    /// # Errors
    /// [`crate::error::Kind::Setup`] when the model does not take just one batch of images.
    pub fn new(original: &ModelProto) -> Result<Self> {
        let mut model = original.clone();
        inline_functions::inline(&mut model);
        let graph = model.graph.get_or_insert_default();
        constants_to_initializers(graph);
        io_types::normalize(graph, SCOPE);
        fold_identities(graph);
        let input = image_input(graph, original.graph.as_ref())?;
        free_batch::free_io(graph);
        Ok(Self { model, input, unsupported_reason: None, is_rewritten: false })
    }

    /// The same model in an opset and in operators that the gradient rules speak, or as it is with
    /// the reason why not.
    #[must_use]
    pub fn upgraded(self) -> Self {
        let mut model = self.model.clone();
        let before = opset_upgrade::opset(&model);
        match opset_upgrade::upgrade(&mut model, SCOPE) {
            Ok(()) => {
                let decomposed = decompose::decompose(&mut model);
                // Branches that were written out brought theirs.
                model.graph.iter_mut().for_each(constants_to_initializers);
                let framed = model.graph.as_mut().is_some_and(qdq::expose_floats);
                let is_rewritten = decomposed || framed || before != opset_upgrade::opset(&model);
                Self { model, is_rewritten, ..self }
            }
            Err(reason) => Self { unsupported_reason: Some(reason.to_string()), ..self },
        }
    }

    /// The same model with the batch of 1 that its exporter wrote into it let go, if it did;
    /// whether the model then computes batches has to be proven. `shapes` are those of a single
    /// image.
    #[must_use]
    pub fn with_free_batch(&self, shapes: &TensorFacts) -> Option<Self> {
        let mut model = self.model.clone();
        let graph = model.graph.as_mut().filter(|_| self.unsupported_reason.is_none())?;
        free_batch::free_interior(graph, &self.input.name, shapes, SCOPE).then_some(Self {
            model,
            is_rewritten: true,
            ..self.clone()
        })
    }

    /// The graph itself.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.model
            .graph
            .as_ref()
            .unwrap_or_else(|| unreachable!("decode() refuses a model without a graph"))
    }
}
