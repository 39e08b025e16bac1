//! Outputs that hold a choice among the classes: the largest scores, or the indices of the classes
//! that have them.
//!
//! Behind a `TopK` a column is a rank. The class of the first rank differs from image to image, so
//! class names do not fit. The tensor that the operator chose from has one column for each class;
//! it is explained in place of the output.

use onnx_gradient::proto::NodeProto;

use super::OutputActivation;
use super::activation::ActivationFinder;
use super::lift::{Lift, MAX_STEPS};
use super::outputs::columns;

/// A choice among the classes that stands between their scores and an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The scores of all classes are explained, from before this operator.
    Undone(String),
    /// The output's columns are ranks, because an operator of this name follows the choice.
    Ranks(String),
}

/// The tensor that holds the scores of an output, and the selection that follows it, if any.
pub(super) fn before_selection<'g>(
    finder: ActivationFinder<'g, '_>,
    output: &'g str,
) -> (&'g str, Option<Selection>) {
    let mut tensor = output;
    let mut follower = None;
    for _ in 0..MAX_STEPS {
        let Some(node) = finder.graph_index.producer(tensor).filter(|node| node.is_standard())
        else {
            break;
        };
        let Some(input) = varying_input(finder, node) else { break };
        // The class of the smallest score is not the one that a map of the scores would explain.
        match node.op() {
            "ArgMin" => break,
            "TopK" if node.int("largest", 1) == 0 => {
                return (output, Some(Selection::Ranks(node.op().to_owned())));
            }
            _ => {}
        }
        if chooses(finder, node, input) {
            return match follower {
                None => (input, Some(Selection::Undone(node.op().to_owned()))),
                Some(op) => (output, Some(Selection::Ranks(op))),
            };
        }
        // The choice, written as one value for each class.
        if node.op() == "OneHot" && node.input_name(0) == Some(input) && follower.is_none() {
            tensor = input;
            continue;
        }
        // A table of other class numbers, indexed by a choice.
        if node.op() == "Gather" && node.input_name(1) == Some(input) {
            follower = Some("Gather".to_owned());
            tensor = input;
            continue;
        }
        match node.op() {
            // These neither change which score belongs to which class nor the scores' meaning.
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" | "Cast"
            | "Transpose" | "Slice" | "Gather" | "Split" | "Clip" | "QuantizeLinear"
            | "DequantizeLinear" | "Round" | "Mul" | "Div" => {}
            "Softmax" | "LogSoftmax" | "Sigmoid" | "Exp" | "Log" | "Neg" | "Add" | "Sub" => {
                follower = Some(node.op().to_owned());
            }
            _ => break,
        }
        tensor = input;
    }
    (output, None)
}

/// The first input of a node, if all others are constants; the second where the first is one.
fn varying_input<'g>(finder: ActivationFinder<'g, '_>, node: &'g NodeProto) -> Option<&'g str> {
    let is_constant = |name: &&str| finder.graph_index.constant(name).is_some();
    let mut varying =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty() && !is_constant(name));
    varying.next().filter(|_| varying.next().is_none())
}

/// True if a node chooses among the classes of its input.
fn chooses(finder: ActivationFinder<'_, '_>, node: &NodeProto, input: &str) -> bool {
    let sizes = |tensor: &str| finder.facts.get(tensor);
    let Some(classes) = sizes(input).and_then(|sizes| columns(sizes, finder.images)) else {
        return false;
    };
    match node.op() {
        // The classes above a threshold, of which there may be one.
        "Greater" | "GreaterOrEqual" => node.input_name(0) == Some(input),
        _ if classes < 2 => false,
        "TopK" => node.output.iter().any(|output| {
            let rest = sizes(output).and_then(|sizes| columns(sizes, finder.images));
            !output.is_empty() && rest.is_some()
        }),
        "ArgMax" | "Hardmax" => true,
        // The largest of other scores, such as those of an image's parts, is a score of its own.
        "ReduceMax" => {
            let is_softmax = |kind| kind == OutputActivation::Softmax;
            let lifted = finder.graph_index.own_name(input);
            let lifted = lifted.and_then(|input| Lift::new(finder).lift(input));
            let count = |tensor: &str| Some(sizes(tensor)?.iter().product::<i64>());
            node.output.first().and_then(|output| count(output)) == finder.images
                && lifted.is_some_and(|lifted| is_softmax(lifted.activation.kind))
        }
        _ => false,
    }
}
