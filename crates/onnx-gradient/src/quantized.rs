//! Operators that compute in integers, and the operators of floats that they stand for.
//!
//! ONNX Runtime's quantiser has two formats. In QDQ a model computes in floats between
//! pairs of `QuantizeLinear` and `DequantizeLinear`. In QOperator it computes in
//! integers all along: each operator takes scales and zero points as inputs beside its
//! operands. [`Quantized::of`] is the table of those. What it says of a node serves
//! everybody who knows operators of floats: the layers' finder, the tracing of axes,
//! the gradient rules.

use std::borrow::Cow;

use crate::passes::decompose::MICROSOFT;
use crate::proto::{GraphProto, NodeProto};

/// Attributes that only operators of ONNX Runtime's own domain have.
const FOREIGN: [&str; 2] = ["channels_last", "opset"];

/// An operator of integers as the operator of floats that it stands for.
#[derive(Debug)]
pub struct Quantized {
    /// That operator, with the operands of the original and without their scales.
    pub node: NodeProto,
    /// Which input of the original each operand is, and what its integers mean.
    pub operands: Vec<(usize, Scheme)>,
    /// What the integers of the result mean; `None` for exact sums and for floats, which are not
    /// rounded.
    pub result: Option<Scheme>,
}

/// What integers mean: (integer − zero point)·scale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheme {
    /// The tensors whose product is the scale; none of them: 1.
    pub scales: Vec<String>,
    /// The zero point; 0 where there is none.
    pub zero: Option<String>,
    /// The axis along which scale and zero point lie where they are vectors.
    pub axis: i64,
}

impl Scheme {
    /// The one scale that stands beside a tensor, and its zero point.
    fn beside(node: &NodeProto, scale: usize, axis: i64) -> Option<Self> {
        let zero = node.input_name(scale + 1).map(str::to_owned);
        Some(Self { scales: vec![node.input_name(scale)?.to_owned()], zero, axis })
    }
}

/// A node as one of floats: itself, or what it stands for.
#[must_use]
pub fn in_floats(node: &NodeProto) -> Cow<'_, NodeProto> {
    Quantized::of(node).map_or(Cow::Borrowed(node), |quantized| Cow::Owned(quantized.node))
}

/// Whether something in a graph is computed in integers.
#[must_use]
pub fn is_in(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| Quantized::of(node).is_some())
}

impl Quantized {
    /// Reads a node; `None` for operators of floats, and for forms of others that are not listed.
    #[must_use]
    pub fn of(node: &NodeProto) -> Option<Self> {
        let is_known = node.is_standard() || node.domain() == MICROSOFT;
        // ONNX Runtime's optimiser turns the axes of some; the standard's have no such form.
        if !is_known || node.int("channels_last", 0) != 0 {
            return None;
        }
        match node.op() {
            "QLinearConv" => Self::new(node, "Conv", &[0, 3], 6)?.with_sums(node, 8),
            "QLinearMatMul" => Self::new(node, "MatMul", &[0, 3], 6),
            "QLinearAdd" => Self::new(node, "Add", &[0, 3], 6),
            "QLinearMul" => Self::new(node, "Mul", &[0, 3], 6),
            "QLinearSigmoid" => Self::new(node, "Sigmoid", &[0], 3),
            "QLinearLeakyRelu" => Self::new(node, "LeakyRelu", &[0], 3),
            "QLinearSoftmax" if node.int("opset", 13) >= 13 => Self::new(node, "Softmax", &[0], 3),
            "QLinearAveragePool" => Self::new(node, "AveragePool", &[0], 3),
            "QLinearGlobalAveragePool" => Self::new(node, "GlobalAveragePool", &[0], 3),
            "QLinearConcat" => {
                let operands: Vec<usize> = (2..node.input.len()).step_by(3).collect();
                Self::new(node, "Concat", &operands, 0)
            }
            "QGemm" => Self::new(node, "Gemm", &[0, 3], 7)?.with_sums(node, 6),
            "ConvInteger" => Self::exact(node, "Conv"),
            "MatMulInteger" => Self::exact(node, "MatMul"),
            _ => None,
        }
    }

