//! Replaces fused operators by the standard operators that they are made of.
//!
//! ONNX Runtime's optimiser and its exporters fuse several operators into one of the domain
//! `com.microsoft`. The vjps cover standard operators, so each fused node is replaced by the steps
//! that its documentation gives. The standard's own `Attention`, and an `If` with a constant
//! condition, are decomposed too. A form that is not covered stays as it is, and
//! [`backward`](crate::backward::backward) names it if a gradient has to pass through it.
//!
//! Compare the outputs of the decomposed model with those of the original when it matters: kernels
//! of fused operators are not always faithful to their documentation.
//!
//! To add an operator, write its function in the file of its family and list it in `lookup`.

mod activation;
mod attention;
mod branch;
mod fused_node;
mod normalization;
mod product;

use self::fused_node::{FusedNode, StaticFacts};
use crate::builder::GraphBuilder;
use crate::node::MICROSOFT_DOMAIN;
use crate::proto::{GraphProto, ModelProto, NodeProto};

/// Writes the steps of one node; `None` when the node has a form that is not covered.
type Decompose = fn(&mut GraphBuilder, &FusedNode<'_>) -> Option<()>;

/// Branches of an `If` may hold fused operators and further branches, to this depth.
const MAX_DEPTH: usize = 8;

/// Decomposes the fused operators of a model. True when there were any.
pub fn decompose(model: &mut ModelProto) -> bool {
    let Some(graph) = &mut model.graph else { return false };
    let mut changed = false;
    for _ in 0..MAX_DEPTH {
        if !decompose_nodes(graph) {
            break;
        }
        changed = true;
    }
    changed
}

/// Decomposes the nodes of the graph itself, not those of its sub-graphs. True when there were any.
fn decompose_nodes(graph: &mut GraphProto) -> bool {
    let facts = StaticFacts::new(graph);
    let mut changed = false;
    for node in std::mem::take(&mut graph.node) {
        let fused = FusedNode::new(&node, &facts);
        let mut builder = fused.builder();
        match lookup(&node).and_then(|decompose| decompose(&mut builder, &fused)) {
            Some(()) => {
                changed = true;
                let (nodes, initializers) = builder.finish();
                graph.node.extend(nodes);
                graph.initializer.extend(initializers);
            }
            None => graph.node.push(node),
        }
    }
    changed
}

/// The function that decomposes a node; `None` when its operator is not fused, or is not covered.
fn lookup(node: &NodeProto) -> Option<Decompose> {
    if node.is_standard() {
        return Some(match node.op() {
            "Attention" => attention::standard,
            "If" => branch::constant_if,
            // ONNX Runtime's optimiser writes it in the standard domain, which does not define it.
            "SimplifiedLayerNormalization" => normalization::simplified,
            _ => return None,
        });
    }
    let microsoft: &[(&str, Decompose)] = &[
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
    let is_microsoft = node.domain() == MICROSOFT_DOMAIN;
    let entry = microsoft.iter().find(|(op, _)| is_microsoft && *op == node.op())?;
    Some(entry.1)
}

/// Renames the operator to the standard operator of the same name and meaning.
fn in_standard_domain(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    builder.nodes.push(NodeProto { domain: None, ..fused.node.clone() });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttributeProto, TensorProto, ValueInfoProto, data_type};

    #[test]
    fn an_operator_that_is_not_listed_stays() {
        let node = NodeProto {
            domain: Some(MICROSOFT_DOMAIN.into()),
            ..NodeProto::new("QLinearAdd", &["x"], &["y"])
        };
        let graph = GraphProto { node: vec![node], ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };
        assert!(!decompose(&mut model));
    }

    #[test]
    fn an_if_with_a_constant_condition_becomes_the_nodes_of_its_branch() {
        let branch = |op: &str, name: &str| GraphProto {
            node: vec![NodeProto::new(op, &["x"], &[name])],
            output: vec![ValueInfoProto::untyped(name)],
            ..Default::default()
        };
        let condition = TensorProto {
            name: Some("no".into()),
            data_type: Some(data_type::BOOL),
            raw_data: Some(vec![0].into()),
            ..Default::default()
        };
        let node = NodeProto::new("If", &["no"], &["y"])
            .with(AttributeProto::graph("then_branch", branch("Relu", "a")))
            .with(AttributeProto::graph("else_branch", branch("Tanh", "b")));
        let graph =
            GraphProto { node: vec![node], initializer: vec![condition], ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };
        assert!(decompose(&mut model));
        let graph = model.graph.unwrap();
        let ops: Vec<_> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Tanh", "Identity"]);
        assert_eq!(graph.node[1].output, ["y"]);
    }
}
