//! Rewrites a graph and the bodies of its loops into the NCHWc layout.

use std::collections::HashMap;

use super::scope::{NCHWC_DOMAIN, runtime_node};
use super::writer::Writer;

use crate::engine::optimize::common;
use crate::engine::optimize::{
    common::{bodies, is_own},
    depthwise,
};
use crate::graph::explain_graph::float_tensor;
use onnx_gradient::index::{GraphIndex, read_names};
use onnx_gradient::passes::opset_upgrade::OPSET;
use onnx_gradient::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

/// The opset import of the runtime's NCHWc operators.
pub(crate) fn opset() -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(NCHWC_DOMAIN.into()), version: Some(1) }
}

/// A model that reorders its input to NCHWc.
#[must_use]
pub(crate) fn reorder_model(input: &str, output: &str) -> ModelProto {
    let graph = GraphProto {
        name: Some("reorder".into()),
        node: vec![runtime_node("ReorderInput", &[input], output)],
        input: vec![float_tensor(input)],
        output: vec![float_tensor(output)],
        ..GraphProto::default()
    };
    let standard = OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) };
    ModelProto {
        ir_version: Some(9),
        opset_import: vec![standard, opset()],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// Rewrites a graph whose backward pass contains depthwise convolutions. `block` is the block size.
/// Returns the number of convolutions in NCHWc.
pub(crate) fn fuse(graph: &mut GraphProto, block: usize) -> usize {
    let has_depthwise =
        bodies(graph).any(|body| body.node.iter().any(|node| is_own(node, depthwise::OPERATOR)));
    if !has_depthwise {
        return 0;
    }
    let weights = std::mem::take(&mut graph.initializer);
    let mut writer = Writer::new(&weights, block);
    graph.node = rewrite_nodes(graph, &mut writer, |writer, loops| {
        let bodies = loops.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut());
        bodies.for_each(|body| {
            // A tensor of the body does not exist outside it.
            let outside = writer.scope.clone();
            body.node = rewrite_nodes(body, writer, |_, _| {});
            finish(body, writer);
            writer.scope = outside;
        });
    });
    finish(graph, &writer);
    let constants = writer.constants;
    graph.initializer = [weights, constants].concat();
    let count = |nodes: &[NodeProto]| nodes.iter().filter(|node| is_convolution(node)).count();
    count(&graph.node) + bodies(graph).map(|body| count(&body.node)).sum::<usize>()
}

fn is_convolution(node: &NodeProto) -> bool {
    node.domain() == NCHWC_DOMAIN && node.op() == "Conv"
}

