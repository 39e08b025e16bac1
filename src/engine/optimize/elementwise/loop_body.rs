//! Which nodes of a body are elementwise arithmetic, and which of them make a group.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use camlens_kernels::Op;

use crate::engine::optimize::depthwise;
use onnx_gradient::dtype;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto, data_type};

/// What a node does, in terms of a step.
pub(crate) struct Meaning {
    pub(crate) op: Op,
    pub(crate) operands: Vec<String>,
    /// A tensor to whose shape the result is broadcast.
    pub(crate) like: Option<String>,
}

/// The nodes of a body, as far as groups are made of them.
pub(crate) struct Body<'g> {
    graph_index: GraphIndex<'g>,
    /// What each of them does, if it can be a step.
    pub(crate) meanings: Vec<Option<Meaning>>,
    /// Whether its result is true or false.
    pub(crate) is_condition: Vec<bool>,
}

impl<'g> Body<'g> {
    /// Reads a body; `outside` are the types of the tensors around it.
    pub(crate) fn new(body: &'g GraphProto, outside: &HashMap<String, i32>) -> Self {
        let types = dtype::element_types_within(body, outside);
        let is_condition = (body.node.iter())
            .map(|node| {
                node.output.first().and_then(|output| types.get(output)) == Some(&data_type::BOOL)
            })
            .collect();
        let mut found = Self {
            graph_index: GraphIndex::new(body),
            meanings: Vec::with_capacity(body.node.len()),
            is_condition,
        };
        for node in &body.node {
            let meaning = found.meaning(node, &types);
            found.meanings.push(meaning);
        }
        found
    }

    /// What a node does, if it can be a step. Conditions are numbers inside a group, so one that
    /// comes from elsewhere can't be read.
    fn meaning(&self, node: &NodeProto, types: &HashMap<String, i32>) -> Option<Meaning> {
        let op = node.op();
        let (operation, order): (Op, &[usize]) = match op {
            _ if !node.is_standard() || node.output.len() != 1 => return None,
            "Identity" | "Expand" => (Op::Identity, &[0]),
            "Cast" if node.int("to", 0) == i64::from(data_type::FLOAT) => (Op::Identity, &[0]),
            "Add" => (Op::Add, &[0, 1]),
            "Sub" => (Op::Sub, &[0, 1]),
            "Mul" => (Op::Mul, &[0, 1]),
            "Div" => (Op::Div, &[0, 1]),
            "Neg" => (Op::Neg, &[0]),
            "Abs" => (Op::Abs, &[0]),
            "Sqrt" => (Op::Sqrt, &[0]),
            "Reciprocal" => (Op::Reciprocal, &[0]),
            "Exp" => (Op::Exp, &[0]),
            "Sigmoid" => (Op::Sigmoid, &[0]),
            "Greater" => (Op::Greater, &[0, 1]),
            "Less" => (Op::Greater, &[1, 0]),
            "GreaterOrEqual" => (Op::GreaterOrEqual, &[0, 1]),
            "LessOrEqual" => (Op::GreaterOrEqual, &[1, 0]),
            "Equal" => (Op::Equal, &[0, 1]),
            "And" => (Op::And, &[0, 1]),
            "Or" => (Op::Or, &[0, 1]),
            "Not" => (Op::Not, &[0]),
            "Where" => (Op::Select, &[0, 1, 2]),
            _ => return None,
        };
        let is_float = |name: &str| types.get(name) == Some(&data_type::FLOAT);
        let is_condition = |name: &str| {
            types.get(name) == Some(&data_type::BOOL)
                && self
                    .graph_index
                    .position(name)
                    .is_some_and(|index| matches!(self.meanings.get(index), Some(Some(_))))
        };
        let fits = |(place, name): (usize, &String)| match op {
            "And" | "Or" | "Not" | "Cast" => is_condition(name),
            "Where" if place == 0 => is_condition(name),
            "Expand" => place == 1 || is_float(name),
            _ => is_float(name),
        };
        if !node.input.iter().enumerate().all(fits) {
            return None;
        }
        let like = if op == "Expand" {
            let shape = self.graph_index.producer(&node.input[1])?;
            let is_whole = shape.op() == "Shape" && shape.attribute.is_empty();
            Some(shape.input.first().filter(|like| is_whole && is_float(like))?.clone())
        } else {
            None
        };
        let operands =
            order.iter().map(|&place| node.input.get(place).cloned()).collect::<Option<_>>()?;
        Some(Meaning { op: operation, operands, like })
    }

    /// The group whose result node `root` gives: what is read by nobody else, and conditions
    /// whoever reads them, for they can't come from outside.
    pub(crate) fn group(&self, root: usize) -> Vec<usize> {
        let mut group = BTreeSet::from([root]);
        let mut waiting: BinaryHeap<usize> = self.producers(root).collect();
        // The last comes first, so that all readers of a node have had their turn.
        while let Some(index) = waiting.pop() {
            if self.meanings[index].is_none() || group.contains(&index) {
                continue;
            }
            let is_own = |index: usize| self.consumers(index).all(|reader| group.contains(&reader));
            // A condition that others read too is worked out again, which they must be able to do
            // as well.
            let only_for_own =
                || self.consumers(index).all(|reader| reader == root || is_own(reader));
            let is_output = || self.graph_index.is_output(self.result(index));
            if self.is_condition[index] || (!is_output() && is_own(index) && only_for_own()) {
                group.insert(index);
                waiting.extend(self.producers(index));
            }
        }
        group.into_iter().collect()
    }

    /// Whether it alone reads what one of camlens's convolutions makes, which can do its work along
    /// the way.
    pub(crate) fn is_behind_convolution(&self, index: usize) -> bool {
        let operands = self.meanings[index].iter().flat_map(|meaning| &meaning.operands);
        operands.into_iter().any(|name| depthwise::makes_for_one(&self.graph_index, name))
    }

    /// The nodes that make what a step reads.
    fn producers(&self, index: usize) -> impl Iterator<Item = usize> {
        let operands = self.meanings[index].iter().flat_map(|meaning| &meaning.operands);
        operands.filter_map(|name| self.graph_index.position(name))
    }

    /// The nodes that read a node's result.
    fn consumers(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph_index.consumer_positions(self.result(index))
    }

    /// The tensor that a node makes.
    pub(crate) fn result(&self, index: usize) -> &'g str {
        &self.graph_index.graph.node[index].output[0]
    }
}
