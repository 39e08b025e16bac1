//! The range of an output's values, as the last operators of the graph bound it.
//!
//! A logit may have any value. An output that can never be negative, or that ends between two
//! bounds, is no logit, whatever the network behind it computes. [`RangeFinder`] walks back from an
//! output with interval arithmetic and stops at operators that may give any value, such as a
//! convolution. It promises that no value lies outside the range, not that every value inside
//! occurs.

use std::collections::HashMap;
use std::f32::consts::{FRAC_PI_2, PI};
use std::fmt;

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{NodeProto, TensorProto, data_type};
use onnx_gradient::quantized::QuantizedOp;

use super::lift::MAX_STEPS;

/// The values that a tensor may have, bounds included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least value; `-inf` without a lower bound.
    pub low: f32,
    /// The largest value; `inf` without an upper bound.
    pub high: f32,
}

impl Range {
    /// Any value.
    pub const ALL: Self = Self::new(f32::NEG_INFINITY, f32::INFINITY);
    /// The range of a probability.
    pub const UNIT: Self = Self::new(0.0, 1.0);
    const SIGNED_UNIT: Self = Self::new(-1.0, 1.0);
    const NOT_NEGATIVE: Self = Self::new(0.0, f32::INFINITY);

    const fn new(low: f32, high: f32) -> Self {
        Self { low, high }
    }

    /// True if there is a lower or an upper bound.
    #[must_use]
    pub fn is_bounded(self) -> bool {
        self.low.is_finite() || self.high.is_finite()
    }

    /// True if values of both signs are possible, as a binary classifier's logit needs.
    #[must_use]
    pub fn has_both_signs(self) -> bool {
        self.low < 0.0 && self.high > 0.0
    }

    /// True if every value lies in 0..1.
    #[must_use]
    pub fn is_within_unit(self) -> bool {
        self.low >= 0.0 && self.high <= 1.0
    }

    fn of(values: &[f32]) -> Option<Self> {
        let first = *values.first()?;
        let widen = |range: Self, &value: &f32| range.union(Self::new(value, value));
        Some(values.iter().fold(Self::new(first, first), widen))
    }

    fn union(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// The range of an increasing function.
    fn map(self, function: impl Fn(f32) -> f32) -> Self {
        Self::new(function(self.low), function(self.high))
    }

    fn negated(self) -> Self {
        Self::new(-self.high, -self.low)
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.low + other.low, self.high + other.high)
    }

    fn times(self, other: Self) -> Self {
        // A bound of 0 stays 0 however large the other factor is.
        let product = |a: f32, b: f32| if a == 0.0 || b == 0.0 { 0.0 } else { a * b };
        let corners = [
            product(self.low, other.low),
            product(self.low, other.high),
            product(self.high, other.low),
            product(self.high, other.high),
        ];
        Self::of(&corners).unwrap_or(Self::ALL)
    }

    fn magnitude(self) -> Self {
        let high = self.low.abs().max(self.high.abs());
        let low = if self.has_both_signs() { 0.0 } else { self.low.abs().min(self.high.abs()) };
        Self::new(low, high)
    }

    fn raised(self, exponent: f32) -> Self {
        if exponent > 0.0 && exponent % 2.0 == 0.0 {
            self.magnitude().map(|value| value.powf(exponent))
        } else if exponent > 0.0 && self.low >= 0.0 {
            self.map(|value| value.powf(exponent))
        } else {
            Self::ALL
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sum makes 0 of −0.
        let (low, high) = (self.low + 0.0, self.high + 0.0);
        match (low.is_finite(), high.is_finite()) {
            (true, true) => write!(f, "between {low} and {high}"),
            (true, false) => write!(f, "of at least {low}"),
            (false, true) => write!(f, "of at most {high}"),
            (false, false) => f.write_str("without bounds"),
        }
    }
}

/// Walks back from outputs to find their ranges.
pub(super) struct RangeFinder<'g, 'f> {
    graph_index: &'f GraphIndex<'g>,
    facts: &'f TensorFacts,
    known: HashMap<&'g str, Range>,
}

impl<'g, 'f> RangeFinder<'g, 'f> {
    pub(super) fn new(graph_index: &'f GraphIndex<'g>, facts: &'f TensorFacts) -> Self {
        Self { graph_index, facts, known: HashMap::new() }
    }