/// The nodes of a graph, in NCHWc where possible. `on_loop` receives each `Loop`.
fn rewrite_nodes(
    graph: &GraphProto,
    writer: &mut Writer<'_>,
    on_loop: impl Fn(&mut Writer<'_>, &mut NodeProto),
) -> Vec<NodeProto> {
    let graph_index = GraphIndex::new(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        if !writer.write(&graph_index, node, &mut nodes) {
            let mut node = node.clone();
            if node.is("Loop") {
                on_loop(writer, &mut node);
            }
            nodes.push(node);
        }
    }
    nodes
}

/// Adds the reorderings back to NCHW and removes nodes without consumers.
fn finish(graph: &mut GraphProto, writer: &Writer<'_>) {
    let read = read_names(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        let reorder = node.output.first().and_then(|output| writer.reorder_output(output, &read));
        nodes.push(node);
        nodes.extend(reorder);
    }
    graph.node = nodes;
    common::replace(graph, HashMap::new());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::optimize::DOMAIN;
    use crate::engine::optimize::nchwc::scope::BLOCK_ATTRIBUTE;
    use onnx_gradient::proto::{AttributeProto, TensorProto, ValueInfoProto};

    fn weights(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto::float32(name, dims, &vec![0.0; dims.iter().product::<i64>() as usize])
    }

    fn conv(inputs: &[&str], output: &str, group: i64) -> NodeProto {
        NodeProto::new("Conv", inputs, &[output]).with(AttributeProto::int("group", group))
    }

    fn depthwise(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            domain: Some(DOMAIN.into()),
            ..NodeProto::new(depthwise::OPERATOR, inputs, &[output])
        }
        .with(AttributeProto::ints("kernel_shape", [1, 1]))
    }

    /// Two 1×1 convolutions around a depthwise one, an addition, and a loop body that carries the
    /// gradient of the last one back.
    fn graph(body: Vec<NodeProto>) -> GraphProto {
        let body = GraphProto {
            node: body,
            output: vec![ValueInfoProto::untyped("maps")],
            ..Default::default()
        };
        GraphProto {
            node: vec![
                conv(&["image", "w0"], "c0", 1),
                conv(&["c0", "w1", "b1"], "c1", 1),
                NodeProto::new("Relu", &["c1"], &["r1"]),
                conv(&["r1", "w2"], "c2", 36),
                conv(&["c2", "w3"], "c3", 1),
                NodeProto::new("Add", &["c0", "c3"], &["a3"]),
                NodeProto::new("MaxPool", &["a3"], &["y"]),
                NodeProto::new("Loop", &["rounds", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ],
            initializer: vec![
                weights("w0", &[20, 3, 1, 1]),
                weights("w1", &[36, 20, 1, 1]),
                weights("b1", &[36]),
                weights("w2", &[36, 1, 1, 1]),
                weights("w3", &[20, 36, 1, 1]),
                TensorProto::int64("matrix", &[2], &[20, 36]),
                TensorProto::int64("rows", &[3], &[0, 20, -1]),
                TensorProto::int64("declared_sizes", &[4], &[0, 36, 7, 7]),
            ],
            output: ["y", "out"].map(ValueInfoProto::untyped).to_vec(),
            ..Default::default()
        }
    }

    /// Nodes with their inputs, without those that reorder filters.
    fn summary(nodes: &[NodeProto]) -> Vec<String> {
        let arranges = |node: &&NodeProto| !["Pad", "Reshape", "Transpose"].contains(&node.op());
        let short = |name: &String| name.replace("camlens/nchwc/", "~");
        nodes
            .iter()
            .filter(arranges)
            .map(|node| {
                let inputs: Vec<String> = node.input.iter().map(short).collect();
                format!("{} {} > {}", node.op(), inputs.join(" "), short(&node.output[0]))
            })
            .collect()
    }

    #[test]
    fn feature_maps_stay_in_nchwc_until_another_operator_reads_them() {
        let mut graph = graph(vec![depthwise(&["c2", "w2"], "maps")]);
        assert_eq!(fuse(&mut graph, 16), 4);
        let expected = [
            "Conv image ~Oihwbo/w0 > ~c0",
            // A ReLU is fused into its convolution, an addition into the convolution that only it
            // reads.
            "Conv ~c0 ~Oihwbibo/w1 ~bias/b1 > ~r1",
            "Conv ~r1 ~Oihwbo/w2 > ~c2",
            "Conv ~c2 ~Oihwbibo/w3  ~c0 > ~a3",
            "ReorderOutput ~a3 > a3",
            "MaxPool a3 > y",
            "Loop rounds  > out",
        ];
        assert_eq!(summary(&graph.node), expected);
        let body = graph.node.last().unwrap().attribute[0].g.as_ref().unwrap();
        assert_eq!(
            summary(&body.node),
            ["Depthwise ~c2 ~Oihwbo/w2 > ~maps", "ReorderOutput ~maps > maps"]
        );
        assert_eq!(body.node[0].int(BLOCK_ATTRIBUTE, 0), 16);
        let channels = |node: &NodeProto| node.int("channels", 0);
        assert_eq!(
            (channels(&body.node[1]), channels(&graph.node[graph.node.len() - 3])),
            (36, 20)
        );
    }

    #[test]
    fn the_matrix_product_of_a_backward_pass_becomes_a_convolution() {
        let back = |sum: &str| {
            vec![
                NodeProto::new("Reshape", &["w3", "matrix"], &["m"]),
                NodeProto::new("Transpose", &["m"], &["t"])
                    .with(AttributeProto::ints("perm", [1, 0])),
                NodeProto::new("Reshape", &["c0", "rows"], &["g"]),
                NodeProto::new("MatMul", &["t", "g"], &["p"]),
                NodeProto::new("Reshape", &["p", "declared_sizes"], &["q"]),
                NodeProto::new("Mul", &["q", "r1"], &["product"]),
                NodeProto::new("ReduceSum", &["product", sum], &["s"]),
                depthwise(&["q", "w2"], "d"),
                NodeProto::new("Add", &["d", "s"], &["maps"]),
            ]
        };
        let laid_out = |sum: &str| {
            let mut graph = graph(back(sum));
            graph.initializer.extend([
                TensorProto::int64("places", &[2], &[2, 3]),
                TensorProto::int64("rows only", &[1], &[2]),
            ]);
            fuse(&mut graph, 16);
            summary(&graph.node.last().unwrap().attribute[0].g.as_ref().unwrap().node)
        };
        let expected = [
            "Conv ~c0 ~OihwbiboTransposed/w3 > ~q",
            "Elementwise ~q ~r1 > ~s",
            "Depthwise ~q ~Oihwbo/w2 > ~d",
            "Elementwise ~d ~s > ~maps",
            "ReorderOutput ~maps > maps",
        ];
        assert_eq!(laid_out("places"), expected);
        // A sum over other axes is left to the runtime.
        assert!(laid_out("rows only").contains(&"ReduceSum product rows only > s".to_owned()));
    }

    #[test]
    fn a_filter_reordered_in_one_body_is_reordered_again_in_the_next() {
        let mut graph = graph(vec![depthwise(&["c2", "w2"], "maps")]);
        // A second loop follows and needs the same filter.
        let again = graph.node.last().unwrap().clone();
        graph.node.push(NodeProto { output: vec!["again".into()], ..again });
        graph.node[3].input[1] = "others".into();
        graph.output.push(ValueInfoProto::untyped("again"));
        graph.initializer.push(weights("others", &[36, 1, 1, 1]));
        fuse(&mut graph, 16);
        for place in [graph.node.len() - 2, graph.node.len() - 1] {
            let body = graph.node[place].attribute[0].g.as_ref().unwrap();
            assert!(body.node.iter().any(|node| node.output[0] == "camlens/nchwc/Oihwbo/w2"));
        }
    }

    #[test]
    fn a_graph_without_a_depthwise_convolution_in_its_backward_pass_is_left_alone() {
        let mut graph = graph(vec![NodeProto::new("Identity", &["c2"], &["maps"])]);
        let before = summary(&graph.node);
        assert_eq!((fuse(&mut graph, 16), summary(&graph.node)), (0, before));
    }

    #[test]
    fn a_division_stays_in_nchw_where_channels_do_not_fill_their_blocks() {
        use crate::engine::optimize::elementwise::{OPERATOR, STEPS};
        let divided = |tensor: &str| {
            let group = NodeProto {
                domain: Some(DOMAIN.into()),
                ..NodeProto::new(OPERATOR, &[tensor], &["e"])
            };
            let steps = [camlens_kernels::Op::Reciprocal as i64, 0, 0, 0];
            let body = vec![
                depthwise(&["c2", "w2"], "d"),
                group.with(AttributeProto::ints(STEPS, steps)),
                NodeProto::new("Identity", &["e"], &["maps"]),
            ];
            let mut graph = graph(body);
            fuse(&mut graph, 16);
            summary(&graph.node.last().unwrap().attribute[0].g.as_ref().unwrap().node)
        };
        assert!(divided("c2").contains(&"Elementwise c2 > e".to_owned()), "{:?}", divided("c2"));
    }
}
