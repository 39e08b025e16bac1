//! Asking the runtime how large every tensor is.
//!
//! Instead of inferring shapes a second time beside ONNX Runtime, camlens lets it
//! run the model once with a `Shape` node behind every tensor. Only those short
//! vectors leave the graph, so the probe holds no activation longer than the
//! forward pass does. Axes and pads that an exporter left to be computed from
//! constants are read off the same run.

use std::collections::{HashMap, HashSet};

use crate::dtype::is_short_float;
use crate::index::GraphIndex;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};

/// Constants of more numbers than this are weights, not axes or pads.
const SMALL: i64 = 1024;

/// The sizes of tensors by name, as measured with one batch size.
#[derive(Clone, Debug, Default)]
pub struct TensorFacts {
    sizes: HashMap<String, Vec<i64>>,
    values: HashMap<String, Vec<i64>>,
    types: HashMap<String, i32>,
}

impl TensorFacts {
    /// The sizes of a tensor; `None` when it was not measured.
    #[must_use]
    pub fn get(&self, tensor: &str) -> Option<&[i64]> {
        self.sizes.get(tensor).map(Vec::as_slice)
    }

    /// The integers of a small tensor that does not depend on the image, though the graph computes
    /// it.
    #[must_use]
    pub fn value(&self, tensor: &str) -> Option<&[i64]> {
        self.values.get(tensor).map(Vec::as_slice)
    }

    /// The integers of a tensor that does not depend on the image: of a constant, or of what the
    /// graph makes of such.
    #[must_use]
    pub fn known_int64s(&self, graph_index: &GraphIndex<'_>, tensor: &str) -> Option<Vec<i64>> {
        let constant = graph_index.constant(tensor).and_then(TensorProto::to_int64s);
        constant.or_else(|| self.value(tensor).map(<[i64]>::to_vec))
    }

    /// The element type of a tensor; 32-bit floats where it is unknown.
    #[must_use]
    pub fn element_type(&self, tensor: &str) -> i32 {
        self.types.get(tensor).copied().unwrap_or(data_type::FLOAT)
    }

    /// Whether anything is computed in floats of fewer than 32 bits.
    #[must_use]
    pub fn has_short_floats(&self) -> bool {
        self.types.values().copied().any(is_short_float)
    }

    /// The same shapes with the element types of these tensors.
    #[must_use]
    pub fn with_types(self, types: HashMap<String, i32>) -> Self {
        Self { types, ..self }
    }

    /// The same shapes with the values of such tensors.
    #[must_use]
    pub fn with_values(self, values: impl IntoIterator<Item = (String, Vec<i64>)>) -> Self {
        Self { values: values.into_iter().collect(), ..self }
    }
}

impl FromIterator<(String, Vec<i64>)> for TensorFacts {
    fn from_iter<T: IntoIterator<Item = (String, Vec<i64>)>>(iter: T) -> Self {
        Self { sizes: iter.into_iter().collect(), ..Self::default() }
    }
}

/// Operators whose outputs are no tensors, so that they have no `Shape`.
fn makes_tensors(node: &NodeProto) -> bool {
    !node.op().starts_with("Sequence")
        && !node.op().starts_with("Optional")
        && !matches!(
            node.op(),
            "SplitToSequence" | "If" | "Loop" | "Scan" | "SequenceMap" | "StringSplit" | "ZipMap"
        )
}

/// The model with a `Shape` behind every tensor, and how to read what it gives.
#[derive(Debug)]
pub struct ShapeProbe {
    /// The model; its own outputs come first, unchanged.
    pub model: ModelProto,
    /// Outputs that are shapes, each with the tensor that it speaks of.
    pub shapes: HashMap<String, String>,
    /// Outputs that are small constants which the graph computes.
    pub values: HashSet<String>,
}

/// Writes the probe of a model.
#[must_use]
pub fn shape_probe(model: &ModelProto, input: &str) -> ShapeProbe {
    let mut model = model.clone();
    let graph = model.graph.get_or_insert_default();
    let values = computed_constants(graph);
    let tensors: Vec<String> = (graph.node.iter().filter(|node| makes_tensors(node)))
        .flat_map(|node| &node.output)
        .filter(|name| !name.is_empty())
        .cloned()
        .chain([input.to_owned()])
        .collect();
    let mut shapes = HashMap::new();
    // ONNX Runtime begins with what stands last. The other way round every tensor would be kept to
    // the end.
    for (index, tensor) in tensors.into_iter().enumerate().rev() {
        let output = format!("camlens/shape/{index}");
        graph.node.push(NodeProto::new("Shape", &[&tensor], &[&output]));
        graph.output.push(ValueInfoProto::untyped(&output));
        shapes.insert(output, tensor);
    }
    graph.output.extend(values.iter().map(|name| ValueInfoProto::untyped(name)));
    ShapeProbe { model, shapes, values }
}

/// Tensors that nodes make of small constants alone.
fn computed_constants(graph: &GraphProto) -> HashSet<String> {
    let is_small = |tensor: &&TensorProto| tensor.dims.iter().product::<i64>() <= SMALL;
    let mut known: HashSet<&str> =
        graph.initializer.iter().filter(is_small).map(|tensor| tensor.name()).collect();
    let mut computed = HashSet::new();
    for node in graph.node.iter().filter(|node| makes_tensors(node) && !node.input.is_empty()) {
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

/// The shapes of the constants, which need no run.
pub fn constant_shapes(graph: &GraphProto) -> impl Iterator<Item = (String, Vec<i64>)> {
    graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.dims.clone()))
}
