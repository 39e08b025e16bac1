//! [`GraphIndex`]: which node produces a tensor, and which nodes consume it.

use std::collections::{HashMap, HashSet};

use crate::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// An index over the nodes and initializers of one graph, which it borrows.
#[derive(Debug)]
pub struct GraphIndex<'g> {
    /// The indexed graph.
    pub graph: &'g GraphProto,
    producer: HashMap<&'g str, usize>,
    readers: HashMap<&'g str, Vec<usize>>,
    constants: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> GraphIndex<'g> {
    /// Indexes a graph. Nodes are in topological order, as ONNX requires, so positions order them.
    #[must_use]
    pub fn new(graph: &'g GraphProto) -> Self {
        let mut producer = HashMap::new();
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                producer.insert(output.as_str(), index);
            }
            for input in reads(node) {
                readers.entry(input).or_default().push(index);
            }
        }
        let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        Self { graph, producer, readers, constants }
    }

    /// The node that produces a tensor; `None` for graph inputs and initializers.
    #[must_use]
    pub fn producer(&self, tensor: &str) -> Option<&'g NodeProto> {
        self.producer.get(tensor).map(|&index| &self.graph.node[index])
    }

    /// The position of the node that produces a tensor.
    #[must_use]
    pub fn position(&self, tensor: &str) -> Option<usize> {
        self.producer.get(tensor).copied()
    }

    /// The nodes that read a tensor, in order. A node that reads it twice is listed twice.
    pub fn consumers(&self, tensor: &str) -> impl ExactSizeIterator<Item = &'g NodeProto> {
        self.consumer_positions(tensor).map(|index| &self.graph.node[index])
    }

    /// The positions of the nodes in [`GraphIndex::consumers`].
    pub fn consumer_positions(&self, tensor: &str) -> impl ExactSizeIterator<Item = usize> {
        self.readers.get(tensor).map_or(&[] as &[usize], Vec::as_slice).iter().copied()
    }

    /// True for an output of the graph.
    #[must_use]
    pub fn is_output(&self, tensor: &str) -> bool {
        self.graph.output.iter().any(|output| output.name() == tensor)
    }

    /// The only node that reads a tensor; `None` when there are several, or when the tensor is also
    /// an output of the graph.
    #[must_use]
    pub fn sole_consumer(&self, tensor: &str) -> Option<&'g NodeProto> {
        let mut readers = self.consumers(tensor);
        let only = readers.next().filter(|_| readers.next().is_none())?;
        (!self.is_output(tensor)).then_some(only)
    }

    /// The initializer of this name.
    #[must_use]
    pub fn constant(&self, tensor: &str) -> Option<&'g TensorProto> {
        self.constants.get(tensor).copied()
    }

    /// True when the graph has a tensor of this name.
    #[must_use]
    pub fn has(&self, tensor: &str) -> bool {
        self.producer.contains_key(tensor)
            || self.constants.contains_key(tensor)
            || self.graph.input.iter().any(|input| input.name() == tensor)
    }

    /// The name of a computed tensor, borrowed from the graph.
    #[must_use]
    pub fn own_name(&self, tensor: &str) -> Option<&'g str> {
        self.producer.get_key_value(tensor).map(|(name, _)| *name)
    }

    /// Every tensor that depends on `tensor`, itself included. A dependency through a node for
    /// which `stops` returns true does not count.
    #[must_use]
    pub fn downstream(
        &self,
        tensor: &'g str,
        stops: impl Fn(&NodeProto) -> bool,
    ) -> HashSet<&'g str> {
        let mut found = HashSet::from([tensor]);
        let from = self.position(tensor).map_or(0, |position| position + 1);
        for node in &self.graph.node[from..] {
            if !stops(node) && reads(node).any(|input| found.contains(input)) {
                found
                    .extend(node.output.iter().map(String::as_str).filter(|name| !name.is_empty()));
            }
        }
        found
    }

    /// Every tensor that `tensor` depends on, itself included.
    #[must_use]
    pub fn upstream(&self, tensor: &'g str) -> HashSet<&'g str> {
        let mut found = HashSet::from([tensor]);
        let until = self.position(tensor).map_or(0, |position| position + 1);
        for node in self.graph.node[..until].iter().rev() {
            if node.output.iter().any(|output| found.contains(output.as_str())) {
                found.extend(reads(node));
            }
        }
        found
    }
}

