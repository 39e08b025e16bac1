//! From a model file to a graph that camlens can work on.
//!
//! Exporters agree on what a network computes and on little else. Here their
//! dialects become one: functions are written out, constants are initializers and initializers are no
//! inputs, the opset is recent enough for the gradient rules, the batch dimension
//! is free. Nothing that the graph computes changes.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue,
    ValueInfoProto, attribute_type, data_type,
};
use super::{fused, inline, upgrade};
use crate::error::{Error, Kind, Result};

/// The one image input of a classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the graph.
    pub name: String,
    /// Its four sizes; `None` where the model leaves one free.
    pub sizes: [Option<i64>; 4],
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
    /// [`Kind::Setup`] when the model does not take just one batch of images of floats.
    pub fn new(original: &ModelProto) -> Result<Self> {
        let mut model = original.clone();
        inline::inline(&mut model);
        let graph = model.graph.get_or_insert_default();
        constants_to_initializers(graph);
        initializers_are_no_inputs(graph);
        copies_are_constants(graph);
        outputs_are_tensors(graph);
        single_precision_at_the_ends(graph);
        let input = image_input(graph)?;
        free_batch(graph);
        Ok(Self { model, input, obstacle: None, is_rewritten: false })
    }

    /// The same model in an opset and in operators that the gradient rules speak, or as it is with the reason why not.
    #[must_use]
    pub fn upgraded(self) -> Self {
        let mut model = self.model.clone();
        let before = upgrade::opset(&model);
        match upgrade::upgrade(&mut model) {
            Ok(()) => {
                let written_out = fused::write_out(&mut model);
                // Branches that were written out brought theirs.
                model.graph.iter_mut().for_each(constants_to_initializers);
                let is_rewritten = written_out || before != upgrade::opset(&model);
                Self { model, is_rewritten, ..self }
            }
            Err(reason) => Self { obstacle: Some(reason), ..self },
        }
    }

    /// The graph itself.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().unwrap_or_else(|| unreachable!("decode() refuses a model without a graph"))
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

/// Exporters that store equal weights once give the others as `Identity` of it. A constant's copy is a
/// constant: it shares the bytes, and everybody sees that it does not depend on the image.
fn copies_are_constants(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    for node in std::mem::take(&mut graph.node) {
        let copy = node.output.first().filter(|output| !outputs.contains(*output));
        let original = node.input_name(0).filter(|_| node.is("Identity"));
        let tensor = original.and_then(|name| graph.initializer.iter().find(|tensor| tensor.name() == name));
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
        ("value_ints", _) => Some(TensorProto::int64(name, &[attribute.ints.len() as i64], &attribute.ints)),
        ("value_float", attribute_type::FLOAT) => Some(TensorProto::float32(name, &[], &[attribute.f()])),
        ("value_floats", _) => {
            Some(TensorProto::float32(name, &[attribute.floats.len() as i64], &attribute.floats))
        }
        _ => None,
    }
}

/// Before IR version 4 every weight had to be listed as an input, which keeps the runtime from folding it.
pub(crate) fn initializers_are_no_inputs(graph: &mut GraphProto) {
    let initializers: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.retain(|input| !initializers.contains(input.name()));
}

/// What is handed out as a sequence or as a map from class to score is handed out as the tensors in it.
pub(crate) fn outputs_are_tensors(graph: &mut GraphProto) {
    let outputs = std::mem::take(&mut graph.output);
    for output in outputs {
        let node = graph.node.iter().find(|node| node.output.iter().any(|name| name == output.name()));
        match node.filter(|node| matches!(node.op(), "SequenceConstruct" | "ZipMap" | "Optional")) {
            Some(node) => graph.output.extend(node.input.iter().map(|name| ValueInfoProto::untyped(name))),
            None => graph.output.push(output),
        }
    }
}

/// Images come and scores go as 32-bit floats, whatever the model computes in: casts stand at its ends.
pub(crate) fn single_precision_at_the_ends(graph: &mut GraphProto) {
    const OTHER_FLOATS: [i32; 3] = [data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE];
    let other = |value: &ValueInfoProto| {
        value.tensor().map(|(element, _)| element).filter(|element| OTHER_FLOATS.contains(element))
    };
    let cast = |from: &str, to: &str, element: i32| {
        NodeProto::new("Cast", &[from], &[to]).with(AttributeProto::int("to", element.into()))
    };
    let inside = |name: &str| format!("{name}/camlens/inside");
    let inputs: Vec<(String, i32)> =
        graph.input.iter().filter_map(|input| Some((input.name().to_owned(), other(input)?))).collect();
    for (name, element) in inputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), false);
        }
        graph.node.insert(0, cast(&name, &inside(&name), element));
    }
    let outputs: Vec<String> = (graph.output.iter().filter(|output| other(output).is_some()))
        .map(|output| output.name().to_owned())
        .filter(|name| graph.node.iter().any(|node| node.output.contains(name)))
        .collect();
    for name in outputs {
        for node in &mut graph.node {
            rename(node, &name, &inside(&name), true);
        }
        graph.node.push(cast(&inside(&name), &name, data_type::FLOAT));
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(TypeValue::Tensor(tensor)) =
            value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && OTHER_FLOATS.contains(&tensor.elem_type())
        {
            tensor.elem_type = Some(data_type::FLOAT);
        }
    }
}

/// Gives a tensor another name in a node that reads it, or with `outputs` makes it; also in its sub-graphs.
fn rename(node: &mut NodeProto, from: &str, to: &str, outputs: bool) {
    let made = node.output.iter_mut().filter(|_| outputs);
    for name in node.input.iter_mut().chain(made).filter(|name| *name == from) {
        to.clone_into(name);
    }
    for attribute in &mut node.attribute {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for node in &mut graph.node {
                rename(node, from, to, false);
            }
            for output in graph.output.iter_mut().filter(|output| output.name() == from) {
                output.name = Some(to.to_owned());
            }
        }
    }
}

fn image_input(graph: &GraphProto) -> Result<Input> {
    let setup = |what: String| Err(Error::new(Kind::Setup, what));
    let [input] = graph.input.as_slice() else {
        let names: Vec<_> = graph.input.iter().map(ValueInfoProto::name).collect();
        return setup(format!(
            "a classifier takes one image, this model takes {}: {}",
            names.len(),
            names.join(", ")
        ));
    };
    let name = input.name().to_owned();
    match input.tensor() {
        Some((data_type::FLOAT, sizes)) => match <[Option<i64>; 4]>::try_from(sizes) {
            Ok(sizes) => Ok(Input { name, sizes }),
            Err(sizes) => setup(format!("input '{name}' has {} dimensions, images have 4", sizes.len())),
        },
        Some((other, _)) => setup(format!("input '{name}' has element type {other}, which is no float")),
        None => setup(format!("input '{name}' has no shape")),
    }
}

/// Exports with a batch of 1 often compute every batch; the engine proves it before it relies on it.
fn free_batch(graph: &mut GraphProto) {
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(TypeValue::Tensor(tensor)) =
            value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && let Some(first) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
        {
            *first = Dimension {
                value: Some(DimensionValue::Name("N".into())),
                denotation: first.denotation.take(),
            };
        }
    }
    // Shapes noted inside would contradict the freed one; the runtime infers them anew.
    graph.value_info.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::NodeProto;

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
