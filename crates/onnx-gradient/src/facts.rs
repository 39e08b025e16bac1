//! What is known about the tensors of a graph: shapes, element types, small constant values.
//!
//! Some vjps need shapes: the axes that a broadcast added, the padding of a convolution. This crate
//! does not infer shapes. There are two sources instead:
//!
//! - [`TensorFacts::from_model`] reads the shapes that the model itself declares. It suffices when
//!   the model went through ONNX shape inference and all sizes are static.
//! - [`shape_probe`] writes a model whose additional outputs are the shapes of all tensors. Run it
//!   once, with any runtime and any valid input, and give the results to [`ShapeProbe::facts`].
//!   Only shapes leave the graph, so the run holds no more activations than a forward pass.

use std::collections::{HashMap, HashSet};

use crate::dtype::{element_types, is_short_float};
use crate::index::GraphIndex;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};

/// Constants with more elements than this are weights, not axes or pads.
const MAX_CONSTANT_ELEMENTS: i64 = 1024;

/// Prefix of the outputs that [`shape_probe`] adds.
const PROBE_PREFIX: &str = "onnx_gradient/shape/";

/// Shapes, element types and constant integer values of tensors, by name.
///
/// A shape holds for one batch size. Gradient graphs work for every batch size nevertheless: vjps
/// read the size of the first axis at run time.
#[derive(Clone, Debug, Default)]
pub struct TensorFacts {
    shapes: HashMap<String, Vec<i64>>,
    values: HashMap<String, Vec<i64>>,
    types: HashMap<String, i32>,
}

impl TensorFacts {
    /// The facts that a model declares: shapes of its inputs, outputs, `value_info` and
    /// initializers, and the element types that follow from them.
    ///
    /// A shape with a symbolic or missing size is unknown. The first size is the exception: it is
    /// taken for the batch and counts as 2, so that broadcasting from 1 to the batch is recognised.
    #[must_use]
    pub fn from_model(model: &ModelProto) -> Self {
        let Some(graph) = &model.graph else { return Self::default() };
        let declared = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        declared
            .filter_map(|value| Some((value.name().to_owned(), static_shape(value)?)))
            .chain(constant_shapes(graph))
            .collect::<Self>()
            .with_types(element_types(graph))
    }

    /// The shape of a tensor; `None` when it is unknown.
    #[must_use]
    pub fn get(&self, tensor: &str) -> Option<&[i64]> {
        self.shapes.get(tensor).map(Vec::as_slice)
    }

    /// The values of a small integer tensor that the graph computes from constants alone.
    #[must_use]
    pub fn value(&self, tensor: &str) -> Option<&[i64]> {
        self.values.get(tensor).map(Vec::as_slice)
    }

    /// The values of an integer tensor that does not depend on the model's inputs: an initializer,
    /// or a tensor that is computed from initializers alone.
    #[must_use]
    pub fn known_int64s(&self, graph_index: &GraphIndex<'_>, tensor: &str) -> Option<Vec<i64>> {
        let constant = graph_index.constant(tensor).and_then(TensorProto::to_int64s);
        constant.or_else(|| self.value(tensor).map(<[i64]>::to_vec))
    }

    /// The element type of a tensor; [`data_type::FLOAT`] where it is unknown.
    #[must_use]
    pub fn element_type(&self, tensor: &str) -> i32 {
        self.types.get(tensor).copied().unwrap_or(data_type::FLOAT)
    }

    /// The tensors of 16-bit floats.
    pub fn short_float_tensors(&self) -> impl Iterator<Item = &str> {
        let short = self.types.iter().filter(|(_, element)| is_short_float(**element));
        short.map(|(tensor, _)| tensor.as_str())
    }

    /// True when a tensor has 16-bit floats.
    #[must_use]
    pub fn has_short_floats(&self) -> bool {
        self.short_float_tensors().next().is_some()
    }

    /// Replaces the element types; see [`element_types`].
    #[must_use]
    pub fn with_types(self, types: HashMap<String, i32>) -> Self {
        Self { types, ..self }
    }

    /// Records a tensor that was added to the graph: it has the shape of the tensor `shape` and the
    /// element type of the tensor `element`, as far as those are known.
    pub fn add_like(&mut self, tensor: &str, shape: &str, element: &str) {
        if let Some(sizes) = self.shapes.get(shape).cloned() {
            self.shapes.insert(tensor.to_owned(), sizes);
        }
        if let Some(&element) = self.types.get(element) {
            self.types.insert(tensor.to_owned(), element);
        }
    }

    /// Replaces the constant values.
    #[must_use]
    pub fn with_values(self, values: impl IntoIterator<Item = (String, Vec<i64>)>) -> Self {
        Self { values: values.into_iter().collect(), ..self }
    }
}

/// Collects shapes by tensor name.
impl FromIterator<(String, Vec<i64>)> for TensorFacts {
    fn from_iter<T: IntoIterator<Item = (String, Vec<i64>)>>(iter: T) -> Self {
        Self { shapes: iter.into_iter().collect(), ..Self::default() }
    }
}

/// The shape that a value declares, if all sizes but the first are static.
fn static_shape(value: &ValueInfoProto) -> Option<Vec<i64>> {
    let (_, sizes) = value.tensor()?;
    sizes
        .into_iter()
        .enumerate()
        .map(|(axis, size)| size.or(if axis == 0 { Some(2) } else { None }))
        .collect()
}

