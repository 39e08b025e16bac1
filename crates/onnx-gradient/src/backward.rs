//! The backward pass, built out of standard ONNX operators.
//!
//! [`backward`] walks the nodes between the score and the target tensors in reverse
//! and lets the [`rules`] write, for each, the nodes that carry the gradient from
//! its outputs to its inputs: reverse-mode differentiation as graph rewriting. A
//! tensor that is read twice receives the sum. Nothing outside the paths from the
//! target to the score is touched, so a late layer costs little.
//!
//! Where a function has a kink, the rules choose as PyTorch does: ReLU and ReLU6
//! pass nothing at the kink, max-pooling picks the first of equal values, `Max` of
//! two tensors halves a tie, `ReduceMax` shares it evenly.

use std::collections::{HashMap, HashSet};

use crate::builder::GraphBuilder;
use crate::dtype::is_float;
use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::proto::{NodeProto, TensorProto};
use crate::vjp::{self, VjpContext};

/// The nodes and constants of a backward pass, and the names of its results.
#[derive(Debug)]
pub struct Backward {
    /// The nodes, in topological order; they read tensors of the forward graph.
    pub nodes: Vec<NodeProto>,
    /// Constants that the nodes read.
    pub initializers: Vec<TensorProto>,
    /// The gradient of the score with respect to each target, of the target's shape.
    pub gradients: Vec<String>,
}

/// Writes the backward pass from `score` to all of `targets`: one walk, which ends at the earliest
/// of them.
///
/// `seed` is the gradient at the score: the name of a tensor of the score's shape that the caller
/// makes.
///
/// # Errors
/// The sentence that names the operator and the node that stand in the way.
pub fn backward(
    graph_index: &GraphIndex<'_>,
    shapes: &TensorFacts,
    score: &str,
    targets: &[&str],
    seed: &str,
) -> Result<Backward, String> {
    let mut dependents: HashSet<&str> = HashSet::new();
    for target in targets {
        let of_this = graph_index.downstream(target, vjp::is_non_differentiable);
        if !of_this.contains(score) {
            return Err(format!("the score does not depend on '{target}'"));
        }
        dependents.extend(of_this);
    }
    let ancestors = graph_index.upstream(score);
    let between: HashSet<&str> = dependents.intersection(&ancestors).copied().collect();

    let mut builder = GraphBuilder::named(graph_index, shapes, "camlens/gradient/");
    let mut cotangents: HashMap<&str, Vec<String>> =
        HashMap::from([(score, vec![seed.to_owned()])]);
    let mut found: HashMap<&str, String> = HashMap::new();
    let behind = |target: &&str| graph_index.position(target).map_or(0, |position| position + 1);
    let first = targets.iter().map(behind).min().unwrap_or(0);
    let last = graph_index.position(score).map_or(0, |position| position + 1);
    for node in graph_index.graph.node[first..last.max(first)].iter().rev() {
        let grad_outputs: Vec<_> = node
            .output
            .iter()
            .map(|name| sum(&mut builder, cotangents.remove(name.as_str())))
            .collect();
        let arrived_here = node
            .output
            .iter()
            .zip(&grad_outputs)
            .filter(|(name, _)| targets.contains(&name.as_str()));
        found.extend(arrived_here.filter_map(|(name, sum)| Some((name.as_str(), sum.clone()?))));
        let needs_grad: Vec<_> =
            node.input.iter().map(|name| between.contains(name.as_str())).collect();
        if grad_outputs.iter().all(Option::is_none) || !needs_grad.contains(&true) {
            continue;
        }
        let step = VjpContext { node, grad_outputs, needs_grad };
        let vjp_fn = vjp::find(node).ok_or_else(|| step.refuse("has no gradient rule"))?;
        let gradients =
            vjp_fn(&mut builder, &step).and_then(|gradients| wanted_of(&step, gradients, shapes));
        for (input, gradient) in
            gradients.map_err(|why| without_rule(graph_index, &between).unwrap_or(why))?
        {
            cotangents.entry(input).or_default().push(gradient);
        }
    }
    let mut gradient = |target: &&str| {
        let gradient =
            found.remove(*target).or_else(|| sum(&mut builder, cotangents.remove(*target)));
        gradient.ok_or_else(|| format!("no gradient flows from the score to '{target}'"))
    };
    let gradients = targets.iter().map(&mut gradient).collect::<Result<_, String>>()?;
    let (nodes, initializers) = builder.finish();
    Ok(Backward { nodes, initializers, gradients })
}

/// The inputs that need a gradient, each with the one that the rule gave.
///
/// # Errors
/// When the rule takes such an input for a constant: the part of the gradient that comes that way
/// would be left out, and nobody would see it.
pub(crate) fn wanted_of<'a>(
    step: &VjpContext<'a>,
    gradients: Vec<Option<String>>,
    shapes: &TensorFacts,
) -> Result<Vec<(&'a str, String)>, String> {
    let mut gradients = gradients.into_iter();
    let mut wanted = Vec::new();
    for (index, input) in step.node.input.iter().enumerate() {
        match gradients.next().flatten() {
            _ if !step.wants(index) => {}
            Some(gradient) => wanted.push((input.as_str(), gradient)),
            None if vjp::is_shape_only_input(step.node, index)
                || !is_float(shapes.element_type(input)) => {}
            None => {
                let why = format!(
                    "has no gradient rule for its input {index}, '{input}', which depends on the layer"
                );
                return Err(step.refuse(&why));
            }
        }
    }
    Ok(wanted)
}

/// The sentence about an operator on the way that has no rule, if there is one. Such an operator
/// may be why a rule nearer to the score can't do its work: what control flow gives, for one, has
/// no known shape.
fn without_rule(graph_index: &GraphIndex<'_>, between: &HashSet<&str>) -> Option<String> {
    // What an operator reads need not stand among its inputs: branches and bodies read tensors by
    // name.
    let is_between =
        |node: &NodeProto| node.output.iter().any(|name| between.contains(name.as_str()));
    let mut backwards = graph_index.graph.node.iter().rev();
    let node = backwards.find(|node| is_between(node) && vjp::find(node).is_none())?;
    let step = VjpContext { node, grad_outputs: Vec::new(), needs_grad: Vec::new() };
    Some(step.refuse("has no gradient rule"))
}

/// The sum of all gradients that have arrived at one tensor.
fn sum(builder: &mut GraphBuilder<'_>, parts: Option<Vec<String>>) -> Option<String> {
    let mut parts = parts?.into_iter();
    let first = parts.next()?;
    Some(parts.fold(first, |total, part| builder.op("Add", &[&total, &part])))
}
