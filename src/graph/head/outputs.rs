//! A model's outputs: which of them holds class scores, and how many.

use onnx_gradient::dtype::is_float;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;

use super::OutputHints;
use super::activation::{ActivationFinder, is_float_cast};
use super::decide::is_ambiguous;
use super::lift::Lift;
use super::selection::{Selection, before_selection};

/// The number of scores per image in a tensor of these sizes: at most one axis besides the batch
/// may be larger than 1.
pub(super) fn columns(sizes: &[i64], images: Option<i64>) -> Option<i64> {
    match sizes {
        // A batch of single scores, or the scores of a single image.
        [count] if images.is_none_or(|images| images == *count) => Some(1),
        [count] if images == Some(1) => Some(*count),
        [first, rest @ ..] if !rest.is_empty() && images.is_none_or(|images| images == *first) => {
            let long = rest.iter().filter(|&&size| size != 1).count();
            (long <= 1).then(|| rest.iter().product()).filter(|&columns| columns > 0)
        }
        _ => None,
    }
}

/// The output that looks like class scores: floats `[N, classes]` that no other such output is
/// computed from (those are features). Among several, the first with a score for each label, else
/// the first that holds probabilities (others are positions or sizes), else the first of several
/// columns that are no normalised features, else the first. Without such an output, the first that
/// holds the indices of the best classes.
pub(super) fn choose<'g>(
    finder: ActivationFinder<'g, '_>,
    hints: &OutputHints<'_>,
) -> Option<&'g str> {
    let ActivationFinder { graph_index, facts, images } = finder;
    let source = |output: &'g str| before_selection(finder, output).0;
    let columns = |output: &'g str| columns(facts.get(source(output))?, images);
    let names = || graph_index.graph.output.iter().map(|output| output.name());
    let likely: Vec<&str> = names()
        .filter(|name| columns(name).is_some() && is_float(facts.element_type(name)))
        .collect();
    if likely.is_empty() {
        let is_selection =
            |name: &&'g str| matches!(before_selection(finder, name).1, Some(Selection::Undone(_)));
        return names().find(|name| is_selection(name) && columns(name).is_some());
    }
    let final_ones: Vec<&str> = (likely.iter().copied())
        .filter(|name| {
            // A copy of the features is no more final than the features.
            let own = before_rearranging(graph_index, name);
            let is_source = |other: &&'g str| {
                before_rearranging(graph_index, other) != own
                    && graph_index.upstream(other).contains(own)
            };
            !likely.iter().any(is_source)
        })
        .collect();
    let has_labels = |name: &&&'g str| {
        hints.label_count > 0 && columns(name) == i64::try_from(hints.label_count).ok()
    };
    let is_probability = |name: &&&'g str| {
        let lifted = Lift::new(finder).lift(source(name));
        let count = columns(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        match lifted {
            Some(lifted) => !is_ambiguous(&lifted, count, hints),
            None => hints.samples.are_probabilities(name),
        }
    };
    let is_likely = |name: &&&'g str| {
        columns(name).is_some_and(|count| count > 1) && !hints.samples.are_unit_vectors(name)
    };
    (final_ones.iter().find(has_labels))
        .or_else(|| final_ones.iter().find(is_probability))
        .or_else(|| final_ones.iter().find(is_likely))
        .or_else(|| final_ones.first())
        .copied()
}

/// The tensor before all operators that only rearrange values.
pub(super) fn before_rearranging<'a>(graph_index: &GraphIndex<'a>, tensor: &'a str) -> &'a str {
    let mut tensor = tensor;
    while let Some(node) = graph_index.producer(tensor)
        && node.is_standard()
        && rearranges(node)
        && let Some(input) = node.input_name(0)
    {
        tensor = input;
    }
    tensor
}

/// True for operators that move values and change none. A cast between float types counts: its
/// input is the score as well.
fn rearranges(node: &NodeProto) -> bool {
    match node.op() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" => true,
        _ => is_float_cast(node),
    }
}
