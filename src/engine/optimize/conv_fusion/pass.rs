//! Moves elementwise groups into the depthwise convolution that they feed or follow.
//!
//! This pass runs after the elementwise groups have been formed. A group whose only consumer is a
//! depthwise convolution becomes its prologue; a group that is the only consumer of a depthwise
//! convolution becomes its epilogue.

use std::collections::HashMap;

use crate::engine::optimize::common;
use crate::engine::optimize::elementwise::{self, CONSTANTS, STEPS};
use crate::engine::optimize::{common::is_own, depthwise};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto};

/// Attribute: the number of leading inputs that belong to the prologue; 1 if absent. The filter
/// follows, then the inputs of the epilogue.
pub(crate) const PROLOGUE_INPUTS: &str = "prologue_inputs";

/// Prefix of the prologue's attributes, which are those of an elementwise group.
pub(crate) const PROLOGUE: &str = "prologue_";

/// Prefix of the epilogue's attributes.
pub(crate) const EPILOGUE: &str = "epilogue_";

/// Attribute: the index of the convolution's output among the inputs of its epilogue.
pub(crate) const CONV_OUTPUT_INDEX: &str = "conv_output_index";

/// Fuses groups into convolutions in the bodies of a graph's `Loop` nodes. Returns how many.
pub(crate) fn fuse(graph: &mut GraphProto) -> usize {
    common::bodies(graph).map(|body| fuse_prologues(body) + fuse_epilogues(body)).sum()
}

/// Fuses groups whose only consumer is a convolution.
fn fuse_prologues(body: &mut GraphProto) -> usize {
    let graph_index = GraphIndex::new(body);
    let mut joined: HashMap<usize, NodeProto> = HashMap::new();
    for (index, node) in
        body.node.iter().enumerate().filter(|(_, node)| is_own(node, depthwise::OPERATOR))
    {
        let source = &node.input[0];
        let group =
            graph_index.producer(source).filter(|group| is_own(group, elementwise::OPERATOR));
        let Some(group) = group.filter(|_| graph_index.sole_consumer(source).is_some()) else {
            continue;
        };
        let input = group.input.iter().chain(&node.input[1..]).cloned().collect();
        let node = NodeProto { input, ..node.clone() };
        let sources = AttributeProto::int(PROLOGUE_INPUTS, group.input.len() as i64);
        joined.insert(index, with_expression(node.with(sources), PROLOGUE, group));
    }
    let count = joined.len();
    common::replace(body, joined);
    count
}

/// Fuses groups that are the only consumer of a convolution.
fn fuse_epilogues(body: &mut GraphProto) -> usize {
    let graph_index = GraphIndex::new(body);
    let mut joined: HashMap<usize, NodeProto> = HashMap::new();
    let groups =
        body.node.iter().enumerate().filter(|(_, node)| is_own(node, elementwise::OPERATOR));
    for (index, group) in groups {
        let candidates = group
            .input
            .iter()
            .enumerate()
            .filter(|(_, input)| depthwise::is_output_with_one_consumer(&graph_index, input));
        // The convolution that was computed last is the likeliest to be in the cache.
        let last = candidates
            .filter_map(|(input_index, input)| Some((graph_index.position(input)?, input_index)))
            .max();
        let Some((position, input_index)) = last else { continue };
        let convolution = &body.node[position];
        let others = group.input.iter().enumerate().filter(|(other, _)| *other != input_index);
        let input =
            convolution.input.iter().chain(others.map(|(_, input)| input)).cloned().collect();
        let node = NodeProto { input, output: group.output.clone(), ..convolution.clone() };
        let conv_output = AttributeProto::int(CONV_OUTPUT_INDEX, input_index as i64);
        joined.insert(index, with_expression(node.with(conv_output), EPILOGUE, group));
    }
    let count = joined.len();
    common::replace(body, joined);
    count
}

