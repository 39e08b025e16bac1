//! Finds the activation that computes a tensor, as one operator or written out in several.
//!
//! A softmax may stand in a file as `Softmax`, as `LogSoftmax`, as an exponential divided by its
//! sum, or as `QLinearSoftmax`; a sigmoid as `Sigmoid`, as `1 / (1 + exp(−z))`, or as
//! `(1 + tanh(z/2)) / 2`. [`ActivationFinder::find`] names the logits `z` of all of them.

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{NodeProto, TensorProto};
use onnx_gradient::quantized::QuantizedOp;

use super::OutputActivation;
use super::values::Values;

/// An activation and its logits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Activation<'g> {
    pub(super) kind: OutputActivation,
    pub(super) logits: &'g str,
    /// Whether the logits are twice the values of that tensor.
    pub(super) is_half: bool,
    pub(super) values: Values,
    /// Whether the probabilities are exactly the activation of the logits, without rounding.
    pub(super) is_exact: bool,
}

/// Recognises activations in a graph.
#[derive(Clone, Copy)]
pub(super) struct ActivationFinder<'g, 'f> {
    pub(super) graph_index: &'f GraphIndex<'g>,
    pub(super) facts: &'f TensorFacts,
    /// The number of images that the facts were measured with.
    pub(super) images: Option<i64>,
}

