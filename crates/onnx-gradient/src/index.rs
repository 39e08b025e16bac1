//! Who makes a tensor and who reads it: an index over the nodes of a graph.

use std::collections::{HashMap, HashSet};

use crate::proto::{GraphProto, NodeProto, TensorProto};

/// An index over one graph; it borrows the graph and never changes it.
#[derive(Debug)]
pub struct GraphIndex<'g> {
    /// The graph that is indexed.
    pub graph: &'g GraphProto,
    producer: HashMap<&'g str, usize>,
    readers: HashMap<&'g str, Vec<usize>>,
    constants: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> GraphIndex<'g> {
    /// Indexes a graph. ONNX demands that nodes stand in topological order, so positions order
    /// them.
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

    /// The node that makes a tensor; `None` for inputs and constants.
    #[must_use]
    pub fn producer(&self, tensor: &str) -> Option<&'g NodeProto> {
        self.producer.get(tensor).map(|&index| &self.graph.node[index])
    }

    /// The position of the node that makes a tensor.
    #[must_use]
    pub fn position(&self, tensor: &str) -> Option<usize> {
        self.producer.get(tensor).copied()
    }

    /// The nodes that read a tensor, in order; a node that reads it twice stands here twice.
    pub fn consumers(&self, tensor: &str) -> impl ExactSizeIterator<Item = &'g NodeProto> {
        self.consumer_positions(tensor).map(|index| &self.graph.node[index])
    }

    /// The positions of the nodes that read a tensor, as [`GraphIndex::readers`] has them.
    pub fn consumer_positions(&self, tensor: &str) -> impl ExactSizeIterator<Item = usize> {
        self.readers.get(tensor).map_or(&[] as &[usize], Vec::as_slice).iter().copied()
    }

    /// True for an output of the graph.
    #[must_use]
    pub fn is_output(&self, tensor: &str) -> bool {
        self.graph.output.iter().any(|output| output.name() == tensor)
    }

    /// The one node that reads a tensor, when there is just one and the tensor is no output of the
    /// graph.
    #[must_use]
    pub fn sole_consumer(&self, tensor: &str) -> Option<&'g NodeProto> {
        let mut readers = self.consumers(tensor);
        let only = readers.next().filter(|_| readers.next().is_none())?;
        (!self.is_output(tensor)).then_some(only)
    }

    /// The constant of this name.
    #[must_use]
    pub fn constant(&self, tensor: &str) -> Option<&'g TensorProto> {
        self.constants.get(tensor).copied()
    }

    /// True when the graph knows the tensor at all.
    #[must_use]
    pub fn has(&self, tensor: &str) -> bool {
        self.producer.contains_key(tensor)
            || self.constants.contains_key(tensor)
            || self.graph.input.iter().any(|input| input.name() == tensor)
    }

    /// The graph's own copy of a computed tensor's name.
    #[must_use]
    pub fn own_name(&self, tensor: &str) -> Option<&'g str> {
        self.producer.get_key_value(tensor).map(|(name, _)| *name)
    }

    /// Every tensor whose value depends on `tensor`, itself included. Nodes that `cuts` says yes to
    /// pass nothing on.
    #[must_use]
    pub fn downstream(
        &self,
        tensor: &'g str,
        cuts: impl Fn(&NodeProto) -> bool,
    ) -> HashSet<&'g str> {
        let mut found = HashSet::from([tensor]);
        let from = self.position(tensor).map_or(0, |position| position + 1);
        for node in &self.graph.node[from..] {
            if !cuts(node) && reads(node).any(|input| found.contains(input)) {
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

/// What a node reads: its inputs, and what the sub-graphs in its attributes take from outside.
pub fn reads(node: &NodeProto) -> impl Iterator<Item = &str> {
    let graphs =
        node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    let captured = graphs.flat_map(captures);
    node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured)
}

/// The names of all tensors of a graph that somebody reads: a node, or whoever asks for its
/// outputs.
pub fn read_names(graph: &GraphProto) -> HashSet<String> {
    let outputs = graph.output.iter().map(|output| output.name());
    graph.node.iter().flat_map(reads).chain(outputs).map(str::to_owned).collect()
}

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
    fn dependents_and_ancestors_follow_the_edges() {
        let graph = diamond();
        let graph_index = GraphIndex::new(&graph);
        assert_eq!(graph_index.downstream("b", |_| false), HashSet::from(["b", "y"]));
        assert_eq!(graph_index.upstream("b"), HashSet::from(["b", "a", "x"]));
        assert_eq!(graph_index.consumers("a").len(), 2);
        assert!(graph_index.sole_consumer("a").is_none());
        assert_eq!(graph_index.sole_consumer("b").map(NodeProto::op), Some("Add"));
    }

    #[test]
    fn a_node_that_cuts_passes_nothing_on() {
        let graph = diamond();
        let found = GraphIndex::new(&graph).downstream("a", |node| node.op() == "Exp");
        assert_eq!(found, HashSet::from(["a", "c", "y"]));
    }

    #[test]
    fn a_sub_graph_reads_what_it_captures() {
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
