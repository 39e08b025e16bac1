//! Fused operators, written out in the standard ones that they stand for.
//!
//! ONNX Runtime's optimiser and its exporters put several steps into one operator of
//! the domain `com.microsoft`. The gradient rules speak of standard operators, so
//! each is replaced by its steps, as its documentation gives them; what has a form
//! that is not listed stays and is named where a gradient is asked for. The standard's `Attention`
//! and an `If` whose condition is a constant are written out likewise.
//! Whoever loads a model proves the result: it must give the original's scores.
//!
//! [`find`] is the table; [`Steps`] is what its functions write with.

mod activation;
mod attention;
mod branch;
mod normalization;
mod product;
mod steps;

use self::steps::{Known, Steps};
use crate::proto::{GraphProto, ModelProto, NodeProto};

/// ONNX Runtime's own domain.
pub const MICROSOFT: &str = "com.microsoft";

/// Writes one node out; `None` when it has a form that is not written out.
type WriteOut = fn(&mut Steps<'_>) -> Option<()>;

/// Writes out what is fused. True when anything was.
pub fn write_out(model: &mut ModelProto) -> bool {
    let Some(graph) = &mut model.graph else { return false };
    let mut changed = false;
    // Branches may hold fused operators and further branches; deeper ones are no classifier's.
    for _ in 0..8 {
        if !once(graph) {
            break;
        }
        changed = true;
    }
    changed
}

/// Writes out the nodes of the graph itself, not what its branches hold. True when there were any.
fn once(graph: &mut GraphProto) -> bool {
    let known = Known::of(graph);
    let mut any = false;
    for node in std::mem::take(&mut graph.node) {
        let mut steps = Steps::new(&node, &known);
        match find(&node).and_then(|write_out| write_out(&mut steps)) {
            Some(()) => {
                any = true;
                let (nodes, constants) = steps.written();
                graph.node.extend(nodes);
                graph.initializer.extend(constants);
            }
            None => graph.node.push(node),
        }
    }
    any
}

/// How a node is written out; `None` when it is not fused.
fn find(node: &NodeProto) -> Option<WriteOut> {
    if node.is_standard() {
        return Some(match node.op() {
            "Attention" => attention::standard,
            "If" => branch::taken,
            // ONNX Runtime's optimiser writes it into the standard domain, where it is none.
            "SimplifiedLayerNormalization" => normalization::simplified,
            _ => return None,
        });
    }
    let microsoft: &[(&str, WriteOut)] = &[
        ("Attention", attention::packed),
        ("BiasGelu", activation::gelu),
        ("DequantizeLinear", in_standard_domain),
        ("FastGelu", activation::fast_gelu),
        ("FusedConv", product::conv),
        ("FusedGemm", product::gemm),
        ("FusedMatMul", product::matmul),
        ("Gelu", activation::gelu),
        ("MultiHeadAttention", attention::multi_head),
        ("QuantizeLinear", in_standard_domain),
        ("QuickGelu", activation::quick_gelu),
        ("SkipLayerNormalization", normalization::skip),
        ("SkipSimplifiedLayerNormalization", normalization::skip_simplified),
        ("TransposeMatMul", product::matmul),
    ];
    let known = microsoft.iter().find(|(op, _)| node.domain() == MICROSOFT && *op == node.op());
    known.map(|&(_, write_out)| write_out)
}

/// The standard has the same operator.
fn in_standard_domain(steps: &mut Steps<'_>) -> Option<()> {
    steps.push(NodeProto { domain: None, ..steps.node.clone() });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_stays() {
        let node = NodeProto {
            domain: Some(MICROSOFT.into()),
            ..NodeProto::new("QLinearAdd", &["x"], &["y"])
        };
        let graph = GraphProto { node: vec![node], ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };
        assert!(!write_out(&mut model));
    }
}
