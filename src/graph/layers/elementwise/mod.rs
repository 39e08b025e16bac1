//! What an operator does to each value of a tensor by itself.
//!
//! A layer's normalisation and activation are written in many ways: as one operator, or as a chain
//! of elementwise ones around an exponential, a comparison or a clip. [`Elementwise`] recognises
//! them by two rules instead of by a list of activations. [`Elementwise::role`] judges one operator
//! that reads the tensor and otherwise constants. [`Elementwise::gate`] finds where several paths
//! from the tensor, all of them elementwise, meet again: `x · sigmoid(x)`, `where(x > 0, x, 0)`.

mod table;

use std::collections::{BTreeSet, HashSet};

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::node::MICROSOFT_DOMAIN;
use onnx_gradient::proto::{NodeProto, TensorProto};

use self::table::is_activation;
pub(super) use self::table::is_elementwise;

/// Activations that exporters write with elementwise operators have fewer than this.
const MAX_GATE_NODES: usize = 24;

/// What an operator does to a tensor whose values it processes one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// It changes no value: a cast between floats, a transposition, a view in other axes.
    Copy,
    /// A normalisation, a bias, a constant factor or a function that is only a step of an
    /// activation. `is_scalar` is true for one constant factor for the whole tensor.
    Linear { is_scalar: bool },
    /// An activation function.
    Activation,
    /// It limits values from below, by this number, from above or both.
    Clamp { lower: Option<f32>, upper: bool },
}

/// Several paths from a tensor that meet again.
pub(super) struct Gate<'g> {
    /// Where they meet.
    pub(super) output: &'g str,
    /// The tensor where they begin, and those between.
    pub(super) inside: HashSet<&'g str>,
}

/// Recognises elementwise operators of a graph.
#[derive(Clone, Copy)]
pub(super) struct Elementwise<'a, 'g> {
    pub(super) graph_index: &'a GraphIndex<'g>,
    pub(super) facts: &'a TensorFacts,
    /// The tensors that depend on the image's values; all others are constants.
    pub(super) of_image: &'a HashSet<&'g str>,
}

/// True for a node whose output depends on the type or the sizes of its inputs, not their values.
pub(super) fn ignores_values(graph_index: &GraphIndex<'_>, node: &NodeProto) -> bool {
    let is_constant = |name: &str| graph_index.constant(name).is_some();
    ["EyeLike", "RandomNormalLike", "RandomUniformLike", "Shape", "Size"]
        .iter()
        .any(|op| node.is(op))
        || node.is("CastLike") && node.input_name(0).is_some_and(is_constant)
}

/// Whether an operator arranges the same values in other axes.
fn is_view(node: &NodeProto) -> bool {
    matches!(node.op(), "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze")
}

