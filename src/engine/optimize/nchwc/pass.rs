//! Maps in blocks of channels from one end of a program to the other.
//!
//! The runtime's convolutions work on maps `[N, C/L, H, W, L]`, with 8 or 16 lanes L by the
//! processor, and it turns maps round where another operator stands between two of them. A backward
//! pass through depthwise convolutions is full of camlens's own operators, so maps would be
//! turned all the time, and its convolutions of 1×1 be products of matrices in the ordinary order,
//! which take twice as long. [`lay_out`] writes what the runtime would write, its operators of the
//! domain [`RUNTIME`], forwards and backwards, and between them camlens's own, which take either
//! order.
//!
//! A tensor in blocks is called `[N, C, H, W]` all the same. Where channels do not fill their
//! blocks, the rest is zeros after a convolution, and whatever is made of zeros after that; filters
//! have zeros for it.

use std::collections::HashMap;

use super::writer::{self, Writer};

use crate::engine::optimize::{
    common::{bodies, is_own},
    depthwise,
};
use crate::graph::explain_graph::float_tensor;
use onnx_gradient::index::{GraphIndex, read_names};
use onnx_gradient::passes::opset_upgrade::OPSET;
use onnx_gradient::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

/// An operator of camlens takes and gives maps in blocks of so many channels if it has this
/// attribute, and it is not 0.
pub(crate) const ATTRIBUTE: &str = "blocks";

/// The domain of the runtime's operators on blocks.
pub(crate) const RUNTIME: &str = "com.microsoft.nchwc";

/// The opset of these operators.
pub(crate) fn opset() -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(RUNTIME.into()), version: Some(1) }
}