    /// The range of a tensor.
    pub(super) fn range(&mut self, tensor: &'g str) -> Range {
        self.within(tensor, MAX_STEPS)
    }

    /// True if a tensor holds floats that were rounded to whole numbers, as no logits are.
    pub(super) fn is_whole(&self, tensor: &'g str) -> bool {
        let mut tensor = tensor;
        for _ in 0..MAX_STEPS {
            let Some(node) = self.graph_index.producer(tensor) else { return false };
            match node.op() {
                "Round" | "Floor" | "Ceil" => return true,
                "Cast" if !to_float(node) => return true,
                "Cast" | "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {}
                _ => return false,
            }
            let Some(input) = node.input_name(0) else { return false };
            tensor = input;
        }
        false
    }

    fn within(&mut self, tensor: &'g str, steps: usize) -> Range {
        if let Some(known) = self.known.get(tensor) {
            return *known;
        }
        let found = self.bounds(tensor, steps).unwrap_or(Range::ALL);
        // Infinities of opposite signs have no sum.
        let found = if found.low <= found.high { found } else { Range::ALL };
        self.known.insert(tensor, found);
        found
    }

    fn bounds(&mut self, tensor: &'g str, steps: usize) -> Option<Range> {
        if let Some(range) = self.constant(tensor) {
            return Some(range);
        }
        let node = self.graph_index.producer(tensor)?;
        if let Some(integer) = QuantizedOp::from_node(node).filter(|_| !node.is_standard()) {
            return fixed(&integer.node);
        }
        let steps = steps.checked_sub(1).filter(|_| node.is_standard())?;
        if let Some(range) = fixed(node) {
            return Some(range);
        }
        if node.op() == "Where" {
            let [first, second] = [1, 2].map(|index| node.input_name(index));
            return Some(self.within(first?, steps).union(self.within(second?, steps)));
        }
        if let Some(range) = self.expectation(node) {
            return Some(range);
        }
        let first = node.input_name(0)?;
        match node.op() {
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" => self.of_two(node, steps),
            "Sum" | "Mean" | "Max" | "Min" | "Concat" => self.of_many(node, steps),
            "Clip" => {
                let range = self.within(first, steps);
                let bound = |index| self.constant(node.input_name(index)?).map(|bound| bound.low);
                let low = bound(1).unwrap_or(f32::NEG_INFINITY);
                let high = bound(2).unwrap_or(f32::INFINITY);
                Some(range.map(|value| value.max(low).min(high)))
            }
            "ReduceSum" => {
                let count = |tensor: &str| Some(self.facts.get(tensor)?.iter().product::<i64>());
                let terms = count(first)?.checked_div(count(tensor)?)? as f32;
                Some(self.within(first, steps).times(Range::new(terms, terms)))
            }
            _ => of_one(node, self.within(first, steps)),
        }
    }

    fn constant(&self, tensor: &str) -> Option<Range> {
        Range::of(&self.graph_index.constant(tensor).and_then(TensorProto::to_float32s)?)
    }

    /// The mean of constants weighted by a softmax: an expected age, a mean rating.
    fn expectation(&self, node: &'g NodeProto) -> Option<Range> {
        let weighted = match node.op() {
            "ReduceSum" => self.graph_index.producer(node.input_name(0)?)?,
            "MatMul" => node,
            "Gemm" if node.input.len() < 3 && node.float("alpha", 1.0) == 1.0 => node,
            _ => return None,
        };
        if weighted.op() != "Mul" && weighted.op() == "ReduceSum" {
            return None;
        }
        let is_softmax =
            |tensor: &str| self.graph_index.producer(tensor).is_some_and(|node| node.is("Softmax"));
        let (first, second) = (weighted.input_name(0)?, weighted.input_name(1)?);
        match weighted.op() {
            "Mul" if is_softmax(second) => self.constant(first),
            "Mul" | "MatMul" | "Gemm" if is_softmax(first) => self.constant(second),
            _ => None,
        }
    }