/// A model that reports the shapes of all its tensors, see [`shape_probe`].
#[derive(Debug)]
pub struct ShapeProbe {
    /// The model; its own outputs come first, unchanged. All added outputs are int64.
    pub model: ModelProto,
    /// The added outputs that are shapes, each with the tensor whose shape it is.
    pub shapes: HashMap<String, String>,
    /// The added outputs that are small tensors which the graph computes from constants.
    pub values: HashSet<String>,
}

impl ShapeProbe {
    /// The facts of the probed model, from the int64 outputs of one run of [`Self::model`]; other
    /// outputs may be left out.
    #[must_use]
    pub fn facts(&self, outputs: impl IntoIterator<Item = (String, Vec<i64>)>) -> TensorFacts {
        let (mut shapes, mut values) = (Vec::new(), Vec::new());
        for (name, integers) in outputs {
            if let Some(tensor) = self.shapes.get(&name) {
                shapes.push((tensor.clone(), integers));
            } else if self.values.contains(&name) {
                values.push((name, integers));
            }
        }
        let Some(graph) = &self.model.graph else { return TensorFacts::default() };
        let shapes = shapes.into_iter().chain(constant_shapes(graph));
        shapes.collect::<TensorFacts>().with_values(values).with_types(element_types(graph))
    }
}

/// Writes the model that reports the shapes of the tensors of `model`, including `input`.
///
/// Probe the model that will be differentiated, that is the one that [`crate::prepare`] returned:
/// it has tensors that the original does not have.
#[must_use]
pub fn shape_probe(model: &ModelProto, input: &str) -> ShapeProbe {
    let mut model = model.clone();
    let graph = model.graph.get_or_insert_default();
    let values = computed_constants(graph);
    let tensors: Vec<String> = (graph.node.iter().filter(|node| has_tensor_outputs(node)))
        .flat_map(|node| &node.output)
        .filter(|name| !name.is_empty())
        .cloned()
        .chain([input.to_owned()])
        .collect();
    let mut shapes = HashMap::new();
    // In reverse, because ONNX Runtime runs the last of several ready nodes first: in forward order
    // it would keep every tensor alive to the end.
    for (index, tensor) in tensors.into_iter().enumerate().rev() {
        let output = format!("{PROBE_PREFIX}{index}");
        graph.node.push(NodeProto::new("Shape", &[&tensor], &[&output]));
        graph.output.push(ValueInfoProto::untyped(&output));
        shapes.insert(output, tensor);
    }
    graph.output.extend(values.iter().map(|name| ValueInfoProto::untyped(name)));
    ShapeProbe { model, shapes, values }
}

/// False for operators whose outputs may be sequences, optionals or maps, which have no `Shape`.
fn has_tensor_outputs(node: &NodeProto) -> bool {
    !node.op().starts_with("Sequence")
        && !node.op().starts_with("Optional")
        && !matches!(
            node.op(),
            "SplitToSequence" | "If" | "Loop" | "Scan" | "SequenceMap" | "StringSplit" | "ZipMap"
        )
}

/// The tensors that nodes compute from small constants alone.
fn computed_constants(graph: &GraphProto) -> HashSet<String> {
    let is_small =
        |tensor: &&TensorProto| tensor.dims.iter().product::<i64>() <= MAX_CONSTANT_ELEMENTS;
    let mut known: HashSet<&str> =
        graph.initializer.iter().filter(is_small).map(|tensor| tensor.name()).collect();
    let mut computed = HashSet::new();
    let nodes = graph.node.iter().filter(|node| has_tensor_outputs(node));
    for node in nodes.filter(|node| !node.input.is_empty()) {
        if node.input.iter().all(|input| input.is_empty() || known.contains(input.as_str())) {
            known.extend(node.output.iter().map(String::as_str));
            computed.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    for output in &graph.output {
        computed.remove(output.name());
    }
    computed
}

/// The shapes of the initializers.
pub fn constant_shapes(graph: &GraphProto) -> impl Iterator<Item = (String, Vec<i64>)> {
    graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.dims.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelProto {
        let graph = GraphProto {
            node: vec![
                NodeProto::new("Add", &["two", "two"], &["four"]),
                NodeProto::new("Reshape", &["x", "four"], &["y"]),
            ],
            initializer: vec![TensorProto::int64("two", &[1], &[2])],
            ..Default::default()
        };
        ModelProto { graph: Some(graph), ..Default::default() }
    }

    #[test]
    fn declared_shapes_are_facts_where_all_sizes_but_the_batch_are_static() {
        let mut model = model();
        let graph = model.graph.get_or_insert_default();
        graph.input = vec![
            ValueInfoProto::float32("x", &[None, Some(4)]),
            ValueInfoProto::float32("free", &[Some(1), None]),
        ];
        let facts = TensorFacts::from_model(&model);
        assert_eq!(facts.get("x"), Some(&[2, 4][..]));
        assert_eq!((facts.get("free"), facts.get("y")), (None, None));
    }

    #[test]
    fn outputs_of_a_probe_become_shapes_and_constant_values() {
        let probe = shape_probe(&model(), "x");
        let output = |tensor: &str| {
            probe.shapes.iter().find(|(_, of)| *of == tensor).map(|(output, _)| output.clone())
        };
        let [y, x] = ["y", "x"].map(|tensor| output(tensor).unwrap());
        let facts = probe.facts([(y, vec![4]), (x, vec![2, 2]), ("four".into(), vec![4])]);
        assert_eq!(facts.get("y"), Some(&[4][..]));
        assert_eq!(facts.get("x"), Some(&[2, 2][..]));
        assert_eq!(facts.get("two"), Some(&[1][..]));
        assert_eq!(facts.value("four"), Some(&[4][..]));
        assert_eq!(facts.element_type("two"), data_type::INT64);
    }
}
