//! The node that is decomposed, and what is known about the tensors that it reads.

use std::collections::HashMap;

use crate::builder::GraphBuilder;
use crate::dtype::element_types;
use crate::proto::{GraphProto, NodeProto, TensorProto, data_type};

/// What a graph says about its tensors without being run.
pub(super) struct StaticFacts {
    /// Boolean initializers, by their first element.
    booleans: HashMap<String, bool>,
    types: HashMap<String, i32>,
}

impl StaticFacts {
    pub(super) fn new(graph: &GraphProto) -> Self {
        let booleans =
            graph.initializer.iter().filter(|tensor| tensor.data_type() == data_type::BOOL);
        let first = |tensor: &TensorProto| match tensor.raw_data.as_deref() {
            Some(raw) => raw.first().map(|&byte| byte != 0),
            None => tensor.int32_data.first().map(|&value| value != 0),
        };
        let booleans = booleans
            .filter_map(|tensor| Some((tensor.name().to_owned(), first(tensor)?)))
            .collect();
        Self { booleans, types: element_types(graph) }
    }
}

/// A node to decompose.
pub(super) struct FusedNode<'n> {
    pub(super) node: &'n NodeProto,
    facts: &'n StaticFacts,
}

impl<'n> FusedNode<'n> {
    pub(super) fn new(node: &'n NodeProto, facts: &'n StaticFacts) -> Self {
        Self { node, facts }
    }

    /// A builder for the node's steps, whose names start with that of the node's first output.
    pub(super) fn builder(&self) -> GraphBuilder {
        let output = self.node.output.iter().find(|name| !name.is_empty());
        GraphBuilder::new(format!("{}/written_out/", output.map_or("", String::as_str)))
    }

    /// The name of input `index`; `None` when it is omitted.
    pub(super) fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input_name(index)
    }

    /// The element type of a tensor of the graph; `None` when it is unknown.
    pub(super) fn element_type(&self, tensor: &str) -> Option<i32> {
        self.facts.types.get(tensor).copied()
    }

    /// The value of a boolean initializer; `None` for other tensors.
    pub(super) fn boolean(&self, tensor: &str) -> Option<bool> {
        self.facts.booleans.get(tensor).copied()
    }

    /// True when the node has outputs besides those at `indices`.
    pub(super) fn has_outputs_besides(&self, indices: &[usize]) -> bool {
        self.node
            .output
            .iter()
            .enumerate()
            .any(|(index, name)| !name.is_empty() && !indices.contains(&index))
    }

    /// Makes `tensor` output `index` of the node, under the output's own name. `None` when the node
    /// has no such output.
    pub(super) fn set_output(
        &self,
        builder: &mut GraphBuilder,
        index: usize,
        tensor: &str,
    ) -> Option<()> {
        let name = self.node.output.get(index).filter(|name| !name.is_empty())?;
        let mut identity = NodeProto::new("Identity", &[tensor], &[name]);
        // Users know the result by the name of the fused node.
        if index == 0 {
            identity.name.clone_from(&self.node.name);
            identity.metadata_props.clone_from(&self.node.metadata_props);
        }
        builder.nodes.push(identity);
        Some(())
    }
}
