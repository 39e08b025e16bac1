//! Which tensors of a graph have a gradient, and why the others have none.
//!
//! [`reachability`] decides for many tensors at once what [`backward`](crate::backward::backward)
//! decides for one by writing its backward pass. It walks the graph once forwards and once
//! backwards and carries with every tensor the set of targets that it concerns. A vjp is called
//! once for each node and each distinct pattern of the node's gradients, not once for each target;
//! the nodes that it writes are discarded.
//!
//! A vjp decides by the node, the measured facts, and which gradients are present and required.
//! Targets that agree in these share its result, so each verdict is the one that `backward` gives
//! for that target alone.

use std::collections::HashMap;

use crate::backward::required_gradients;
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::facts::TensorFacts;
use crate::index::{GraphIndex, reads};
use crate::proto::NodeProto;
use crate::vjp::{self, VjpContext};

/// For each target, whether a gradient flows to it from `output`, or the reason why none does. The
/// verdict is the one that [`backward`](crate::backward::backward) gives for this target alone.
#[must_use]
pub fn reachability(
    graph_index: &GraphIndex<'_>,
    facts: &TensorFacts,
    output: &str,
    targets: &[&str],
) -> Vec<Result<(), Error>> {
    let paths = Paths::new(graph_index, output, targets);
    let mut verdicts: Vec<Result<(), Error>> = vec![Ok(()); targets.len()];
    let mut open = paths.through(output);
    for (index, verdict) in verdicts.iter_mut().enumerate() {
        if !open.contains(index) {
            *verdict = Err(Error::Unreachable {
                output: output.to_owned(),
                tensor: targets[index].to_owned(),
            });
        }
    }

    let mut without_vjp: Option<Vec<Option<Error>>> = None;
    let mut cotangents: HashMap<&str, TargetSet> = HashMap::from([(output, open.clone())]);
    let last = graph_index.position(output).map_or(0, |position| position + 1);
    for node in graph_index.graph.node[..last].iter().rev() {
        for Group { targets: concerned, has_gradient, needs_grad } in
            groups(node, &cotangents, &paths, &open)
        {
            match contributions(graph_index, facts, node, &has_gradient, needs_grad) {
                Ok(inputs) => {
                    for input in inputs {
                        cotangents.entry(input).or_default().unite(&concerned);
                    }
                }
                Err(Refusal::NoVjp(reason)) => {
                    concerned.indices().for_each(|index| verdicts[index] = Err(reason.clone()));
                    open.subtract(&concerned);
                }
                // An operator without a vjp further back may be the cause: the outputs of control
                // flow, for example, have no known shape.
                Err(Refusal::Refused(reason)) => {
                    let causes = without_vjp
                        .get_or_insert_with(|| paths.without_vjp(graph_index, targets.len()));
                    for index in concerned.indices() {
                        verdicts[index] =
                            Err(causes[index].clone().unwrap_or_else(|| reason.clone()));
                    }
                    open.subtract(&concerned);
                }
            }
        }
    }
    for index in open.indices() {
        if !cotangents.get(targets[index]).is_some_and(|reached| reached.contains(index)) {
            verdicts[index] = Err(Error::NoGradient {
                output: output.to_owned(),
                tensor: targets[index].to_owned(),
            });
        }
    }
    verdicts
}

/// For every tensor, the targets on whose paths to the output it lies.
struct Paths<'a> {
    by_tensor: HashMap<&'a str, TargetSet>,
}