/// A model that turns the maps of its input into blocks.
#[must_use]
pub(crate) fn turning(input: &str, output: &str) -> ModelProto {
    let graph = GraphProto {
        name: Some("turning".into()),
        node: vec![writer::of_runtime("ReorderInput", &[input], output)],
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

/// Lays out a graph that carries gradients back through depthwise convolutions, in blocks of so
/// many channels; returns how many convolutions are in blocks.
pub(crate) fn lay_out(graph: &mut GraphProto, lanes: usize) -> usize {
    let has_depthwise =
        bodies(graph).any(|body| body.node.iter().any(|node| is_own(node, depthwise::OPERATOR)));
    if !has_depthwise {
        return 0;
    }
    let weights = std::mem::take(&mut graph.initializer);
    let mut writer = Writer::new(&weights, lanes);
    graph.node = laid_out(graph, &mut writer, |writer, loops| {
        let bodies = loops.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut());
        bodies.for_each(|body| {
            // What a body makes is not there outside it.
            let outside = writer.scope.clone();
            body.node = laid_out(body, writer, |_, _| {});
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
    node.domain() == RUNTIME && node.op() == "Conv"
}

/// The nodes of a graph in blocks, as far as they can be; `inside` is handed the loops.
fn laid_out(
    graph: &GraphProto,
    writer: &mut Writer<'_>,
    inside: impl Fn(&mut Writer<'_>, &mut NodeProto),
) -> Vec<NodeProto> {
    let graph_index = GraphIndex::new(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        if !writer.write(&graph_index, node, &mut nodes) {
            let mut node = node.clone();
            if node.is("Loop") {
                inside(writer, &mut node);
            }
            nodes.push(node);
        }
    }
    nodes
}

/// Turns round what others read, and drops what nobody reads any more.
fn finish(graph: &mut GraphProto, writer: &Writer<'_>) {
    let read = read_names(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        let turned = node.output.first().and_then(|output| writer.turned(output, &read));
        nodes.push(node);
        nodes.extend(turned);
    }
    graph.node = nodes;
    crate::engine::optimize::common::replace(graph, HashMap::new());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::optimize::DOMAIN;
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

    /// Two convolutions of 1×1 around one for every channel, an addition, and a body that carries
    /// the last one's gradient back.
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
                TensorProto::int64("told", &[4], &[0, 36, 7, 7]),
            ],
            output: ["y", "out"].map(ValueInfoProto::untyped).to_vec(),
            ..Default::default()
        }
    }

    /// Operators with their inputs, without what arranges weights.
    fn told(nodes: &[NodeProto]) -> Vec<String> {
        let arranges = |node: &&NodeProto| !["Pad", "Reshape", "Transpose"].contains(&node.op());
        let short = |name: &String| name.replace("camlens/blocks/", "~");
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
    fn maps_stay_in_blocks_from_the_image_to_whoever_reads_them_otherwise() {
        let mut graph = graph(vec![depthwise(&["c2", "w2"], "maps")]);
        assert_eq!(lay_out(&mut graph, 16), 4);
        let expected = [
            "Conv image ~Out/w0 > ~c0",
            // A ReLU goes with its convolution, an addition with the one that it alone reads.
            "Conv ~c0 ~Both/w1 ~bias/b1 > ~r1",
            "Conv ~r1 ~Out/w2 > ~c2",
            "Conv ~c2 ~Both/w3  ~c0 > ~a3",
            "ReorderOutput ~a3 > a3",
            "MaxPool a3 > y",
            "Loop rounds  > out",
        ];
        assert_eq!(told(&graph.node), expected);
        let body = graph.node.last().unwrap().attribute[0].g.as_ref().unwrap();
        assert_eq!(
            told(&body.node),
            ["Depthwise ~c2 ~Out/w2 > ~maps", "ReorderOutput ~maps > maps"]
        );
        assert_eq!(body.node[0].int(ATTRIBUTE, 0), 16);
        let channels = |node: &NodeProto| node.int("channels", 0);
        assert_eq!(
            (channels(&body.node[1]), channels(&graph.node[graph.node.len() - 3])),
            (36, 20)
        );
    }

    #[test]
    fn a_product_that_carries_a_gradient_back_is_a_convolution_again() {
        let back = |sum: &str| {
            vec![
                NodeProto::new("Reshape", &["w3", "matrix"], &["m"]),
                NodeProto::new("Transpose", &["m"], &["t"])
                    .with(AttributeProto::ints("perm", [1, 0])),
                NodeProto::new("Reshape", &["c0", "rows"], &["g"]),
                NodeProto::new("MatMul", &["t", "g"], &["p"]),
                NodeProto::new("Reshape", &["p", "told"], &["q"]),
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
            lay_out(&mut graph, 16);
            told(&graph.node.last().unwrap().attribute[0].g.as_ref().unwrap().node)
        };
        let expected = [
            "Conv ~c0 ~Back/w3 > ~q",
            "Elementwise ~q ~r1 > ~s",
            "Depthwise ~q ~Out/w2 > ~d",
            "Elementwise ~d ~s > ~maps",
            "ReorderOutput ~maps > maps",
        ];
        assert_eq!(laid_out("places"), expected);
        // A sum over other places is the runtime's.
        assert!(laid_out("rows only").contains(&"ReduceSum product rows only > s".to_owned()));
    }

    #[test]
    fn what_a_body_makes_is_made_again_outside_it() {
        let mut graph = graph(vec![depthwise(&["c2", "w2"], "maps")]);
        // A second loop stands behind the first and arranges the same filter for itself.
        let again = graph.node.last().unwrap().clone();
        graph.node.push(NodeProto { output: vec!["again".into()], ..again });
        graph.node[3].input[1] = "others".into();
        graph.output.push(ValueInfoProto::untyped("again"));
        graph.initializer.push(weights("others", &[36, 1, 1, 1]));
        lay_out(&mut graph, 16);
        for place in [graph.node.len() - 2, graph.node.len() - 1] {
            let body = graph.node[place].attribute[0].g.as_ref().unwrap();
            assert!(body.node.iter().any(|node| node.output[0] == "camlens/blocks/Out/w2"));
        }
    }

    #[test]
    fn without_a_depthwise_convolution_on_the_way_back_nothing_is_laid_out() {
        let mut graph = graph(vec![NodeProto::new("Identity", &["c2"], &["maps"])]);
        let before = told(&graph.node);
        assert_eq!((lay_out(&mut graph, 16), told(&graph.node)), (0, before));
    }

    #[test]
    fn what_divides_stays_in_the_ordinary_order_where_channels_fill_no_block() {
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
            lay_out(&mut graph, 16);
            told(&graph.node.last().unwrap().attribute[0].g.as_ref().unwrap().node)
        };
        assert!(divided("c2").contains(&"Elementwise c2 > e".to_owned()), "{:?}", divided("c2"));
    }
}
