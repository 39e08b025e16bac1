//! Writing the steps of one fused node: unique names, constants of the right type, and
//! the output that takes the fused node's name.

use std::collections::HashMap;

use crate::dtype::element_types;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type};

/// What is known of a graph's tensors before it is run.
pub(super) struct Known {
    /// The boolean constants; of several values in one, the first.
    truths: HashMap<String, bool>,
    types: HashMap<String, i32>,
}

impl Known {
    pub(super) fn of(graph: &GraphProto) -> Self {
        let truths =
            graph.initializer.iter().filter(|tensor| tensor.data_type() == data_type::BOOL);
        let first = |tensor: &TensorProto| match tensor.raw_data.as_deref() {
            Some(raw) => raw.first().map(|&byte| byte != 0),
            None => tensor.int32_data.first().map(|&value| value != 0),
        };
        let truths =
            truths.filter_map(|tensor| Some((tensor.name().to_owned(), first(tensor)?))).collect();
        Self { truths, types: element_types(graph) }
    }
}

/// The steps of one node. Every method that writes a node or a constant returns the name of what it
/// makes.
pub(super) struct Steps<'n> {
    /// The fused node.
    pub(super) node: &'n NodeProto,
    known: &'n Known,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl<'n> Steps<'n> {
    pub(super) fn new(node: &'n NodeProto, known: &'n Known) -> Self {
        Self { node, known, nodes: Vec::new(), constants: Vec::new() }
    }

    /// The nodes and the constants that they read.
    pub(super) fn written(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.constants)
    }

    /// A name that no other tensor has.
    pub(super) fn fresh(&self) -> String {
        let own = self.node.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        format!("{own}/written_out/{}", self.nodes.len() + self.constants.len())
    }

    /// Takes a node as it is.
    pub(super) fn push(&mut self, node: NodeProto) {
        self.nodes.push(node);
    }

    /// Takes a constant as it is.
    pub(super) fn push_constant(&mut self, constant: TensorProto) {
        self.constants.push(constant);
    }

    /// Writes a node without attributes.
    pub(super) fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, Vec::new())
    }

    /// Writes a node with attributes.
    pub(super) fn with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh();
        self.nodes.push(NodeProto { attribute, ..NodeProto::new(op, inputs, &[&output]) });
        output
    }

    /// A number of 32 bits.
    pub(super) fn float(&mut self, value: f32) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::float32(&name, &[], &[value]));
        name
    }

    /// A number of the type that tensor `like` has.
    pub(super) fn number(&mut self, value: f32, like: &str) -> String {
        let single = self.float(value);
        self.op("CastLike", &[&single, like])
    }

    /// A vector of integers, as shapes and axes are given.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::int64(&name, &[values.len() as i64], values));
        name
    }

    /// The name of the fused node's input `index`; `None` when it is left out.
    pub(super) fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input_name(index)
    }

    /// The element type of a tensor of the graph; `None` when it can't be followed.
    pub(super) fn element_type(&self, tensor: &str) -> Option<i32> {
        self.known.types.get(tensor).copied()
    }

    /// The value of a boolean constant; `None` when the tensor is none.
    pub(super) fn truth(&self, tensor: &str) -> Option<bool> {
        self.known.truths.get(tensor).copied()
    }

    /// True when the node makes outputs besides those of these numbers.
    pub(super) fn makes_others(&self, known: &[usize]) -> bool {
        self.node
            .output
            .iter()
            .enumerate()
            .any(|(index, name)| !name.is_empty() && !known.contains(&index))
    }

    /// The fused node's attributes of these names.
    pub(super) fn kept(&self, names: &[&str]) -> Vec<AttributeProto> {
        names.iter().filter_map(|name| self.node.attribute(name).cloned()).collect()
    }

    /// The result takes the name of the node's output.
    pub(super) fn finish(&mut self, output: usize, tensor: &str) -> Option<()> {
        let name = self.node.output.get(output).filter(|name| !name.is_empty())?;
        let mut last = NodeProto::new("Identity", &[tensor], &[name]);
        // Layers and messages go by the name that the fused node has.
        if output == 0 {
            last.name.clone_from(&self.node.name);
            last.metadata_props.clone_from(&self.node.metadata_props);
        }
        self.nodes.push(last);
        Some(())
    }
}
