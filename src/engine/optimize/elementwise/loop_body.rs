//! Which nodes of a loop body are elementwise, and which of them form a group.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use camlens_kernels::Op;

use crate::engine::optimize::depthwise;
use onnx_gradient::dtype;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto, data_type};

/// A node as a step of an expression.
pub(crate) struct ElementwiseStep {
    pub(crate) op: Op,
    pub(crate) operands: Vec<String>,
    /// A tensor to whose shape the result is broadcast.
    pub(crate) like: Option<String>,
}

/// The nodes of a loop body.
pub(crate) struct LoopBody<'g> {
    graph_index: GraphIndex<'g>,
    /// Each node as a step, if it can be one.
    pub(crate) steps: Vec<Option<ElementwiseStep>>,
    /// Whether each node's output is boolean.
    pub(crate) is_boolean: Vec<bool>,
}

impl<'g> LoopBody<'g> {
    /// Analyses a body. `outer_types` holds the element types of the tensors of the enclosing
    /// graphs.
    pub(crate) fn new(body: &'g GraphProto, outer_types: &HashMap<String, i32>) -> Self {
        let types = dtype::element_types_within(body, outer_types);
        let is_boolean = (body.node.iter())
            .map(|node| {
                node.output.first().and_then(|output| types.get(output)) == Some(&data_type::BOOL)
            })
            .collect();
        let mut found = Self {
            graph_index: GraphIndex::new(body),
            steps: Vec::with_capacity(body.node.len()),
            is_boolean,
        };
        for node in &body.node {
            let step = found.step(node, &types);
            found.steps.push(step);
        }
        found
    }

    /// A node as a step, if it can be one. Inside a group booleans are floats, so a boolean from
    /// outside the group cannot be read.
    fn step(&self, node: &NodeProto, types: &HashMap<String, i32>) -> Option<ElementwiseStep> {
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
        let is_boolean = |name: &str| {
            types.get(name) == Some(&data_type::BOOL)
                && self
                    .graph_index
                    .position(name)
                    .is_some_and(|index| matches!(self.steps.get(index), Some(Some(_))))
        };
        let fits = |(index, name): (usize, &String)| match op {
            "And" | "Or" | "Not" | "Cast" => is_boolean(name),
            "Where" if index == 0 => is_boolean(name),
            "Expand" => index == 1 || is_float(name),
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
            order.iter().map(|&index| node.input.get(index).cloned()).collect::<Option<_>>()?;
        Some(ElementwiseStep { op: operation, operands, like })
    }

    /// The group that computes the output of node `root`. It holds nodes whose only consumers are
    /// in the group, and boolean nodes with any consumers, because a group cannot have a boolean
    /// input.
    pub(crate) fn group(&self, root: usize) -> Vec<usize> {
        let mut group = BTreeSet::from([root]);
        let mut waiting: BinaryHeap<usize> = self.producers(root).collect();
        // Last node first, so that all consumers of a node have been seen before it.
        while let Some(index) = waiting.pop() {
            if self.steps[index].is_none() || group.contains(&index) {
                continue;
            }
            let is_inside =
                |index: usize| self.consumers(index).all(|reader| group.contains(&reader));
            // A boolean with consumers outside is computed twice, which the outside must be able to
            // do as well.
            let is_used_inside_only =
                || self.consumers(index).all(|reader| reader == root || is_inside(reader));
            let is_output = || self.graph_index.is_output(self.output(index));
            if self.is_boolean[index] || (!is_output() && is_inside(index) && is_used_inside_only())
            {
                group.insert(index);
                waiting.extend(self.producers(index));
            }
        }
        group.into_iter().collect()
    }

    /// Whether the node is the only consumer of a custom convolution, which can take it as its
    /// epilogue.
    pub(crate) fn follows_convolution(&self, index: usize) -> bool {
        let operands = self.steps[index].iter().flat_map(|step| &step.operands);
        operands
            .into_iter()
            .any(|name| depthwise::is_output_with_one_consumer(&self.graph_index, name))
    }

    /// The producers of a step's operands.
    fn producers(&self, index: usize) -> impl Iterator<Item = usize> {
        let operands = self.steps[index].iter().flat_map(|step| &step.operands);
        operands.filter_map(|name| self.graph_index.position(name))
    }

    /// The consumers of a node's output.
    fn consumers(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph_index.consumer_positions(self.output(index))
    }

    /// The output of a node.
    pub(crate) fn output(&self, index: usize) -> &'g str {
        &self.graph_index.graph.node[index].output[0]
    }
}