/// Copies a group's expression into a node's attributes.
fn with_expression(node: NodeProto, prefix: &str, group: &NodeProto) -> NodeProto {
    let named = |name: &str| {
        let attribute = group.attribute(name).cloned().unwrap_or_default();
        AttributeProto { name: Some(format!("{prefix}{name}")), ..attribute }
    };
    node.with(named(STEPS)).with(named(CONSTANTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::ValueInfoProto;

    /// The body of a loop with these nodes, after the pass.
    fn fused(nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<NodeProto> {
        let output = outputs.iter().map(|name| ValueInfoProto::untyped(name)).collect();
        let body = GraphProto { node: nodes, output, ..Default::default() };
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("Loop", &["rounds", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ],
            ..Default::default()
        };
        let count = fuse(&mut graph);
        let body = graph.node[0].attribute[0].g.take().unwrap();
        let fusions = |node: &NodeProto| {
            [PROLOGUE_INPUTS, CONV_OUTPUT_INDEX]
                .iter()
                .filter(|name| node.attribute(name).is_some())
                .count()
        };
        assert_eq!(count, body.node.iter().map(fusions).sum::<usize>());
        body.node
    }

    fn own(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            domain: Some(crate::engine::optimize::DOMAIN.into()),
            ..NodeProto::new(op, inputs, &[output])
        }
    }

    /// A group whose only step is operation `op`, so that groups can be told apart.
    fn group(op: i64, inputs: &[&str], output: &str) -> NodeProto {
        own(elementwise::OPERATOR, inputs, output)
            .with(AttributeProto::ints(STEPS, [op, 0, 0, 0]))
            .with(AttributeProto::floats(CONSTANTS, [op as f32]))
    }

    #[test]
    fn a_convolution_takes_its_only_producer_and_its_only_consumer() {
        let nodes = fused(
            vec![
                group(1, &["g", "x", "s"], "a"),
                own(depthwise::OPERATOR, &["a", "w"], "b"),
                group(2, &["z", "b", "y"], "c"),
            ],
            &["c"],
        );
        assert_eq!(nodes.len(), 1);
        let node = &nodes[0];
        assert_eq!(
            (node.input.join(" ").as_str(), node.output.join(" ").as_str()),
            ("g x s w z y", "c")
        );
        assert_eq!((node.int(PROLOGUE_INPUTS, 1), node.int(CONV_OUTPUT_INDEX, -1)), (3, 1));
        assert_eq!(node.ints("prologue_steps").unwrap()[0], 1);
        assert_eq!(node.ints("epilogue_steps").unwrap()[0], 2);
        assert_eq!(node.attribute("epilogue_constants").unwrap().floats, [2.0]);
    }

    #[test]
    fn a_group_with_other_consumers_is_left_alone() {
        let nodes = |outputs: &[&str]| {
            let nodes = vec![
                group(1, &["g", "x"], "a"),
                own(depthwise::OPERATOR, &["a", "w"], "b"),
                group(2, &["b", "x"], "c"),
            ];
            fused(nodes, outputs).iter().map(|node| node.input.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(nodes(&["c"]), ["g x w x"]);
        assert_eq!(nodes(&["c", "a"]), ["g x", "a w x"]);
        assert_eq!(nodes(&["c", "b"]), ["g x w", "b x"]);
    }

    #[test]
    fn of_two_convolutions_a_group_joins_the_later() {
        let nodes = fused(
            vec![
                own(depthwise::OPERATOR, &["x", "w"], "a"),
                own(depthwise::OPERATOR, &["y", "v"], "b"),
                group(1, &["b", "a"], "c"),
            ],
            &["c"],
        );
        let inputs: Vec<String> = nodes.iter().map(|node| node.input.join(" ")).collect();
        assert_eq!(inputs, ["x w", "y v a"]);
        assert_eq!(nodes[1].int(CONV_OUTPUT_INDEX, -1), 0);
    }
}
