//! Operators that compute in integers, and the float operators that they stand for.
//!
//! ONNX Runtime's quantiser writes two formats. In the QDQ format a model computes in floats
//! between pairs of `QuantizeLinear` and `DequantizeLinear`. In the QOperator format it computes in
//! integers throughout: each operator takes scales and zero points as inputs in addition to its
//! operands. [`QuantizedOp::from_node`] is the table of these operators. With it, code that knows
//! float operators, such as the vjps, treats both formats alike.

use std::borrow::Cow;

use crate::index::GraphIndex;
use crate::node::MICROSOFT_DOMAIN;
use crate::proto::{AttributeProto, GraphProto, NodeProto};

/// Attributes that exist only on operators of ONNX Runtime's own domain.
const NOT_IN_STANDARD: [&str; 2] = ["channels_last", "opset"];

/// An integer operator as the float operator that it stands for.
#[derive(Debug)]
pub struct QuantizedOp {
    /// The float operator, with the operands of the original node and without their scales.
    pub node: NodeProto,
    /// For each operand, its input index in the original node and its quantisation.
    pub operands: Vec<(usize, QuantParams)>,
    /// Quantisation of the result; `None` for exact integer sums and for float results, which are
    /// not rounded.
    pub result: Option<QuantParams>,
}

/// Quantisation parameters: integers `q` stand for `(q − zero_point) · scale`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantParams {
    /// Tensors whose product is the scale; an empty list means 1.
    pub scales: Vec<String>,
    /// Tensor of the zero point; `None` means 0.
    pub zero_point: Option<String>,
    /// Axis of the quantised tensor along which scale and zero point vary, where they are vectors.
    pub axis: i64,
}

impl QuantParams {
    /// Reads the scale at input `scale` and the zero point at the input after it.
    fn from_inputs(node: &NodeProto, scale: usize, axis: i64) -> Option<Self> {
        let zero_point = node.input_name(scale + 1).map(str::to_owned);
        Some(Self { scales: vec![node.input_name(scale)?.to_owned()], zero_point, axis })
    }
}

/// The node itself, or the float operator that it stands for.
#[must_use]
pub fn float_equivalent(node: &NodeProto) -> Cow<'_, NodeProto> {
    QuantizedOp::from_node(node).map_or(Cow::Borrowed(node), |op| Cow::Owned(op.node))
}

/// True when a graph contains an integer operator of the QOperator format.
#[must_use]
pub fn has_integer_ops(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| QuantizedOp::from_node(node).is_some())
}

/// The integer tensor that a `QuantizeLinear` node reproduces exactly: the node reads the
/// `DequantizeLinear` of it with the same scale and zero point. `None` for other nodes.
#[must_use]
pub fn requantized_input<'g>(graph_index: &GraphIndex<'g>, node: &NodeProto) -> Option<&'g str> {
    let input = node.input_name(0).filter(|_| node.is("QuantizeLinear"))?;
    let producer = graph_index.producer(input)?;
    let is_same = producer.is("DequantizeLinear")
        && (1..3).all(|index| producer.input_name(index) == node.input_name(index));
    producer.input_name(0).filter(|_| is_same)
}

impl QuantizedOp {
    /// Reads a node; `None` for float operators, and for forms of integer operators that are not in
    /// the table.
    #[must_use]
    pub fn from_node(node: &NodeProto) -> Option<Self> {
        let is_known = node.is_standard() || node.domain() == MICROSOFT_DOMAIN;
        // ONNX Runtime's optimiser moves the channels of some operators last; standard operators
        // have no such form.
        if !is_known || node.int("channels_last", 0) != 0 {
            return None;
        }
        match node.op() {
            "QLinearConv" => Self::rounded(node, "Conv", &[0, 3], 6)?.with_bias(node, 8),
            "QLinearMatMul" => Self::rounded(node, "MatMul", &[0, 3], 6),
            "QLinearAdd" => Self::rounded(node, "Add", &[0, 3], 6),
            "QLinearMul" => Self::rounded(node, "Mul", &[0, 3], 6),
            "QLinearSigmoid" => Self::rounded(node, "Sigmoid", &[0], 3),
            "QLinearLeakyRelu" => Self::rounded(node, "LeakyRelu", &[0], 3),
            "QLinearSoftmax" if node.int("opset", 13) >= 13 => {
                Self::rounded(node, "Softmax", &[0], 3)
            }
            "QLinearAveragePool" => Self::rounded(node, "AveragePool", &[0], 3),
            "QLinearGlobalAveragePool" => Self::rounded(node, "GlobalAveragePool", &[0], 3),
            "QLinearConcat" => {
                let operands: Vec<usize> = (2..node.input.len()).step_by(3).collect();
                Self::rounded(node, "Concat", &operands, 0)
            }
            "QGemm" => Self::rounded(node, "Gemm", &[0, 3], 7)?.with_bias(node, 6),
            "ConvInteger" => Self::exact(node, "Conv"),
            "MatMulInteger" => Self::exact(node, "MatMul"),
            _ => None,
        }
    }

