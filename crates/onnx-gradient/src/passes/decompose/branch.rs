//! An `If` that always takes the same branch.

use super::steps::Steps;
use crate::proto::GraphProto;

/// An `If` with a constant condition is the nodes of its branch.
pub(super) fn taken(steps: &mut Steps<'_>) -> Option<()> {
    let holds = steps.truth(steps.input(0)?)?;
    let name = if holds { "then_branch" } else { "else_branch" };
    let branch: &GraphProto = steps.node.attribute(name)?.g.as_ref()?;
    branch.node.iter().for_each(|node| steps.push(node.clone()));
    branch.initializer.iter().for_each(|constant| steps.push_constant(constant.clone()));
    for (index, output) in branch.output.iter().enumerate() {
        if steps.node.output.get(index).is_some_and(|name| !name.is_empty()) {
            steps.finish(index, output.name())?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::decompose::write_out;
    use crate::proto::{
        AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type,
    };

    #[test]
    fn a_branch_that_is_always_taken_is_its_nodes() {
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
        assert!(write_out(&mut model));
        let graph = model.graph.unwrap();
        let ops: Vec<_> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Tanh", "Identity"]);
        assert_eq!(graph.node[1].output, ["y"]);
    }
}