    fn of_two(&mut self, node: &'g NodeProto, steps: usize) -> Option<Range> {
        let [first, second] = [node.input_name(0)?, node.input_name(1)?];
        let [a, b] = [self.within(first, steps), self.within(second, steps)];
        let is_single = b.low == b.high && b.low != 0.0;
        match node.op() {
            "Add" => Some(a.plus(b)),
            "Sub" => Some(a.plus(b.negated())),
            "Mul" if first == second => Some(a.raised(2.0)),
            "Mul" => Some(a.times(b)),
            // The quotient of two computed tensors may be a ratio of one scale, so bounds would be
            // far too wide to tell anything.
            "Div" if is_single => Some(a.times(Range::new(b.low.recip(), b.low.recip()))),
            "Pow" if b.low == b.high => Some(a.raised(b.low)),
            "Mod" if is_single && node.int("fmod", 0) == 0 => {
                Some(Range::new(b.low.min(0.0), b.low.max(0.0)))
            }
            "Mod" if is_single => Some(Range::new(-b.low.abs(), b.low.abs())),
            _ => None,
        }
    }

    fn of_many(&mut self, node: &'g NodeProto, steps: usize) -> Option<Range> {
        let parts: Vec<Range> = node.input.iter().map(|input| self.within(input, steps)).collect();
        let mean = Range::new((parts.len() as f32).recip(), (parts.len() as f32).recip());
        let merge: fn(Range, Range) -> Range = match node.op() {
            "Sum" | "Mean" => Range::plus,
            "Max" => |a, b| Range::new(a.low.max(b.low), a.high.max(b.high)),
            "Min" => |a, b| Range::new(a.low.min(b.low), a.high.min(b.high)),
            _ => Range::union,
        };
        let merged = parts.into_iter().reduce(merge)?;
        Some(if node.op() == "Mean" { merged.times(mean) } else { merged })
    }
}

/// The range of operators that have the same one whatever they read.
fn fixed(node: &NodeProto) -> Option<Range> {
    let alpha = node.float("alpha", 1.0);
    Some(match node.op() {
        "Sigmoid" | "Softmax" | "HardSigmoid" | "Hardmax" | "Equal" | "Greater" | "Less"
        | "GreaterOrEqual" | "LessOrEqual" | "Not" | "And" | "Or" | "Xor" => Range::UNIT,
        "Tanh" | "Softsign" | "Sin" | "Cos" | "Erf" | "Sign" | "LpNormalization" => {
            Range::SIGNED_UNIT
        }
        "Atan" | "Asin" => Range::new(-FRAC_PI_2, FRAC_PI_2),
        "Acos" => Range::new(0.0, PI),
        "Cosh" => Range::new(1.0, f32::INFINITY),
        "LogSoftmax" => Range::new(f32::NEG_INFINITY, 0.0),
        "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "Acosh" => Range::NOT_NEGATIVE,
        // x · min(max(x + 3, 0), 6) / 6 is least at x = −1.5.
        "HardSwish" => Range::new(-0.375, f32::INFINITY),
        "Elu" | "Celu" if alpha > 0.0 => Range::new(-alpha, f32::INFINITY),
        _ => return None,
    })
}

/// The range of an operator that reads one tensor.
fn of_one(node: &NodeProto, of: Range) -> Option<Range> {
    Some(match node.op() {
        "Cast" if node.int("to", 0) == i64::from(data_type::BOOL) => Range::UNIT,
        // Quantised values stand for those that were rounded, and their bounds are the format's.
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" | "Cast"
        | "Transpose" | "Slice" | "Gather" | "GatherElements" | "GatherND" | "Split" | "TopK"
        | "Expand" | "Tile" | "QuantizeLinear" | "DequantizeLinear" | "ReduceMean"
        | "ReduceMax" | "ReduceMin" | "GlobalAveragePool" | "GlobalMaxPool" | "AveragePool"
        | "MaxPool" => of,
        "Relu" | "ThresholdedRelu" => of.map(|value| value.max(0.0)),
        "LeakyRelu" if node.float("alpha", 0.01) >= 0.0 => {
            let alpha = node.float("alpha", 0.01);
            of.map(|value| if value < 0.0 { alpha * value } else { value })
        }
        "Softplus" => of.map(|value| if value > 20.0 { value } else { value.exp().ln_1p() }),
        "Exp" => of.map(f32::exp),
        "Log" => of.map(|value| if value > 0.0 { value.ln() } else { f32::NEG_INFINITY }),
        "Sqrt" => of.map(|value| value.max(0.0).sqrt()),
        "Floor" => of.map(f32::floor),
        "Ceil" => of.map(f32::ceil),
        "Round" => of.map(f32::round_ties_even),
        "Abs" => of.magnitude(),
        "Neg" => of.negated(),
        "Reciprocal" if of.low > 0.0 => Range::new(of.high.recip(), of.low.recip()),
        "Reciprocal" if of.low == 0.0 => Range::new(of.high.recip(), f32::INFINITY),
        _ => return None,
    })
}

fn to_float(node: &NodeProto) -> bool {
    i32::try_from(node.int("to", 0)).is_ok_and(is_float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::AttributeProto;

    #[test]
    fn a_range_is_told_in_words() {
        assert_eq!(Range::new(0.0, 120.0).to_string(), "between 0 and 120");
        assert_eq!(Range::NOT_NEGATIVE.to_string(), "of at least 0");
        assert_eq!(Range::new(f32::NEG_INFINITY, 0.0).to_string(), "of at most 0");
        assert_eq!(Range::ALL.to_string(), "without bounds");
    }

    #[test]
    fn the_sign_of_a_factor_turns_a_range_round() {
        let range = Range::new(-1.0, 3.0);
        assert_eq!(range.times(Range::new(-2.0, -2.0)), Range::new(-6.0, 2.0));
        assert_eq!(Range::NOT_NEGATIVE.times(Range::new(-2.0, 0.0)).high, 0.0);
        assert_eq!(range.raised(2.0), Range::new(0.0, 9.0));
        assert_eq!(range.magnitude(), Range::new(0.0, 3.0));
        assert_eq!(Range::new(-3.0, -2.0).magnitude(), Range::new(2.0, 3.0));
        assert_eq!(range.raised(0.5), Range::ALL);
    }

    #[test]
    fn operators_move_the_bounds() {
        let of = |op: &str, low: f32, high: f32| {
            let range = of_one(&NodeProto::new(op, &["x"], &["y"]), Range::new(low, high))?;
            Some((range.low, range.high))
        };
        assert_eq!(of("Relu", -1.0, 2.0), Some((0.0, 2.0)));
        assert_eq!(of("LeakyRelu", -1.0, 2.0), Some((-0.01, 2.0)));
        assert_eq!(of("Sqrt", -1.0, 4.0), Some((0.0, 2.0)));
        assert_eq!(of("Log", 0.0, 1.0), Some((f32::NEG_INFINITY, 0.0)));
        assert_eq!(of("Exp", 0.0, 0.0), Some((1.0, 1.0)));
        assert_eq!(of("Neg", -1.0, 2.0), Some((-2.0, 1.0)));
        assert_eq!(of("Reciprocal", 2.0, 4.0), Some((0.25, 0.5)));
        assert_eq!(of("Reciprocal", 0.0, 4.0), Some((0.25, f32::INFINITY)));
        assert_eq!(of("Reciprocal", -1.0, 4.0), None, "it has a pole");
        let falling =
            NodeProto::new("LeakyRelu", &["x"], &["y"]).with(AttributeProto::float("alpha", -0.5));
        assert_eq!(of_one(&falling, Range::new(-1.0, 2.0)), None, "it is not monotonic");
    }
}