    /// An operator whose operands are each followed by their scale and zero point; those of the
    /// result start at input `result`.
    fn rounded(node: &NodeProto, op: &str, operands: &[usize], result: usize) -> Option<Self> {
        // Weights have one scale per output channel. `transB` says which axis of a `Gemm` weight
        // holds the output channels.
        let axis = if op == "Conv" || node.int("transB", 0) != 0 { 0 } else { -1 };
        let operand =
            |&index: &usize| Some((index, QuantParams::from_inputs(node, index + 1, axis)?));
        Some(Self {
            node: float_node(node, op, operands)?,
            operands: operands.iter().map(operand).collect::<Option<_>>()?,
            result: QuantParams::from_inputs(node, result, axis),
        })
    }

    /// Adds a bias, whose scale is the product of the scales of both operands.
    fn with_bias(mut self, node: &NodeProto, index: usize) -> Option<Self> {
        if let Some(name) = node.input_name(index) {
            // The factor would scale the bias, too.
            if node.float("alpha", 1.0) != 1.0 {
                return None;
            }
            let scales =
                self.operands.iter().flat_map(|(_, params)| params.scales.clone()).collect();
            self.node.input.push(name.to_owned());
            self.operands.push((index, QuantParams { scales, zero_point: None, axis: 0 }));
        }
        Some(self)
    }

    /// An operator with exact integer sums: two operands, then their zero points, no scales.
    fn exact(node: &NodeProto, op: &str) -> Option<Self> {
        let axis = if op == "Conv" { 0 } else { -1 };
        let operand = |index: usize| {
            let zero_point = node.input_name(index + 2).map(str::to_owned);
            (index, QuantParams { scales: Vec::new(), zero_point, axis })
        };
        Some(Self {
            node: float_node(node, op, &[0, 1])?,
            operands: vec![operand(0), operand(1)],
            result: None,
        })
    }
}

/// The float operator `op` on these inputs of an integer operator.
fn float_node(node: &NodeProto, op: &str, operands: &[usize]) -> Option<NodeProto> {
    let input = operands.iter().map(|&index| Some(node.input_name(index)?.to_owned()));
    let is_standard = |attribute: &&AttributeProto| !NOT_IN_STANDARD.contains(&attribute.name());
    Some(NodeProto {
        op_type: Some(op.to_owned()),
        domain: None,
        input: input.collect::<Option<_>>()?,
        attribute: node.attribute.iter().filter(is_standard).cloned().collect(),
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
    fn the_bias_of_an_integer_convolution_has_the_scale_of_its_sums() {
        let node = NodeProto::new("QLinearConv", &names("x xs xz w ws wz ys yz b"), &["y"]);
        let found = QuantizedOp::from_node(&node).unwrap();
        assert_eq!((found.node.op(), found.node.input.join(" ")), ("Conv", "x w b".into()));
        assert_eq!(found.operands.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 3, 8]);
        assert_eq!(found.operands[2].1.scales, ["xs", "ws"]);
        let result =
            QuantParams { scales: vec!["ys".into()], zero_point: Some("yz".into()), axis: 0 };
        assert_eq!(found.result, Some(result));
    }

    #[test]
    fn an_integer_concatenation_has_its_result_parameters_first() {
        let list = names("ys yz a as az b bs bz");
        let node = NodeProto {
            domain: Some(MICROSOFT_DOMAIN.into()),
            ..NodeProto::new("QLinearConcat", &list, &["y"])
        };
        let found = QuantizedOp::from_node(&node).unwrap();
        assert_eq!((found.node.input.join(" "), found.operands[1].0), ("a b".into(), 5));
        assert_eq!(found.result.unwrap().scales, ["ys"]);
    }

    #[test]
    fn integer_products_are_exact_and_float_operators_are_not_in_the_table() {
        let node = NodeProto::new("MatMulInteger", &names("a b az"), &["y"]);
        let found = QuantizedOp::from_node(&node).unwrap();
        assert_eq!(found.result, None);
        assert_eq!(found.operands[0].1.zero_point.as_deref(), Some("az"));
        assert!(QuantizedOp::from_node(&NodeProto::new("Conv", &["x", "w"], &["y"])).is_none());
    }

    #[test]
    fn a_graph_in_qdq_format_has_no_integer_operators() {
        let has = |node: NodeProto| {
            has_integer_ops(&GraphProto { node: vec![node], ..Default::default() })
        };
        assert!(has(NodeProto::new("QLinearConv", &names("x xs xz w ws wz ys yz"), &["y"])));
        assert!(!has(NodeProto::new("DequantizeLinear", &names("x s z"), &["y"])));
        assert!(!has(NodeProto::new("QuantizeLinear", &names("x s z"), &["y"])));
    }
}