/// The names of the tensors that a node reads: its inputs, and the outer tensors that the
/// sub-graphs in its attributes capture.
pub fn reads(node: &NodeProto) -> impl Iterator<Item = &str> {
    let graphs =
        node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    let captured = graphs.flat_map(captures);
    node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured)
}

/// The first name in a graph and its sub-graphs for which `is_match` holds: of a node, of a tensor
/// that is written, or of an input or output. Passes ask it whether the names that they would add
/// are free.
pub fn find_name<'g>(graph: &'g GraphProto, is_match: &dyn Fn(&str) -> bool) -> Option<&'g str> {
    let values = graph.input.iter().chain(&graph.output).map(ValueInfoProto::name);
    let constants = graph.initializer.iter().map(TensorProto::name);
    let sparse = graph.sparse_initializer.iter().filter_map(|tensor| tensor.values.as_ref());
    let nodes = graph.node.iter();
    let written =
        nodes.flat_map(|node| node.output.iter().map(String::as_str).chain([node.name()]));
    let mut names = values.chain(constants).chain(sparse.map(TensorProto::name)).chain(written);
    names.find(|name| is_match(name)).or_else(|| {
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        let mut graphs =
            attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        graphs.find_map(|graph| find_name(graph, is_match))
    })
}

/// The names of all tensors of a graph that are read: by a node, or as an output of the graph.
pub fn read_names(graph: &GraphProto) -> HashSet<String> {
    let outputs = graph.output.iter().map(|output| output.name());
    graph.node.iter().flat_map(reads).chain(outputs).map(str::to_owned).collect()
}

/// The names that a sub-graph reads but does not define.
fn captures(graph: &GraphProto) -> Vec<&str> {
    let own: HashSet<&str> = (graph.input.iter().map(|input| input.name()))
        .chain(graph.initializer.iter().map(|tensor| tensor.name()))
        .chain(graph.node.iter().flat_map(|node| &node.output).map(String::as_str))
        .collect();
    let inner = graph.node.iter().flat_map(reads);
    inner
        .chain(graph.output.iter().map(|output| output.name()))
        .filter(|name| !own.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttributeProto, ValueInfoProto};

    fn diamond() -> GraphProto {
        GraphProto {
            node: vec![
                NodeProto::new("Relu", &["x"], &["a"]),
                NodeProto::new("Exp", &["a"], &["b"]),
                NodeProto::new("Neg", &["a"], &["c"]),
                NodeProto::new("Add", &["b", "c"], &["y"]),
            ],
            output: vec![ValueInfoProto::untyped("y")],
            ..Default::default()
        }
    }

    #[test]
    fn downstream_and_upstream_follow_the_edges() {
        let graph = diamond();
        let graph_index = GraphIndex::new(&graph);
        assert_eq!(graph_index.downstream("b", |_| false), HashSet::from(["b", "y"]));
        assert_eq!(graph_index.upstream("b"), HashSet::from(["b", "a", "x"]));
        assert_eq!(graph_index.consumers("a").len(), 2);
        assert!(graph_index.sole_consumer("a").is_none());
        assert_eq!(graph_index.sole_consumer("b").map(NodeProto::op), Some("Add"));
    }

    #[test]
    fn a_stopping_node_ends_the_walk_downstream() {
        let graph = diamond();
        let found = GraphIndex::new(&graph).downstream("a", |node| node.op() == "Exp");
        assert_eq!(found, HashSet::from(["a", "c", "y"]));
    }

    #[test]
    fn a_node_reads_the_tensors_that_its_sub_graph_captures() {
        let branch = GraphProto {
            node: vec![NodeProto::new("Identity", &["a"], &["inside"])],
            output: vec![ValueInfoProto::untyped("inside")],
            ..Default::default()
        };
        let mut graph = diamond();
        graph.node.push(
            NodeProto::new("If", &["condition"], &["z"])
                .with(AttributeProto::graph("then_branch", branch)),
        );
        let graph_index = GraphIndex::new(&graph);
        assert!(graph_index.downstream("a", |_| false).contains("z"));
        assert!(!graph_index.downstream("b", |_| false).contains("z"));
    }
}