    /// Operands with scale and zero point behind each; those of the result stand at `result`.
    fn new(node: &NodeProto, op: &str, operands: &[usize], result: usize) -> Option<Self> {
        // Weights have a scale for each output channel, which a `Gemm` may hold the other way
        // round.
        let axis = if op == "Conv" || node.int("transB", 0) != 0 { 0 } else { -1 };
        let read = |&place: &usize| Some((place, Scheme::beside(node, place + 1, axis)?));
        Some(Self {
            node: stand_in(node, op, operands)?,
            operands: operands.iter().map(read).collect::<Option<_>>()?,
            result: Scheme::beside(node, result, axis),
        })
    }

    /// A bias is in units of what is summed: the product of the scales of both operands.
    fn with_sums(mut self, node: &NodeProto, bias: usize) -> Option<Self> {
        if let Some(name) = node.input_name(bias) {
            // A factor would scale the bias, too.
            if node.float("alpha", 1.0) != 1.0 {
                return None;
            }
            let scales =
                self.operands.iter().flat_map(|(_, scheme)| scheme.scales.clone()).collect();
            self.node.input.push(name.to_owned());
            self.operands.push((bias, Scheme { scales, zero: None, axis: 0 }));
        }
        Some(self)
    }

    /// Sums of integers less their zero points, which stand behind both operands.
    fn exact(node: &NodeProto, op: &str) -> Option<Self> {
        let operand = |place: usize| {
            let zero = node.input_name(place + 2).map(str::to_owned);
            (place, Scheme { scales: Vec::new(), zero, axis: if op == "Conv" { 0 } else { -1 } })
        };
        Some(Self {
            node: stand_in(node, op, &[0, 1])?,
            operands: vec![operand(0), operand(1)],
            result: None,
        })
    }
}

fn stand_in(node: &NodeProto, op: &str, operands: &[usize]) -> Option<NodeProto> {
    let input = operands.iter().map(|&place| Some(node.input_name(place)?.to_owned()));
    Some(NodeProto {
        op_type: Some(op.to_owned()),
        domain: None,
        input: input.collect::<Option<_>>()?,
        attribute: node
            .attribute
            .iter()
            .filter(|a| !FOREIGN.contains(&a.name()))
            .cloned()
            .collect(),
        ..node.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&str> {
        list.split(' ').collect()
    }

    #[test]
    fn a_convolution_of_integers_is_one_of_floats_with_a_bias_in_units_of_its_sums() {
        let node = NodeProto::new("QLinearConv", &names("x xs xz w ws wz ys yz b"), &["y"]);
        let found = Quantized::of(&node).unwrap();
        assert_eq!((found.node.op(), found.node.input.join(" ")), ("Conv", "x w b".into()));
        assert_eq!(found.operands.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 3, 8]);
        assert_eq!(found.operands[2].1.scales, ["xs", "ws"]);
        let result = Scheme { scales: vec!["ys".into()], zero: Some("yz".into()), axis: 0 };
        assert_eq!(found.result, Some(result));
    }

    #[test]
    fn a_concatenation_names_its_result_first() {
        let list = names("ys yz a as az b bs bz");
        let node = NodeProto {
            domain: Some(MICROSOFT.into()),
            ..NodeProto::new("QLinearConcat", &list, &["y"])
        };
        let found = Quantized::of(&node).unwrap();
        assert_eq!((found.node.input.join(" "), found.operands[1].0), ("a b".into(), 5));
        assert_eq!(found.result.unwrap().scales, ["ys"]);
    }

    #[test]
    fn sums_are_exact_and_floats_are_themselves() {
        let node = NodeProto::new("MatMulInteger", &names("a b az"), &["y"]);
        let found = Quantized::of(&node).unwrap();
        assert_eq!(found.result, None);
        assert_eq!(found.operands[0].1.zero.as_deref(), Some("az"));
        assert!(Quantized::of(&NodeProto::new("Conv", &["x", "w"], &["y"])).is_none());
    }

    #[test]
    fn a_graph_of_pairs_computes_in_floats() {
        let has = |node: NodeProto| is_in(&GraphProto { node: vec![node], ..Default::default() });
        assert!(has(NodeProto::new("QLinearConv", &names("x xs xz w ws wz ys yz"), &["y"])));
        assert!(!has(NodeProto::new("DequantizeLinear", &names("x s z"), &["y"])));
        assert!(!has(NodeProto::new("QuantizeLinear", &names("x s z"), &["y"])));
    }
}
