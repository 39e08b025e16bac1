//! The reverse walk: from an output back to the differentiated tensors.
//!
//! [`backward`] visits the nodes between an output and the target tensors in reverse order. For
//! each node the vjp of its operator writes the nodes that carry the gradient from the node's
//! outputs to its inputs. A tensor with several consumers receives the sum of their gradients.
//! Nodes that are not on a path from a target to the output are not visited, so the backward pass
//! of a late layer is small.
//!
//! This is reverse-mode automatic differentiation by graph rewriting: everything that it writes is
//! standard ONNX. [`crate::differentiate`] wraps it for whole models; use `backward` to place the
//! nodes yourself, for example in the body of a `Loop` or an `If`.

use std::collections::{HashMap, HashSet};

use crate::builder::GraphBuilder;
use crate::dtype::is_float;
use crate::error::Error;
use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::proto::{NodeProto, TensorProto};
use crate::vjp::{self, VjpContext};

/// The nodes of a backward pass and the names of its results.
#[derive(Debug)]
pub struct Backward {
    /// The nodes, in topological order. They read tensors of the forward graph.
    pub nodes: Vec<NodeProto>,
    /// Constants that the nodes read.
    pub initializers: Vec<TensorProto>,
    /// `∂L/∂target` for each target, float32, of the target's shape.
    pub gradients: Vec<String>,
}

/// Writes the backward pass from `output` to all of `targets`, in one walk.
///
/// `grad_output` names a float32 tensor of the shape of `output`: `∂L/∂output`, the vector of the
/// vector–Jacobian product. The caller adds the node or the graph input that provides it. The names
/// of all nodes, and of the tensors that they write, start with `prefix`.
///
/// # Errors
/// Any [`Error`] but [`Error::OpsetTooOld`]. An operator without a vjp is reported before an
/// unknown shape, since the shapes of its outputs are often unknown for the same reason.
pub fn backward(
    graph_index: &GraphIndex<'_>,
    facts: &TensorFacts,
    output: &str,
    targets: &[&str],
    grad_output: &str,
    prefix: &str,
) -> Result<Backward, Error> {
    let between = between(graph_index, output, targets)?;
    let mut builder =
        GraphBuilder::sharing_constants(prefix).upcasting(facts.short_float_tensors());
    let mut cotangents: HashMap<&str, Vec<String>> =
        HashMap::from([(output, vec![grad_output.to_owned()])]);
    let mut found: HashMap<&str, String> = HashMap::new();

    let after = |tensor: &str| graph_index.position(tensor).map_or(0, |position| position + 1);
    let first = targets.iter().map(|target| after(target)).min().unwrap_or(0);
    let last = after(output);
    for node in graph_index.graph.node[first..last.max(first)].iter().rev() {
        let grad_outputs: Vec<_> = (node.output.iter())
            .map(|name| sum(&mut builder, cotangents.remove(name.as_str())))
            .collect();
        let reached = (node.output.iter().zip(&grad_outputs))
            .filter(|(name, _)| targets.contains(&name.as_str()));
        found.extend(reached.filter_map(|(name, sum)| Some((name.as_str(), sum.clone()?))));
        let needs_grad: Vec<_> =
            node.input.iter().map(|name| between.contains(name.as_str())).collect();
        if grad_outputs.iter().all(Option::is_none) || !needs_grad.contains(&true) {
            continue;
        }
        let vjp = vjp::lookup(node).ok_or_else(|| Error::no_vjp(node))?;
        let ctx = VjpContext {
            node,
            grad_outputs,
            needs_grad,
            graph: graph_index,
            facts,
            shape_aliases: HashMap::new(),
        };
        let gradients = vjp(&mut builder, &ctx)
            .and_then(|gradients| required_gradients(&ctx, gradients))
            .map_err(|error| without_vjp(graph_index, &between).unwrap_or(error))?;
        for (input, gradient) in gradients {
            cotangents.entry(input).or_default().push(gradient);
        }
    }

    let mut gradient = |target: &&str| {
        let arrived = found.remove(*target);
        let gradient = arrived.or_else(|| sum(&mut builder, cotangents.remove(*target)));
        gradient.ok_or_else(|| Error::NoGradient {
            output: output.to_owned(),
            tensor: (*target).to_owned(),
        })
    };
    let gradients = targets.iter().map(&mut gradient).collect::<Result<_, Error>>()?;
    let (nodes, initializers) = builder.finish();
    Ok(Backward { nodes, initializers, gradients })
}

/// The tensors that depend on a target and that `output` depends on.
fn between<'a>(
    graph_index: &'a GraphIndex<'_>,
    output: &'a str,
    targets: &[&'a str],
) -> Result<HashSet<&'a str>, Error> {
    let mut downstream: HashSet<&str> = HashSet::new();
    for target in targets {
        let of_target = graph_index.downstream(target, vjp::is_non_differentiable);
        if !of_target.contains(output) {
            return Err(Error::Unreachable {
                output: output.to_owned(),
                tensor: (*target).to_owned(),
            });
        }
        downstream.extend(of_target);
    }
    let upstream = graph_index.upstream(output);
    Ok(downstream.intersection(&upstream).copied().collect())
}

/// The inputs that need a gradient, each with its gradient.
///
/// # Errors
/// [`Error::NoVjpForInput`] when the vjp left such an input out: without its share the total
/// gradient would be wrong, and nothing would show it.
pub(crate) fn required_gradients<'a>(
    ctx: &VjpContext<'a>,
    gradients: Vec<Option<String>>,
) -> Result<Vec<(&'a str, String)>, Error> {
    let mut gradients = gradients.into_iter();
    let mut required = Vec::new();
    for (index, input) in ctx.node.input.iter().enumerate() {
        match gradients.next().flatten() {
            _ if !ctx.needs_grad(index) => {}
            Some(gradient) => required.push((input.as_str(), gradient)),
            None if vjp::is_value_independent_input(ctx.node, index)
                || !is_float(ctx.element_type(input)) => {}
            None => return Err(Error::no_vjp_for_input(ctx.node, index)),
        }
    }
    Ok(required)
}

/// The error about the last operator between the targets and the output that has no vjp, if there
/// is one.
///
/// Such an operator may be the cause of another error nearer to the output: the outputs of control
/// flow, for example, have no known shape.
fn without_vjp(graph_index: &GraphIndex<'_>, between: &HashSet<&str>) -> Option<Error> {
    // Decided by outputs: sub-graphs read tensors that are not among the node's inputs.
    let is_between =
        |node: &NodeProto| node.output.iter().any(|name| between.contains(name.as_str()));
    let mut nodes = graph_index.graph.node.iter().rev();
    nodes.find(|node| is_between(node) && vjp::lookup(node).is_none()).map(Error::no_vjp)
}

/// The sum of the cotangents of one tensor.
fn sum(builder: &mut GraphBuilder, parts: Option<Vec<String>>) -> Option<String> {
    let mut parts = parts?.into_iter();
    let first = parts.next()?;
    Some(parts.fold(first, |total, part| builder.add(&total, &part)))
}
