//! Leaves out what no output needs, such as an auxiliary head.

use std::collections::HashSet;

use onnx_gradient::index::reads;
use onnx_gradient::proto::GraphProto;

/// Removes the nodes and constants that no output depends on.
pub fn remove(graph: &mut GraphProto) {
    let mut needed: HashSet<String> =
        graph.output.iter().map(|output| output.name().to_owned()).collect();
    let nodes = std::mem::take(&mut graph.node);
    let mut kept: Vec<_> = nodes
        .into_iter()
        .rev()
        .filter(|node| {
            let is_needed = node.output.iter().any(|output| needed.contains(output));
            if is_needed {
                needed.extend(reads(node).map(str::to_owned));
            }
            is_needed
        })
        .collect();
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| needed.contains(tensor.name()));
    graph.value_info.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{NodeProto, TensorProto, ValueInfoProto};

    #[test]
    fn only_what_the_outputs_need_is_left() {
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("Relu", &["x"], &["a"]),
                NodeProto::new("Add", &["a", "unused"], &["b"]),
                NodeProto::new("Mul", &["a", "used"], &["y"]),
            ],
            initializer: ["used", "unused"].map(|name| TensorProto::int64(name, &[], &[1])).into(),
            output: vec![ValueInfoProto::untyped("y")],
            ..GraphProto::default()
        };
        remove(&mut graph);
        let ops: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Relu", "Mul"]);
        let constants: Vec<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        assert_eq!(constants, ["used"]);
    }
}