impl<'g> Elementwise<'_, 'g> {
    /// What a node does to `tensor`, one of its inputs; `None` when its output at a position
    /// depends on more than the tensor's value there and constants.
    pub(super) fn role(&self, node: &NodeProto, tensor: &str) -> Option<Role> {
        let output = node.output.first()?;
        let others = |node: &NodeProto| node.input.iter().filter(|name| *name != tensor).count();
        let is_alone = node.input.iter().all(|name| name == tensor || self.is_constant(name))
            && node.input.len() == others(node) + 1;
        if !is_alone {
            return None;
        }
        let is_view = is_view(node) && self.is_same_count(tensor, output);
        if !is_view && !self.keeps_sizes(node, tensor, output) {
            return None;
        }
        if node.domain() == MICROSOFT_DOMAIN {
            let is_known = matches!(node.op(), "BiasGelu" | "FastGelu" | "Gelu" | "QuickGelu");
            return is_known.then_some(Role::Activation);
        }
        if !node.is_standard() {
            return None;
        }
        let is_first = node.input_name(0) == Some(tensor);
        Some(match node.op() {
            "Cast" if [tensor, output].iter().all(|name| self.is_float(name)) => Role::Copy,
            "Expand" | "Flatten" | "Pow" | "Reshape" | "Sqrt" | "Squeeze" | "Transpose"
            | "Unsqueeze"
                if is_first =>
            {
                Role::Copy
            }
            "Mul" => Role::Linear { is_scalar: self.has_scalar(node) },
            "Div" if is_first => Role::Linear { is_scalar: self.has_scalar(node) },
            "Abs"
            | "Add"
            | "BatchNormalization"
            | "Dropout"
            | "Erf"
            | "Exp"
            | "GroupNormalization"
            | "Identity"
            | "InstanceNormalization"
            | "Log"
            | "Neg"
            | "Reciprocal"
            | "Sub"
            | "Sum" => Role::Linear { is_scalar: false },
            "Div" => Role::Linear { is_scalar: false },
            _ if is_first && is_activation(node) => Role::Activation,
            "Max" => {
                let constants = node.input.iter().filter(|name| *name != tensor);
                let lower = constants.map(|name| self.number(name)).fold(f32::MIN, f32::max);
                Role::Clamp { lower: Some(lower), upper: false }
            }
            "Min" => Role::Clamp { lower: None, upper: true },
            "Clip" if is_first => {
                let lower = node.attribute("min").map(|limit| limit.f());
                let upper = node.attribute("max").is_some() || node.input_name(2).is_some();
                Role::Clamp {
                    lower: lower.or_else(|| Some(self.number(node.input_name(1)?))),
                    upper,
                }
            }
            _ => return None,
        })
    }

    /// The positions of the nodes that read a tensor's values. An operator that reads its type or
    /// its sizes alone is none of them.
    fn readers(&self, tensor: &str) -> Vec<usize> {
        let reads_values = |&position: &usize| {
            let node = self.graph_index.graph.node.get(position);
            node.is_some_and(|node| !node.output.iter().all(|output| self.is_constant(output)))
        };
        self.graph_index.consumer_positions(tensor).filter(reads_values).collect()
    }

    /// The only node that reads a tensor's values, unless the tensor is an output of the graph.
    pub(super) fn sole_reader(&self, tensor: &str) -> Option<&'g NodeProto> {
        let &[only] = self.readers(tensor).as_slice() else { return None };
        self.graph_index.graph.node.get(only).filter(|_| !self.graph_index.is_output(tensor))
    }

    /// Whether two tensors have the same sizes, in whatever order. Unmeasured sizes count as equal.
    pub(super) fn have_same_sizes(&self, a: &str, b: &str) -> bool {
        let sorted = |tensor: &str| {
            let mut sizes = self.facts.get(tensor)?.to_vec();
            sizes.sort_unstable();
            Some(sizes)
        };
        sorted(a).zip(sorted(b)).is_none_or(|(a, b)| a == b)
    }

    /// The tensor at which all paths from `tensor` meet again, if the nodes before it are
    /// elementwise and nothing else reads their results.
    pub(super) fn gate(&self, tensor: &'g str) -> Option<Gate<'g>> {
        let mut inside = HashSet::from([tensor]);
        let mut open: BTreeSet<usize> = self.readers(tensor).into_iter().collect();
        if open.len() < 2 || self.graph_index.is_output(tensor) {
            return None;
        }
        for _ in 0..MAX_GATE_NODES {
            let node = self.graph_index.graph.node.get(open.pop_first()?)?;
            let is_input = |name: &String| inside.contains(name.as_str()) || self.is_constant(name);
            let output = self.graph_index.own_name(node.output.first()?)?;
            if !is_elementwise(node)
                || !node.input.iter().all(is_input)
                || !self.keeps_sizes(node, tensor, output)
            {
                return None;
            }
            if open.is_empty() {
                return Some(Gate { output, inside });
            }
            let following = self.readers(output);
            if following.is_empty() || self.graph_index.is_output(output) {
                return None;
            }
            inside.insert(output);
            open.extend(following);
        }
        None
    }

    fn is_constant(&self, tensor: &str) -> bool {
        !self.of_image.contains(tensor)
    }

    fn is_float(&self, tensor: &str) -> bool {
        is_float(self.facts.element_type(tensor))
    }

    /// Whether a node's output has the sizes of `tensor`, in another order after a transposition.
    /// Unmeasured sizes count as equal, except those of a view.
    fn keeps_sizes(&self, node: &NodeProto, tensor: &str, output: &str) -> bool {
        match (self.facts.get(tensor), self.facts.get(output)) {
            (Some(before), Some(after)) => {
                before == after || node.is("Transpose") && self.have_same_sizes(tensor, output)
            }
            _ => !is_view(node) && !node.is("Expand"),
        }
    }

    /// Whether two measured tensors have the same number of values.
    fn is_same_count(&self, a: &str, b: &str) -> bool {
        let count = |tensor: &str| Some(self.facts.get(tensor)?.iter().product::<i64>());
        count(a).zip(count(b)).is_some_and(|(a, b)| a == b)
    }

    /// The largest value of an initializer; 0 for another constant.
    fn number(&self, tensor: &str) -> f32 {
        let values = self.graph_index.constant(tensor).and_then(TensorProto::to_float32s);
        values.map_or(0.0, |values| values.into_iter().fold(f32::MIN, f32::max))
    }

    /// Whether a constant input of a node has a single element.
    fn has_scalar(&self, node: &NodeProto) -> bool {
        let is_scalar = |name: &String| {
            self.is_constant(name)
                && self.facts.get(name).is_some_and(|sizes| sizes.iter().product::<i64>() == 1)
        };
        node.input.iter().any(is_scalar)
    }
}
