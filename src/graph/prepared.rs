//! From a model file to a graph in one dialect.
//!
//! Exporters agree on what a network computes and on little else. [`PreparedModel::new`] inlines
//! functions, turns constants into initializers and initializers that are also inputs into plain
//! ones, leaves out dropout, and frees the batch dimension of inputs and outputs.
//! [`PreparedModel::upgraded`] brings the opset and the operators to those that can be
//! differentiated. The graph computes the same.

use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::find_name;
use onnx_gradient::passes::constants::{constants_to_initializers, fold_identities};
use onnx_gradient::passes::{
    decompose, free_batch, inline_functions, io_types, opset_upgrade, qdq,
};
use onnx_gradient::proto::{GraphProto, ModelProto};

use super::image_input::{ImageInput, image_input};
use super::training_mode::{VaryingNode, remove_training_dropout, varying_nodes};
use crate::error::{Error, Kind, Result};
use crate::text::shortened;

/// Names of tensors that graph passes add start with this, and no name of a file does.
pub(crate) const SCOPE: &str = "camlens/";

/// The end of the names that [`io_types::normalize`] makes with that scope.
pub(crate) const INSIDE: &str = "/camlens/inside";

/// A model in the dialect that the rest of the crate reads.
#[derive(Clone, Debug)]
pub struct PreparedModel {
    /// The model; large weights are still windows into the mapped file.
    pub model: ModelProto,
    /// The image input.
    pub input: ImageInput,
    /// Why no layer of this model can have a gradient, if none can.
    pub unsupported_reason: Option<String>,
    /// Whether the model was rewritten in a way whose soundness only a run can confirm.
    pub is_rewritten: bool,
    /// The nodes of the file that are random or in training mode and that what is read of the model
    /// depends on: any output, or once the head is known, the scores.
    pub varying_nodes: Vec<VaryingNode>,
}

impl PreparedModel {
    /// Brings a model into the common dialect.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the model's only input is not a batch of images, or for a node or a
    /// tensor with a name of camlens's own.
    pub fn new(original: &ModelProto) -> Result<Self> {
        check_names(original)?;
        let mut model = original.clone();
        inline_functions::inline(&mut model);
        let graph = model.graph.get_or_insert_default();
        constants_to_initializers(graph);
        io_types::normalize(graph, SCOPE);
        fold_identities(graph);
        let varying_nodes = varying_nodes(graph);
        remove_training_dropout(graph);
        let input = image_input(graph, original.graph.as_ref())?;
        free_batch::free_io(graph);
        Ok(Self { model, input, unsupported_reason: None, is_rewritten: false, varying_nodes })
    }

    /// The same model in an opset and in operators that can be differentiated, or unchanged with
    /// the reason why that is impossible.
    #[must_use]
    pub fn upgraded(&self) -> Self {
        let mut model = self.model.clone();
        let before = opset_upgrade::opset(&model);
        match opset_upgrade::upgrade(&mut model, SCOPE) {
            Ok(()) => {
                let is_decomposed = decompose::decompose(&mut model);
                // Inlined branches bring constants of their own.
                model.graph.iter_mut().for_each(constants_to_initializers);
                let is_framed = model.graph.as_mut().is_some_and(qdq::expose_floats);
                let is_rewritten =
                    is_decomposed || is_framed || before != opset_upgrade::opset(&model);
                Self { model, unsupported_reason: None, is_rewritten, ..self.clone() }
            }
            Err(reason) => Self { unsupported_reason: Some(reason.to_string()), ..self.clone() },
        }
    }

    /// The same model without the batch size that its exporter wrote into shapes; `None` if there
    /// is none. Only a run can confirm that the result computes batches. `facts` are those of a
    /// batch of this size, which is 1 in most files.
    #[must_use]
    pub fn with_free_batch(&self, facts: &TensorFacts) -> Option<Self> {
        let mut model = self.model.clone();
        let graph = model.graph.as_mut().filter(|_| self.unsupported_reason.is_none())?;
        free_batch::free_interior(graph, &self.input.name, facts, SCOPE).then_some(Self {
            model,
            is_rewritten: true,
            ..self.clone()
        })
    }

    /// The number of images that the file takes at once, where it fixes another one than 1.
    #[must_use]
    pub fn fixed_batch(&self) -> Option<usize> {
        usize::try_from(self.input.sizes[0]?).ok().filter(|&images| images > 1)
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.model
            .graph
            .as_ref()
            .unwrap_or_else(|| unreachable!("decode() refuses a model without a graph"))
    }
}

/// Checks that no name of a file is one that a pass could add. Of two tensors of one name, one
/// would take the place of the other.
fn check_names(model: &ModelProto) -> Result<()> {
    let is_own = |name: &str| name.starts_with(SCOPE) || name.ends_with(INSIDE);
    let Some(name) = model.graph.as_ref().and_then(|graph| find_name(graph, &is_own)) else {
        return Ok(());
    };
    let detail = format!(
        "the model has a node or a tensor '{}'; such names are \
         camlens's own, so rename it",
        shortened(name)
    );
    Err(Error::new(Kind::Setup, detail))
}
