//! The scores of changed images or activations, as a `Loop` with one pass for each iteration.
//!
//! The body of the loop is a copy of the model, or of its part after a layer. It reads the weights
//! of the graph around it, so that the file holds them once. A pass changes every image of the
//! batch in the same way, and gives the score of each image's own class.

use std::collections::{HashMap, HashSet};

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto, data_type,
};

use prost::Message;

use crate::explain::ScoreKind;
use crate::graph::export_graph::Part;
use crate::graph::program_io::io_names;

/// Larger constants are read from the graph around the body.
const OWN_BELOW_BYTES: usize = 4096;

/// Which score of a pass is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read<'a> {
    /// The class of each image, int64 `[N, 1]`.
    pub(super) class: &'a str,
    /// Logit or probability.
    pub(super) score: ScoreKind,
    /// Whether a softmax over the classes is applied once more.
    pub(super) softmax_again: bool,
}

/// Writes `count` passes and returns their scores, `[N, count]` in 64 bits.
///
/// `change` writes the nodes that compute the changed input of the pass with this index, an int64
/// scalar, and returns its name.
pub(super) fn scores(
    builder: &mut GraphBuilder,
    graph: &mut GraphProto,
    (part, name): (&Part, &str),
    read: Read<'_>,
    count: usize,
    change: impl FnOnce(&mut GraphBuilder, &str) -> String,
) -> String {
    let prefix = format!("camlens/pass/{name}/");
    let named = |what: &str| format!("{prefix}{what}");
    let (index, condition, next) = (named("index"), named("condition"), named("next"));
    let mut inner = GraphBuilder::sharing_constants(named("change/"));
    let changed = change(&mut inner, &index);
    let (mut nodes, mut constants) = inner.finish();

    let program = part.program.graph.as_ref();
    let known: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let own = program.map(|program| program.initializer.as_slice()).unwrap_or_default();
    // Small constants are the body's own. ONNX Runtime 1.32 crashes where the scale of a quantised
    // operator in a body comes from the graph around it.
    let (small, large): (Vec<&TensorProto>, Vec<&TensorProto>) =
        own.iter().partition(|tensor| tensor.encoded_len() < OWN_BELOW_BYTES);
    let mut names: HashMap<&str, &str> =
        large.iter().map(|tensor| (tensor.name(), tensor.name())).collect();
    names.extend(part.others.iter().map(|(name, tensor)| (name.as_str(), tensor.as_str())));
    names.insert(&part.input, &changed);
    let copy = Renaming { prefix: &prefix, names };
    nodes.extend(program.iter().flat_map(|program| &program.node).map(|node| copy.node(node)));
    constants.extend(
        large.iter().filter(|tensor| !known.contains(tensor.name())).map(|&tensor| tensor.clone()),
    );
    let small = small
        .iter()
        .map(|tensor| TensorProto { name: Some(copy.name(tensor.name())), ..(*tensor).clone() });
    let small: Vec<TensorProto> = small.collect();

    let mut inner = GraphBuilder::sharing_constants(named("score/"));
    let mut rows = copy.name(match read.score {
        ScoreKind::Logit => io_names::SCORES,
        ScoreKind::Probability => io_names::PROBABILITIES,
    });
    if read.softmax_again {
        rows = inner.op_with("Softmax", &[&rows], [AttributeProto::int("axis", 1)]);
    }
    let score =
        inner.op_with("GatherElements", &[&rows, read.class], [AttributeProto::int("axis", 1)]);
    let (of_score, more) = inner.finish();
    nodes.extend(of_score);
    nodes.push(NodeProto::new("Identity", &[&condition], &[&next]));
    graph.initializer.extend(constants.into_iter().chain(more));

    let scalar = |name: &str, element| {
        ValueInfoProto::typed(name, element, Some(TensorShapeProto::default()))
    };
    let body = GraphProto {
        name: Some(format!("pass of {name}")),
        input: vec![scalar(&index, data_type::INT64), scalar(&condition, data_type::BOOL)],
        output: vec![
            scalar(&next, data_type::BOOL),
            ValueInfoProto::typed(&score, data_type::FLOAT, None),
        ],
        node: nodes,
        initializer: small,
        ..GraphProto::default()
    };
    let count = builder.int64(count as i64);
    let scores = builder.op_with("Loop", &[&count, ""], [AttributeProto::graph("body", body)]);
    // [count, N, 1] to [N, count].
    let scores = builder.transpose(&scores, [1, 0, 2]);
    let last = builder.int64s(&[2]);
    let scores = builder.op("Squeeze", &[&scores, &last]);
    super::maps::cast(builder, &scores, data_type::DOUBLE)
}

/// Copies nodes under other names. A body must not use a name of the graph around it again.
pub(super) struct Renaming<'a> {
    pub(super) prefix: &'a str,
    /// The names that the body shares with the graph around it, and what they are called there.
    pub(super) names: HashMap<&'a str, &'a str>,
}

impl Renaming<'_> {
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            _ if name.is_empty() => String::new(),
            Some(outer) => (*outer).to_owned(),
            None => format!("{}{name}", self.prefix),
        }
    }

    pub(super) fn node(&self, node: &NodeProto) -> NodeProto {
        let all = |names: &[String]| names.iter().map(|name| self.name(name)).collect();
        let mut copy = NodeProto {
            name: node.name.as_deref().map(|name| format!("{}{name}", self.prefix)),
            input: all(&node.input),
            output: all(&node.output),
            ..node.clone()
        };
        for attribute in &mut copy.attribute {
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                self.graph(graph);
            }
        }
        copy
    }

    /// Renames the tensors of a graph inside a node, its own and those that it reads from outside.
    fn graph(&self, graph: &mut GraphProto) {
        graph.node = graph.node.iter().map(|node| self.node(node)).collect();
        for tensor in &mut graph.initializer {
            tensor.name = Some(self.name(tensor.name()));
        }
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            value.name = Some(self.name(value.name()));
        }
        graph.value_info.clear();
    }
}
