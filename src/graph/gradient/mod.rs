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

mod emit;
pub mod rules;

use std::collections::{HashMap, HashSet};

pub use emit::Emit;

use super::probe::Shapes;
use super::proto::{NodeProto, TensorProto};
use super::topology::Topology;
use super::types::is_float;

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

/// One step of the walk: a node of the forward graph, and the gradients that have arrived at its
/// outputs.
#[derive(Debug)]
pub struct Step<'a> {
    /// The node to be differentiated.
    pub node: &'a NodeProto,
    /// The gradient of each output; `None` where none flows.
    pub outputs: Vec<Option<String>>,
    /// Which inputs depend on the target; only they need a gradient.
    pub wanted: Vec<bool>,
}

impl Step<'_> {
    /// The gradient of the first output, for a rule that knows no other. The walk only calls rules
    /// when one has arrived somewhere.
    ///
    /// # Errors
    /// When one has arrived at another output: the score depends on that, too.
    pub fn gradient(&self) -> Result<&str, String> {
        match self.outputs.split_first() {
            Some((Some(gradient), others)) if others.iter().all(Option::is_none) => Ok(gradient),
            _ => Err(self.refuse("is used by another output than its first")),
        }
    }

    /// The name of input `index`.
    ///
    /// # Errors
    /// When the node leaves it out although its operator needs it.
    pub fn input(&self, index: usize) -> Result<&str, String> {
        self.node.input_name(index).ok_or_else(|| self.refuse(&format!("has no input {index}")))
    }

    /// The name of the first output.
    #[must_use]
    pub fn output(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// True when input `index` depends on the target.
    #[must_use]
    pub fn wants(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(false)
    }

    /// A gradient for the first input alone.
    #[must_use]
    pub fn only_first(&self, gradient: String) -> Vec<Option<String>> {
        let mut gradients = vec![None; self.node.input.len()];
        gradients[0] = Some(gradient);
        gradients
    }

    /// Why this node can't be differentiated, with the operator and the node named.
    #[must_use]
    pub fn refuse(&self, why: &str) -> String {
        let domain = if self.node.is_standard() {
            String::new()
        } else {
            format!("{}.", self.node.domain())
        };
        format!("operator {domain}{} (node '{}') {why}", self.node.op(), self.node.label())
    }
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
    topology: &Topology<'_>,
    shapes: &Shapes,
    score: &str,
    targets: &[&str],
    seed: &str,
) -> Result<Backward, String> {
    let mut dependents: HashSet<&str> = HashSet::new();
    for target in targets {
        let of_this = topology.dependents(target, rules::cuts);
        if !of_this.contains(score) {
            return Err(format!("the score does not depend on '{target}'"));
        }
        dependents.extend(of_this);
    }
    let ancestors = topology.ancestors(score);
    let between: HashSet<&str> = dependents.intersection(&ancestors).copied().collect();

    let mut emit = Emit::named(topology, shapes, "camlens/gradient/");
    let mut arrived: HashMap<&str, Vec<String>> = HashMap::from([(score, vec![seed.to_owned()])]);
    let mut found: HashMap<&str, String> = HashMap::new();
    let behind = |target: &&str| topology.position(target).map_or(0, |position| position + 1);
    let first = targets.iter().map(behind).min().unwrap_or(0);
    let last = topology.position(score).map_or(0, |position| position + 1);
    for node in topology.graph.node[first..last.max(first)].iter().rev() {
        let outputs: Vec<_> =
            node.output.iter().map(|name| sum(&mut emit, arrived.remove(name.as_str()))).collect();
        let arrived_here =
            node.output.iter().zip(&outputs).filter(|(name, _)| targets.contains(&name.as_str()));
        found.extend(arrived_here.filter_map(|(name, sum)| Some((name.as_str(), sum.clone()?))));
        let wanted: Vec<_> =
            node.input.iter().map(|name| between.contains(name.as_str())).collect();
        if outputs.iter().all(Option::is_none) || !wanted.contains(&true) {
            continue;
        }
        let step = Step { node, outputs, wanted };
        let rule = rules::find(node).ok_or_else(|| step.refuse("has no gradient rule"))?;
        let gradients =
            rule(&mut emit, &step).and_then(|gradients| wanted_of(&step, gradients, shapes));
        for (input, gradient) in
            gradients.map_err(|why| without_rule(topology, &between).unwrap_or(why))?
        {
            arrived.entry(input).or_default().push(gradient);
        }
    }
    let mut gradient = |target: &&str| {
        let gradient = found.remove(*target).or_else(|| sum(&mut emit, arrived.remove(*target)));
        gradient.ok_or_else(|| format!("no gradient flows from the score to '{target}'"))
    };
    let gradients = targets.iter().map(&mut gradient).collect::<Result<_, String>>()?;
    let (nodes, initializers) = emit.finish();
    Ok(Backward { nodes, initializers, gradients })
}

/// The inputs that need a gradient, each with the one that the rule gave.
///
/// # Errors
/// When the rule takes such an input for a constant: the part of the gradient that comes that way
/// would be left out, and nobody would see it.
fn wanted_of<'a>(
    step: &Step<'a>,
    gradients: Vec<Option<String>>,
    shapes: &Shapes,
) -> Result<Vec<(&'a str, String)>, String> {
    let mut gradients = gradients.into_iter();
    let mut wanted = Vec::new();
    for (index, input) in step.node.input.iter().enumerate() {
        match gradients.next().flatten() {
            _ if !step.wants(index) => {}
            Some(gradient) => wanted.push((input.as_str(), gradient)),
            None if rules::reads_no_number(step.node, index)
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
fn without_rule(topology: &Topology<'_>, between: &HashSet<&str>) -> Option<String> {
    // What an operator reads need not stand among its inputs: branches and bodies read tensors by
    // name.
    let is_between =
        |node: &NodeProto| node.output.iter().any(|name| between.contains(name.as_str()));
    let mut backwards = topology.graph.node.iter().rev();
    let node = backwards.find(|node| is_between(node) && rules::find(node).is_none())?;
    let step = Step { node, outputs: Vec::new(), wanted: Vec::new() };
    Some(step.refuse("has no gradient rule"))
}

/// The sum of all gradients that have arrived at one tensor.
fn sum(emit: &mut Emit<'_>, parts: Option<Vec<String>>) -> Option<String> {
    let mut parts = parts?.into_iter();
    let first = parts.next()?;
    Some(parts.fold(first, |total, part| emit.op("Add", &[&total, &part])))
}
