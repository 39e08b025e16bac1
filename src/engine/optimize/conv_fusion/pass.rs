//! Elementwise arithmetic that a depthwise convolution does along the way, while the numbers are in
//! the cache.
//!
//! [`join`] comes after the groups have been found: one whose result only a depthwise convolution
//! reads is worked out while that reads its maps, and one that alone reads what a convolution
//! makes, right behind it.

use std::collections::HashMap;

use crate::engine::optimize::elementwise::{self, CONSTANTS, STEPS};
use crate::engine::optimize::{common::is_own, depthwise};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto};

/// Attribute of a convolution: how many inputs come first, out of which what it convolves is worked
/// out; 1 without it. The weights follow, then what is read afterwards.
pub(crate) const SOURCES: &str = "sources";

/// How the attributes begin that work out what is convolved: those of a group follow.
pub(crate) const BEFORE: &str = "before_";

/// How the attributes begin that say what becomes of the result.
pub(crate) const AFTER: &str = "after_";

/// Attribute: the place of the convolution's result among the inputs of what comes after it.
pub(crate) const HANDED: &str = "handed";

/// Joins groups with convolutions in the bodies of a graph's `Loop` nodes; returns how many.
pub(crate) fn join(graph: &mut GraphProto) -> usize {
    crate::engine::optimize::common::bodies(graph)
        .map(|body| join_before(body) + join_after(body))
        .sum()
}

/// What a convolution alone reads.
fn join_before(body: &mut GraphProto) -> usize {
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
        let sources = AttributeProto::int(SOURCES, group.input.len() as i64);
        joined.insert(index, with_steps(node.with(sources), BEFORE, group));
    }
    let count = joined.len();
    crate::engine::optimize::common::replace(body, joined);
    count
}

/// What alone reads a convolution.
fn join_after(body: &mut GraphProto) -> usize {
    let graph_index = GraphIndex::new(body);
    let mut joined: HashMap<usize, NodeProto> = HashMap::new();
    let groups =
        body.node.iter().enumerate().filter(|(_, node)| is_own(node, elementwise::OPERATOR));
    for (index, group) in groups {
        let behind = group
            .input
            .iter()
            .enumerate()
            .filter(|(_, input)| depthwise::makes_for_one(&graph_index, input));
        // The last that was made is the likeliest to be in the cache still.
        let last =
            behind.filter_map(|(place, input)| Some((graph_index.position(input)?, place))).max();
        let Some((position, place)) = last else { continue };
        let convolution = &body.node[position];
        let others = group.input.iter().enumerate().filter(|(other, _)| *other != place);
        let input =
            convolution.input.iter().chain(others.map(|(_, input)| input)).cloned().collect();
        let node = NodeProto { input, output: group.output.clone(), ..convolution.clone() };
        let handed = AttributeProto::int(HANDED, place as i64);
        joined.insert(index, with_steps(node.with(handed), AFTER, group));
    }
    let count = joined.len();
    crate::engine::optimize::common::replace(body, joined);
    count
}

/// A node with the expression of a group.
fn with_steps(node: NodeProto, prefix: &str, group: &NodeProto) -> NodeProto {
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

    /// What becomes of the body of a loop that holds these nodes.
    fn joined(nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<NodeProto> {
        let output = outputs.iter().map(|name| ValueInfoProto::untyped(name)).collect();
        let body = GraphProto { node: nodes, output, ..Default::default() };
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("Loop", &["rounds", ""], &["out"])
                    .with(AttributeProto::graph("body", body)),
            ],
            ..Default::default()
        };
        let count = join(&mut graph);
        let body = graph.node[0].attribute[0].g.take().unwrap();
        let along = |node: &NodeProto| {
            [SOURCES, HANDED].iter().filter(|name| node.attribute(name).is_some()).count()
        };
        assert_eq!(count, body.node.iter().map(along).sum::<usize>());
        body.node
    }

    fn own(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            domain: Some(crate::engine::optimize::DOMAIN.into()),
            ..NodeProto::new(op, inputs, &[output])
        }
    }

    /// A group whose only step is number `op`, so that groups can be told apart.
    fn group(op: i64, inputs: &[&str], output: &str) -> NodeProto {
        own(elementwise::OPERATOR, inputs, output)
            .with(AttributeProto::ints(STEPS, [op, 0, 0, 0]))
            .with(AttributeProto::floats(CONSTANTS, [op as f32]))
    }

    #[test]
    fn a_convolution_takes_what_only_it_reads_and_what_alone_reads_it() {
        let nodes = joined(
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
        assert_eq!((node.int(SOURCES, 1), node.int(HANDED, -1)), (3, 1));
        assert_eq!(node.ints("before_steps").unwrap()[0], 1);
        assert_eq!(node.ints("after_steps").unwrap()[0], 2);
        assert_eq!(node.attribute("after_constants").unwrap().floats, [2.0]);
    }

    #[test]
    fn what_others_read_stays_where_it_is() {
        let nodes = |outputs: &[&str]| {
            let nodes = vec![
                group(1, &["g", "x"], "a"),
                own(depthwise::OPERATOR, &["a", "w"], "b"),
                group(2, &["b", "x"], "c"),
            ];
            joined(nodes, outputs).iter().map(|node| node.input.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(nodes(&["c"]), ["g x w x"]);
        assert_eq!(nodes(&["c", "a"]), ["g x", "a w x"]);
        assert_eq!(nodes(&["c", "b"]), ["g x w", "b x"]);
    }

    #[test]
    fn of_two_convolutions_a_group_goes_with_the_later() {
        let nodes = joined(
            vec![
                own(depthwise::OPERATOR, &["x", "w"], "a"),
                own(depthwise::OPERATOR, &["y", "v"], "b"),
                group(1, &["b", "a"], "c"),
            ],
            &["c"],
        );
        let inputs: Vec<String> = nodes.iter().map(|node| node.input.join(" ")).collect();
        assert_eq!(inputs, ["x w", "y v a"]);
        assert_eq!(nodes[1].int(HANDED, -1), 0);
    }
}
