//! From a model file to a graph that camlens can work on.
//!
//! Exporters agree on what a network computes and on little else. Here their
//! dialects become one: functions are written out, constants are initializers and initializers are
//! no inputs, the opset is recent enough for the gradient rules, the batch dimension
//! is free. Nothing that the graph computes changes.

mod batch;
pub(crate) mod ends;
pub(crate) mod frames;

use std::collections::HashSet;

use super::probe::Shapes;
use super::proto::{AttributeProto, GraphProto, ModelProto, TensorProto, attribute_type};
use super::{fused, inline, upgrade};
use crate::error::Result;

/// The one image input of a classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the graph.
    pub name: String,
    /// Its four sizes; `None` where the model leaves one free.
    pub sizes: [Option<i64>; 4],
    /// Whether the file's own input is of bytes, pixels as they are.
    pub takes_bytes: bool,
}

/// A model in the one dialect that the rest of the crate reads.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The model; large weights still are windows into the file.
    pub model: ModelProto,
    /// The image input.
    pub input: Input,
    /// Why no gradient can be built for this model at all, if so.
    pub obstacle: Option<String>,
    /// Whether the model was rewritten in a way that has to be proven.
    pub is_rewritten: bool,
}

impl Prepared {
    /// Reads a model into the common dialect.
    ///
    /// # Errors
    /// [`crate::error::Kind::Setup`] when the model does not take just one batch of images.
    pub fn new(original: &ModelProto) -> Result<Self> {
        let mut model = original.clone();
        inline::inline(&mut model);
        let graph = model.graph.get_or_insert_default();
        constants_to_initializers(graph);
        ends::arrange(graph);
        copies_are_constants(graph);
        let input = ends::image_input(graph, original.graph.as_ref())?;
        batch::free_at_the_ends(graph);
        Ok(Self { model, input, obstacle: None, is_rewritten: false })
    }

    /// The same model in an opset and in operators that the gradient rules speak, or as it is with
    /// the reason why not.
    #[must_use]
    pub fn upgraded(self) -> Self {
        let mut model = self.model.clone();
        let before = upgrade::opset(&model);
        match upgrade::upgrade(&mut model) {
            Ok(()) => {
                let written_out = fused::write_out(&mut model);
                // Branches that were written out brought theirs.
                model.graph.iter_mut().for_each(constants_to_initializers);
                let framed = model.graph.as_mut().is_some_and(frames::frame);
                let is_rewritten = written_out || framed || before != upgrade::opset(&model);
                Self { model, is_rewritten, ..self }
            }
            Err(reason) => Self { obstacle: Some(reason), ..self },
        }
    }

    /// The same model with the batch of 1 that its exporter wrote into it let go, if it did;
    /// whether the model then computes batches has to be proven. `shapes` are those of a single
    /// image.
    #[must_use]
    pub fn with_free_batch(&self, shapes: &Shapes) -> Option<Self> {
        let mut model = self.model.clone();
        let graph = model.graph.as_mut().filter(|_| self.obstacle.is_none())?;
        batch::free_inside(graph, &self.input.name, shapes).then_some(Self {
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

fn constants_to_initializers(graph: &mut GraphProto) {
    let (constants, nodes) =
        std::mem::take(&mut graph.node).into_iter().partition(|node| node.is("Constant"));
    graph.node = nodes;
    for node in constants {
        let name = node.output.first().cloned().unwrap_or_default();
        match node.attribute.first().and_then(|attribute| constant(attribute, &name)) {
            Some(tensor) => graph.initializer.push(tensor),
            // Strings and sparse tensors: they have no inputs, so they may come first.
            None => graph.node.insert(0, node),
        }
    }
}

/// Exporters that store equal weights once give the others as `Identity` of it. A constant's copy
/// is a constant: it shares the bytes, and everybody sees that it does not depend on the image.
fn copies_are_constants(graph: &mut GraphProto) {
    let outputs: HashSet<String> =
        graph.output.iter().map(|output| output.name().to_owned()).collect();
    for node in std::mem::take(&mut graph.node) {
        let copy = node.output.first().filter(|output| !outputs.contains(*output));
        let original = node.input_name(0).filter(|_| node.is("Identity"));
        let tensor =
            original.and_then(|name| graph.initializer.iter().find(|tensor| tensor.name() == name));
        match (tensor.cloned(), copy) {
            (Some(tensor), Some(copy)) => {
                graph.initializer.push(TensorProto { name: Some(copy.clone()), ..tensor });
            }
            _ => graph.node.push(node),
        }
    }
}

fn constant(attribute: &AttributeProto, name: &str) -> Option<TensorProto> {
    match (attribute.name(), attribute.r#type()) {
        ("value", _) => Some(TensorProto { name: Some(name.to_owned()), ..attribute.t.clone()? }),
        ("value_int", _) => Some(TensorProto::int64(name, &[], &[attribute.i()])),
        ("value_ints", _) => {
            Some(TensorProto::int64(name, &[attribute.ints.len() as i64], &attribute.ints))
        }
        ("value_float", attribute_type::FLOAT) => {
            Some(TensorProto::float32(name, &[], &[attribute.f()]))
        }
        ("value_floats", _) => {
            Some(TensorProto::float32(name, &[attribute.floats.len() as i64], &attribute.floats))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::{NodeProto, ValueInfoProto};

    #[test]
    fn a_copy_of_a_constant_is_a_constant() {
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("Identity", &["b1"], &["b2"]),
                NodeProto::new("Identity", &["b2"], &["b3"]),
                NodeProto::new("Add", &["x", "b3"], &["y"]),
                NodeProto::new("Identity", &["b1"], &["told"]),
            ],
            initializer: vec![TensorProto::float32("b1", &[1], &[2.0])],
            output: vec![ValueInfoProto::untyped("y"), ValueInfoProto::untyped("told")],
            ..Default::default()
        };
        copies_are_constants(&mut graph);
        let ops: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Add", "Identity"]);
        let names: Vec<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        assert_eq!(names, ["b1", "b2", "b3"]);
        assert_eq!(graph.initializer[2].to_float32s(), Some(vec![2.0]));
    }
}
