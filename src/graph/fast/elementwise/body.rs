//! Which nodes of a body are elementwise arithmetic, and which of them make a group.

use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use kernels::Op;

use crate::graph::proto::{GraphProto, NodeProto, data_type};
use crate::graph::topology::reads;
use crate::graph::types;

/// What a node does, in terms of a step.
pub(super) struct Meaning {
    pub(super) op: Op,
    pub(super) operands: Vec<String>,
    /// A tensor to whose shape the result is broadcast.
    pub(super) like: Option<String>,
}

/// The nodes of a body, as far as groups are made of them.
pub(super) struct Body<'g> {
    pub(super) nodes: &'g [NodeProto],
    /// What each of them does, if it can be a step.
    pub(super) meanings: Vec<Option<Meaning>>,
    /// Whether its result is true or false.
    pub(super) is_condition: Vec<bool>,
    producer: HashMap<&'g str, usize>,
    readers: HashMap<&'g str, Vec<usize>>,
    outputs: HashSet<&'g str>,
}

impl<'g> Body<'g> {
    /// Reads a body; `outside` are the types of the tensors around it.
    pub(super) fn new(body: &'g GraphProto, outside: &HashMap<String, i32>) -> Self {
        let types = types::followed(body, outside);
        let (mut producer, mut readers) = (HashMap::new(), HashMap::<&str, Vec<usize>>::new());
        for (index, node) in body.node.iter().enumerate() {
            producer.extend(node.output.iter().map(|output| (output.as_str(), index)));
            reads(node).for_each(|input| readers.entry(input).or_default().push(index));
        }
        let is_condition = (body.node.iter())
            .map(|node| node.output.first().and_then(|output| types.get(output)) == Some(&data_type::BOOL))
            .collect();
        let mut found = Self {
            nodes: &body.node,
            meanings: Vec::with_capacity(body.node.len()),
            is_condition,
            producer,
            readers,
            outputs: body.output.iter().map(|output| output.name()).collect(),
        };
        for node in &body.node {
            let meaning = found.meaning(node, &types);
            found.meanings.push(meaning);
        }
        found
    }

    /// What a node does, if it can be a step. Conditions are numbers inside a group, so one that comes from elsewhere
    /// can't be read.
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
                    .producer
                    .get(name)
                    .is_some_and(|&index| matches!(self.meanings.get(index), Some(Some(_))))
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
            let shape = &self.nodes[*self.producer.get(node.input[1].as_str())?];
            let is_whole = shape.op() == "Shape" && shape.attribute.is_empty();
            Some(shape.input.first().filter(|like| is_whole && is_float(like))?.clone())
        } else {
            None
        };
        let operands = order.iter().map(|&place| node.input.get(place).cloned()).collect::<Option<_>>()?;
        Some(Meaning { op: operation, operands, like })
    }

    /// The group whose result node `root` gives: what is read by nobody else, and conditions whoever reads them, for they
    /// can't come from outside.
    pub(super) fn group(&self, root: usize) -> Vec<usize> {
        let mut group = BTreeSet::from([root]);
        let mut waiting: BinaryHeap<usize> = self.producers(root).collect();
        // The last comes first, so that all readers of a node have had their turn.
        while let Some(index) = waiting.pop() {
            if self.meanings[index].is_none() || group.contains(&index) {
                continue;
            }
            let is_own = |index: usize| self.readers(index).all(|reader| group.contains(&reader));
            // A condition that others read too is worked out again, which they must be able to do as well.
            let only_for_own = || self.readers(index).all(|reader| reader == root || is_own(reader));
            let is_kept_outside = || self.outputs.contains(self.nodes[index].output[0].as_str());
            if self.is_condition[index] || (!is_kept_outside() && is_own(index) && only_for_own()) {
                group.insert(index);
                waiting.extend(self.producers(index));
            }
        }
        group.into_iter().collect()
    }

    /// The nodes that make what a step reads.
    fn producers(&self, index: usize) -> impl Iterator<Item = usize> {
        let operands = self.meanings[index].iter().flat_map(|meaning| &meaning.operands);
        operands.filter_map(|name| self.producer.get(name.as_str()).copied())
    }

    /// The nodes that read a node's result.
    fn readers(&self, index: usize) -> impl Iterator<Item = usize> {
        self.readers.get(self.nodes[index].output[0].as_str()).into_iter().flatten().copied()
    }
}