impl<'a> Paths<'a> {
    fn new(graph_index: &GraphIndex<'a>, output: &'a str, targets: &[&'a str]) -> Self {
        let mut downstream: HashMap<&str, TargetSet> = HashMap::new();
        for (index, target) in targets.iter().enumerate() {
            downstream.entry(target).or_default().insert(index);
        }
        for node in &graph_index.graph.node {
            if vjp::is_non_differentiable(node) {
                continue;
            }
            let mut concerned = TargetSet::default();
            for input in reads(node) {
                if let Some(of_input) = downstream.get(input) {
                    concerned.unite(of_input);
                }
            }
            if !concerned.is_empty() {
                for output in node.output.iter().filter(|name| !name.is_empty()) {
                    downstream.entry(output).or_default().unite(&concerned);
                }
            }
        }
        let upstream = graph_index.upstream(output);
        downstream.retain(|tensor, _| upstream.contains(tensor));
        Self { by_tensor: downstream }
    }

    fn through(&self, tensor: &str) -> TargetSet {
        self.by_tensor.get(tensor).cloned().unwrap_or_default()
    }

    /// For each target, the reason that names the last operator without a vjp on its paths, if
    /// there is one. Nodes are found by their outputs: branches and bodies read tensors that are
    /// not among the inputs.
    fn without_vjp(&self, graph_index: &GraphIndex<'_>, count: usize) -> Vec<Option<Error>> {
        let mut reasons = vec![None; count];
        for node in graph_index.graph.node.iter().rev().filter(|node| vjp::lookup(node).is_none()) {
            let on_paths = node.output.iter().filter_map(|name| self.by_tensor.get(name.as_str()));
            for index in on_paths.flat_map(TargetSet::indices) {
                reasons[index].get_or_insert_with(|| Error::no_vjp(node));
            }
        }
        reasons
    }
}

/// Targets for which a node's gradients are present and required in the same pattern.
struct Group {
    targets: TargetSet,
    /// For each output of the node, whether it has a cotangent.
    has_gradient: Vec<bool>,
    /// For each input of the node, whether it needs a gradient.
    needs_grad: Vec<bool>,
}

/// The patterns in which `open` targets need a node's vjp. Targets that need no gradient from the
/// node are in none of them.
fn groups(
    node: &NodeProto,
    cotangents: &HashMap<&str, TargetSet>,
    paths: &Paths<'_>,
    open: &TargetSet,
) -> Vec<Group> {
    let mut concerned = TargetSet::default();
    for output in &node.output {
        if let Some(of_output) = cotangents.get(output.as_str()) {
            concerned.unite(of_output);
        }
    }
    concerned.intersect(open);
    if concerned.is_empty() {
        return Vec::new();
    }
    let nobody = TargetSet::default();
    let outputs = node.output.iter().map(|name| cotangents.get(name.as_str()));
    let inputs = node.input.iter().map(|name| paths.by_tensor.get(name.as_str()));
    let mut split = vec![(concerned, Vec::new())];
    for members in outputs.chain(inputs) {
        let members = members.unwrap_or(&nobody);
        split = (split.into_iter())
            .flat_map(|(targets, flags)| {
                let (mut with, mut without) = (targets.clone(), targets);
                with.intersect(members);
                without.subtract(members);
                [(with, true), (without, false)].map(|(targets, flag)| {
                    (targets, flags.iter().copied().chain([flag]).collect::<Vec<bool>>())
                })
            })
            .filter(|(targets, _)| !targets.is_empty())
            .collect();
    }
    let group = |(targets, mut has_gradient): (TargetSet, Vec<bool>)| {
        let needs_grad = has_gradient.split_off(node.output.len());
        needs_grad.contains(&true).then_some(Group { targets, has_gradient, needs_grad })
    };
    split.into_iter().filter_map(group).collect()
}

/// Why a node passes no gradient on.
enum Refusal {
    /// Its operator has no vjp.
    NoVjp(Error),
    /// The vjp does not cover this node.
    Refused(Error),
}

/// The inputs to which a node passes gradients on.
fn contributions<'n>(
    graph_index: &'n GraphIndex<'n>,
    facts: &'n TensorFacts,
    node: &'n NodeProto,
    has_gradient: &[bool],
    needs_grad: Vec<bool>,
) -> Result<Vec<&'n str>, Refusal> {
    let Some(vjp_fn) = vjp::lookup(node) else { return Err(Refusal::NoVjp(Error::no_vjp(node))) };
    let gradient = |(index, &has): (usize, &bool)| has.then(|| format!("cotangent/{index}"));
    let grad_outputs = has_gradient.iter().enumerate().map(gradient).collect();
    let ctx = VjpContext {
        node,
        grad_outputs,
        needs_grad,
        graph: graph_index,
        facts,
        shape_aliases: HashMap::new(),
    };
    let mut builder =
        GraphBuilder::sharing_constants("reachability/").upcasting(facts.short_float_tensors());
    let gradients = vjp_fn(&mut builder, &ctx)
        .and_then(|gradients| required_gradients(&ctx, gradients))
        .map_err(Refusal::Refused)?;
    Ok(gradients.into_iter().map(|(input, _)| input).collect())
}