impl<'g> ActivationFinder<'g, '_> {
    /// The activation whose last operator computes `tensor`.
    pub(super) fn find(&self, tensor: &str) -> Option<Activation<'g>> {
        let node = self.graph_index.producer(tensor)?;
        if let Some(integer) = QuantizedOp::from_node(node).filter(|_| !node.is_standard()) {
            let logits = self.floats_behind(node.input_name(0)?)?;
            let found = self.of_operator(&integer.node, logits)?;
            return Some(Activation { is_exact: false, ..found });
        }
        if !node.is_standard() {
            return None;
        }
        self.of_operator(node, node.input_name(0)?)
            .or_else(|| self.written_out_softmax(node))
            .or_else(|| self.written_out_sigmoid(node))
    }

    /// An activation that is one operator.
    fn of_operator(&self, node: &NodeProto, logits: &'g str) -> Option<Activation<'g>> {
        let (kind, values) = match node.op() {
            "Softmax" => (OutputActivation::Softmax, Values::PROBABILITY),
            "LogSoftmax" => (OutputActivation::Softmax, Values::LOG),
            "Sigmoid" => (OutputActivation::Sigmoid, Values::PROBABILITY),
            "HardSigmoid" => (OutputActivation::Other, Values::PROBABILITY),
            _ => return None,
        };
        let is_over_classes =
            kind != OutputActivation::Softmax || self.is_over_classes(logits, node.int("axis", -1));
        is_over_classes.then(|| {
            let logits = self.before_rounding(logits);
            let is_exact = kind != OutputActivation::Other && !self.is_rounded(node);
            Activation { kind, logits, is_half: false, values, is_exact }
        })
    }

    /// True if an axis of a tensor holds all scores of an image. An unknown shape is no objection.
    fn is_over_classes(&self, tensor: &str, axis: i64) -> bool {
        let Some(sizes) = self.facts.get(tensor) else { return true };
        let axis = if axis < 0 { axis + sizes.len() as i64 } else { axis };
        let images = self.images.or_else(|| sizes.first().copied()).unwrap_or(1).max(1);
        let size = usize::try_from(axis).ok().and_then(|axis| sizes.get(axis));
        size.is_some_and(|size| sizes.iter().product::<i64>() == images * size)
    }

    /// `exp(z) / Σ exp(z)` or `z − ln Σ exp(z)`, with or without the largest `z` subtracted first.
    fn written_out_softmax(&self, node: &'g NodeProto) -> Option<Activation<'g>> {
        let (first, second) = (node.input_name(0)?, node.input_name(1)?);
        let (shifted, total, values) = match node.op() {
            "Div" => (self.exponent_of_sum(first, second)?, second, Values::PROBABILITY),
            "Mul" => {
                let pairs = [(first, second), (second, first)];
                pairs.into_iter().find_map(|(exponential, reciprocal)| {
                    let total = self.input_of(reciprocal, &["Reciprocal"])?;
                    let shifted = self.exponent_of_sum(exponential, total)?;
                    Some((shifted, total, Values::PROBABILITY))
                })?
            }
            "Sub" => {
                let shifted = self.skip(first);
                let total = self.skip(second);
                let summed = self.input_of(total, &["ReduceLogSumExp"]).or_else(|| {
                    let sum = self.input_of(total, &["Log"])?;
                    self.input_of(self.input_of(sum, &["ReduceSum", "ReduceL1"])?, &["Exp"])
                })?;
                let is_same = self.skip(summed) == shifted;
                is_same.then_some((shifted, total, Values::LOG))?
            }
            _ => return None,
        };
        // One sum for each image: the softmax is over all of its scores.
        let sums = self.facts.get(total).map(|sizes| sizes.iter().product::<i64>());
        if sums.zip(self.images).is_some_and(|(sums, images)| sums != images) {
            return None;
        }
        let logits = self.before_rounding(self.before_shift(shifted));
        let kind = OutputActivation::Softmax;
        Some(Activation { kind, logits, is_half: false, values, is_exact: true })
    }

    /// The `a` of `exp(a)` and `Σ exp(a)`.
    fn exponent_of_sum(&self, exponential: &'g str, total: &'g str) -> Option<&'g str> {
        let summed = self.skip(self.input_of(total, &["ReduceSum", "ReduceL1"])?);
        (summed == self.skip(exponential)).then(|| self.input_of(exponential, &["Exp"]))?
    }

    /// The `z` of `z − max z`, or the tensor itself.
    fn before_shift(&self, tensor: &'g str) -> &'g str {
        let unshifted = || {
            let node =
                self.graph_index.producer(self.skip(tensor)).filter(|node| node.is("Sub"))?;
            let (z, largest) = (node.input_name(0)?, node.input_name(1)?);
            let of = self.skip(self.input_of(largest, &["ReduceMax"])?);
            (of == self.skip(z)).then_some(z)
        };
        unshifted().unwrap_or(tensor)
    }

    /// `1 / (1 + exp(−z))`, `exp(z) / (1 + exp(z))`, `(1 + tanh u) / 2` with `u = z/2`, or
    /// `−softplus(−z)`, which is `ln σ(z)`.
    fn written_out_sigmoid(&self, node: &'g NodeProto) -> Option<Activation<'g>> {
        let first = node.input_name(0)?;
        let second = node.input_name(1);
        let sigmoid = |logits: &'g str, values| Activation {
            kind: OutputActivation::Sigmoid,
            logits: self.before_rounding(logits),
            is_half: false,
            values,
            is_exact: true,
        };
        let logistic = |sum: &'g str| {
            let exponential = self.other_operand(sum, "Add", 1.0)?;
            self.input_of(self.input_of(exponential, &["Exp"])?, &["Neg"])
        };
        let of_tanh = |tensor: &'g str| {
            let half = self.input_of(tensor, &["Tanh"])?;
            let whole = self.other_operand(half, "Mul", 0.5).or_else(|| self.divided(half, 2.0));
            let found = sigmoid(whole.unwrap_or(half), Values::PROBABILITY);
            Some(Activation { is_half: whole.is_none(), ..found })
        };
        match node.op() {
            "Reciprocal" => Some(sigmoid(logistic(first)?, Values::PROBABILITY)),
            "Div" if self.constant(first) == Some(1.0) => {
                Some(sigmoid(logistic(second?)?, Values::PROBABILITY))
            }
            "Div" if self.constant(second?) == Some(2.0) => {
                of_tanh(self.other_operand(first, "Add", 1.0)?)
            }
            "Div" => {
                let exponential = self.other_operand(second?, "Add", 1.0)?;
                let is_same = self.skip(exponential) == self.skip(first);
                let logits = self.input_of(first, &["Exp"]).filter(|_| is_same)?;
                Some(sigmoid(logits, Values::PROBABILITY))
            }
            "Mul" => of_tanh(self.other_operand(self.operand(node, 0.5)?, "Add", 1.0)?),
            "Add" => of_tanh(self.other_operand(self.operand(node, 0.5)?, "Mul", 0.5)?),
            "Neg" => {
                let logits = self.input_of(self.input_of(first, &["Softplus"])?, &["Neg"])?;
                Some(sigmoid(logits, Values::LOG))
            }
            _ => None,
        }
    }

    /// The tensor before operators that change neither values nor shape.
    fn skip(&self, tensor: &'g str) -> &'g str {
        let mut tensor = tensor;
        while let Some(node) = self.graph_index.producer(tensor)
            && (node.is("Identity") || is_float_cast(node))
            && let Some(input) = node.input_name(0)
        {
            tensor = input;
        }
        tensor
    }

    /// The first input of the node that computes `tensor`, if it is one of these operators.
    fn input_of(&self, tensor: &'g str, ops: &[&str]) -> Option<&'g str> {
        let node = self.graph_index.producer(self.skip(tensor))?;
        (node.is_standard() && ops.contains(&node.op())).then(|| node.input_name(0))?
    }

    /// The other operand of `op` where one is this constant, for the node that computes `tensor`.
    fn other_operand(&self, tensor: &'g str, op: &str, constant: f32) -> Option<&'g str> {
        let node = self.graph_index.producer(self.skip(tensor)).filter(|node| node.is(op))?;
        self.operand(node, constant)
    }

    /// The operand of a commutative node beside this constant.
    fn operand<'n>(&self, node: &'n NodeProto, constant: f32) -> Option<&'n str> {
        let (first, second) = (node.input_name(0)?, node.input_name(1)?);
        match (self.constant(first), self.constant(second)) {
            (Some(value), None) if value == constant => Some(second),
            (None, Some(value)) if value == constant => Some(first),
            _ => None,
        }
    }

    /// The `a` of `a / divisor`.
    fn divided(&self, tensor: &'g str, divisor: f32) -> Option<&'g str> {
        let node = self.graph_index.producer(self.skip(tensor)).filter(|node| node.is("Div"))?;
        (self.constant(node.input_name(1)?) == Some(divisor)).then(|| node.input_name(0))?
    }

    /// The value of a constant whose elements are all equal.
    pub(super) fn constant(&self, tensor: &str) -> Option<f32> {
        let values = self.graph_index.constant(tensor).and_then(TensorProto::to_float32s)?;
        let first = *values.first()?;
        values.iter().all(|value| *value == first).then_some(first)
    }

    /// True if a node's result is read through a rounding to integers, which is no part of it.
    fn is_rounded(&self, node: &NodeProto) -> bool {
        let logits = node.input_name(0).unwrap_or_default();
        self.before_rounding_of(logits).is_some()
    }

    /// The tensor before the quantisation of a tensor, or the tensor itself: logits that were not
    /// clipped to the range of the integers.
    fn before_rounding(&self, tensor: &'g str) -> &'g str {
        self.before_rounding_of(tensor).unwrap_or(tensor)
    }

    fn before_rounding_of(&self, tensor: &str) -> Option<&'g str> {
        let node = self.graph_index.producer(tensor)?;
        self.floats_behind(node.input_name(0).filter(|_| node.is("DequantizeLinear"))?)
    }

    /// The floats that a tensor of integers was rounded from.
    pub(super) fn floats_behind(&self, integers: &str) -> Option<&'g str> {
        let node = self.graph_index.producer(integers)?;
        node.input_name(0).filter(|_| node.is("QuantizeLinear"))
    }
}

/// True for a cast to a type of floats. Its input is a float as well wherever this is asked.
pub(super) fn is_float_cast(node: &NodeProto) -> bool {
    node.is("Cast") && i32::try_from(node.int("to", 0)).is_ok_and(is_float)
}