/// A set of targets, by index: one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TargetSet {
    words: Vec<u64>,
}

impl TargetSet {
    fn insert(&mut self, index: usize) {
        if self.words.len() <= index / 64 {
            self.words.resize(index / 64 + 1, 0);
        }
        self.words[index / 64] |= 1 << (index % 64);
    }

    fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    fn unite(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    fn intersect(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        (0..self.words.len() * 64).filter(|&index| self.contains(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backward::backward;
    use crate::proto::{AttributeProto, GraphProto, TensorProto, ValueInfoProto};

    fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto::new(op, inputs, outputs)
    }

    /// The verdicts on all tensors of a graph, which are those of a backward pass for each alone.
    fn verdicts(nodes: Vec<NodeProto>) -> HashMap<String, String> {
        let graph = GraphProto {
            input: vec![ValueInfoProto::untyped("x")],
            node: nodes,
            initializer: vec![TensorProto::int64("axes", &[1], &[1])],
            output: vec![ValueInfoProto::untyped("y")],
            ..Default::default()
        };
        let tensors: Vec<&str> =
            graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
        let facts: TensorFacts = (tensors.iter().filter(|name| !name.starts_with("unmeasured")))
            .chain(&["x"])
            .map(|name| ((*name).to_owned(), vec![2, 4]))
            .collect();
        let graph_index = GraphIndex::new(&graph);
        let found = reachability(&graph_index, &facts, "y", &tensors);
        for (tensor, verdict) in tensors.iter().zip(&found) {
            let alone = backward(&graph_index, &facts, "y", &[tensor], "seed", "grad/").map(drop);
            assert_eq!(*verdict, alone, "{tensor}");
        }
        let named = |(tensor, verdict): (&&str, Result<(), Error>)| {
            ((*tensor).to_owned(), verdict.err().map(|error| error.to_string()).unwrap_or_default())
        };
        tensors.iter().zip(found).map(named).collect()
    }

    #[test]
    fn only_targets_before_an_operator_without_a_vjp_are_refused() {
        let found = verdicts(vec![
            node("Relu", &["x"], &["a"]),
            node("Mystery", &["a"], &["b"]),
            node("Exp", &["a"], &["c"]),
            node("Add", &["b", "c"], &["y"]),
            node("Relu", &["y"], &["after"]),
        ]);
        assert_eq!(found["a"], "operator Mystery (node 'b') has no vjp");
        assert_eq!([&found["b"], &found["c"], &found["y"]], ["", "", ""]);
        assert_eq!(found["after"], "the output 'y' does not depend on 'after'");
    }

    #[test]
    fn a_refusal_concerns_only_targets_that_need_the_refused_input() {
        // Pad has a vjp for its data and none for the amounts of padding.
        let found = verdicts(vec![
            node("Relu", &["x"], &["a"]),
            node("Relu", &["a"], &["amount"]),
            node("Pad", &["a", "axes", "amount"], &["padded"])
                .with(AttributeProto::string("mode", "reflect")),
            node("Split", &["padded"], &["left", "right"]),
            node("Add", &["left", "right"], &["y"]),
        ]);
        assert_eq!([&found["padded"], &found["left"]], ["", ""]);
        assert!(!found["amount"].is_empty());
    }

    #[test]
    fn an_operator_without_a_vjp_further_back_explains_an_unknown_shape() {
        let found = verdicts(vec![
            node("Relu", &["x"], &["a"]),
            node("Mystery", &["a"], &["unmeasured"]),
            node("ReduceSum", &["unmeasured", "axes"], &["sum"]),
            node("Add", &["sum", "a"], &["y"]),
        ]);
        assert_eq!(found["a"], "operator Mystery (node 'unmeasured') has no vjp");
    }

    #[test]
    fn sets_of_more_than_64_targets_work() {
        let mut set = TargetSet::default();
        [3, 64, 200].into_iter().for_each(|index| set.insert(index));
        assert_eq!(set.indices().collect::<Vec<_>>(), [3, 64, 200]);
        let mut other = TargetSet::default();
        other.insert(64);
        let mut rest = set.clone();
        rest.subtract(&other);
        assert_eq!(rest.indices().collect::<Vec<_>>(), [3, 200]);
        set.intersect(&other);
        assert_eq!(set, other);
    }
}
