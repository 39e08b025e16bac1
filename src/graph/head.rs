//! Finding the score: the tensor of logits behind a model's output.
//!
//! Grad-CAM differentiates the logit, "the score before the softmax" (arXiv
//! 1610.02391, section 3). Keras exports end in `Softmax`, torch exports mostly
//! don't, multi-label models end in `Sigmoid`. [`find`] walks back from the
//! output over operators that only rearrange, and looks.

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto};

/// How a model's logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputActivation {
    /// One of many: softmax over the classes.
    Softmax,
    /// Each for itself: the logistic function, as in multi-label models.
    Sigmoid,
    /// The model gives probabilities and hides how it made them; there are no logits.
    Unknown,
}

/// What `[output] kind` in a manifest says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Find out from the graph: what ends in `Softmax` or `Sigmoid` gives probabilities, all else
    /// logits.
    #[default]
    Auto,
    /// The output is logits, of a softmax.
    Logits,
    /// The output is probabilities; the logit is looked for behind them.
    Probabilities,
    /// The output is one independent score a label: probabilities if the graph ends in `Sigmoid`,
    /// else logits.
    Sigmoid,
}

/// Where the scores of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifierHead {
    /// The graph output that was looked at.
    pub output: String,
    /// The model's other outputs.
    pub others: Vec<String>,
    /// The tensor of scores, `[N, columns]` but for ones between: logits, or with [`OutputActivation::Unknown`]
    /// probabilities.
    pub tensor: String,
    /// What makes probabilities of it.
    pub output_activation: OutputActivation,
    /// How many scores an image has.
    pub columns: usize,
}

impl ClassifierHead {
    /// True for a model with one score an image: how much it is the one thing and not the other.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.columns == 1
    }

    /// How many classes there are. One score tells two classes apart, the negative and then the
    /// positive.
    #[must_use]
    pub fn classes(&self) -> usize {
        if self.is_binary() { 2 } else { self.columns }
    }
}

/// Finds the scores behind the graph output named `output`, or behind the one that looks like
/// scores of classes; with `labels` classes, should there be several.
///
/// # Errors
/// The outputs there are, when `output` is none of them or none of them looks like scores.
pub fn find(
    graph: &GraphProto,
    shapes: &TensorFacts,
    output: Option<&str>,
    kind: OutputKind,
    labels: usize,
) -> Result<ClassifierHead, String> {
    let graph_index = GraphIndex::new(graph);
    let images = graph.input.first().and_then(|input| shapes.get(input.name())?.first().copied());
    let columns = |tensor: &str| columns(shapes.get(tensor)?, images);
    let names = || graph.output.iter().map(|output| output.name()).collect::<Vec<_>>().join(", ");
    let output = match output {
        Some(name) if graph.output.iter().any(|output| output.name() == name) => name,
        Some(name) => return Err(format!("the model has no output '{name}'; it has {}", names())),
        None => choose(&graph_index, shapes, labels, &columns).ok_or_else(|| {
            format!(
                "no output of the model holds a score for each class, [N, classes]; it has {}",
                names()
            )
        })?,
    };
    let end = behind_rearranging(&graph_index, output);
    let ending = ending(&graph_index, output);
    let behind = |node: &NodeProto| {
        behind_rearranging(&graph_index, node.input_name(0).unwrap_or(end)).to_owned()
    };
    let (tensor, link) = match (kind, ending.map(|node| (node.op(), node))) {
        (OutputKind::Auto | OutputKind::Probabilities, Some(("Softmax", node))) => {
            (behind(node), OutputActivation::Softmax)
        }
        (
            OutputKind::Auto | OutputKind::Probabilities | OutputKind::Sigmoid,
            Some(("Sigmoid", node)),
        ) => (behind(node), OutputActivation::Sigmoid),
        (OutputKind::Probabilities, _) => (end.to_owned(), OutputActivation::Unknown),
        (OutputKind::Sigmoid, _) => (end.to_owned(), OutputActivation::Sigmoid),
        (OutputKind::Auto | OutputKind::Logits, _) => (end.to_owned(), OutputActivation::Softmax),
    };
    // How the output holds its numbers is what counts; behind it they may be in another shape.
    let columns = columns(output).and_then(|columns| usize::try_from(columns).ok()).ok_or_else(|| {
        let sizes = shapes.get(output).unwrap_or_default();
        format!("output '{output}' has the shape {sizes:?} and holds no score for each class, [N, classes]")
    })?;
    // A softmax over one number is always 1: who gives one logit means the logistic function.
    let link = if columns == 1 && link == OutputActivation::Softmax {
        OutputActivation::Sigmoid
    } else {
        link
    };
    let others = graph.output.iter().map(|other| other.name()).filter(|other| *other != output);
    Ok(ClassifierHead {
        output: output.to_owned(),
        others: others.map(str::to_owned).collect(),
        tensor,
        output_activation: link,
        columns,
    })
}

/// Scores an image in a tensor of these sizes: all but the batch, of which only one may be more
/// than 1.
fn columns(sizes: &[i64], images: Option<i64>) -> Option<i64> {
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

/// The output that looks like scores: floats `[N, classes]` that no other such output is made of,
/// as features are; if possible as many as there are labels; else what is made into probabilities,
/// where others give places or sizes; else the first.
fn choose<'g>(
    graph_index: &GraphIndex<'g>,
    shapes: &TensorFacts,
    labels: usize,
    columns: &dyn Fn(&str) -> Option<i64>,
) -> Option<&'g str> {
    let likely: Vec<&str> = (graph_index.graph.output.iter().map(|output| output.name()))
        .filter(|name| columns(name).is_some() && is_float(shapes.element_type(name)))
        .collect();
    let last: Vec<&str> = (likely.iter().copied())
        .filter(|name| {
            let is_source =
                |other: &&str| other != name && graph_index.upstream(other).contains(name);
            !likely.iter().any(is_source)
        })
        .collect();
    let labelled = |name: &&&str| labels > 0 && columns(name) == i64::try_from(labels).ok();
    let is_chance = |name: &&&str| {
        ending(graph_index, name).is_some_and(|node| matches!(node.op(), "Softmax" | "Sigmoid"))
    };
    last.iter()
        .find(labelled)
        .or_else(|| last.iter().find(is_chance))
        .or_else(|| last.first())
        .copied()
}

/// The standard operator that makes an output, whatever only rearranges it then.
fn ending<'a>(graph_index: &GraphIndex<'a>, output: &'a str) -> Option<&'a NodeProto> {
    graph_index.producer(behind_rearranging(graph_index, output)).filter(|node| node.is_standard())
}

/// Walks back over operators that move numbers about and change none.
fn behind_rearranging<'a>(graph_index: &GraphIndex<'a>, tensor: &'a str) -> &'a str {
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

/// Casts to other floats change nothing that matters: what is behind them is the score.
fn rearranges(node: &NodeProto) -> bool {
    match node.op() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" => true,
        "Cast" => i32::try_from(node.int("to", 0)).is_ok_and(is_float),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{ValueInfoProto, data_type};

    fn ending_in(ops: &[&str]) -> GraphProto {
        let names: Vec<String> = (0..=ops.len()).map(|index| format!("t{index}")).collect();
        let node = |(index, op): (usize, &&str)| {
            NodeProto::new(op, &[&names[index]], &[&names[index + 1]])
        };
        GraphProto {
            node: ops.iter().enumerate().map(node).collect(),
            output: vec![ValueInfoProto::untyped(&names[ops.len()])],
            ..Default::default()
        }
    }

    fn shapes(names: &[(&str, &[i64])]) -> TensorFacts {
        names.iter().map(|(name, sizes)| ((*name).to_owned(), sizes.to_vec())).collect()
    }

    fn found(ops: &[&str], kind: OutputKind) -> (String, OutputActivation) {
        let shapes = shapes(&[(&format!("t{}", ops.len()), &[2, 5])]);
        let score = find(&ending_in(ops), &shapes, None, kind, 0).unwrap();
        (score.tensor, score.output_activation)
    }

    /// Features and scores of two heads; the second head is the one with the softmax.
    fn several(labels: usize) -> ClassifierHead {
        let node = |op: &str, from: &str, to: &str| NodeProto::new(op, &[from], &[to]);
        let graph = GraphProto {
            node: vec![
                node("Relu", "x", "features"),
                node("Gemm", "features", "colour"),
                node("Gemm", "features", "kind"),
                node("Softmax", "kind", "probabilities"),
                node("ArgMax", "kind", "best"),
            ],
            input: vec![ValueInfoProto::untyped("x")],
            output: ["features", "map", "best", "colour", "kind", "probabilities"]
                .map(ValueInfoProto::untyped)
                .into(),
            ..Default::default()
        };
        let sizes: [(&str, &[i64]); 7] = [
            ("x", &[2, 3, 8, 8]),
            ("features", &[2, 16]),
            ("map", &[2, 16, 4, 4]),
            ("best", &[2]),
            ("colour", &[2, 4]),
            ("kind", &[2, 5]),
            ("probabilities", &[2, 5]),
        ];
        let types = [("best".to_owned(), data_type::INT64)].into();
        find(&graph, &shapes(&sizes).with_types(types), None, OutputKind::Auto, labels).unwrap()
    }

    #[test]
    fn of_several_outputs_the_one_that_looks_like_scores_is_taken() {
        // What ends in a softmax says by that that it is classes.
        let score = several(0);
        assert_eq!((score.output.as_str(), score.tensor.as_str()), ("probabilities", "kind"));
        assert_eq!(score.others, ["features", "map", "best", "colour", "kind"]);
        let score = several(4);
        assert_eq!((score.output.as_str(), score.columns), ("colour", 4));
    }

    #[test]
    fn scores_may_have_ones_around_them_and_nothing_else() {
        assert_eq!(columns(&[2, 7, 1, 1], Some(2)), Some(7));
        assert_eq!(columns(&[2, 1, 7], Some(2)), Some(7));
        assert_eq!(columns(&[2, 7, 4, 4], Some(2)), None);
        assert_eq!(columns(&[2], Some(2)), Some(1));
        assert_eq!(columns(&[7], Some(1)), Some(7));
        assert_eq!(columns(&[7], Some(2)), None);
    }

    #[test]
    fn one_logit_means_two_classes() {
        let shapes = shapes(&[("t1", &[2, 1])]);
        let score = find(&ending_in(&["Gemm"]), &shapes, None, OutputKind::Auto, 0).unwrap();
        assert_eq!(
            (score.output_activation, score.classes(), score.is_binary()),
            (OutputActivation::Sigmoid, 2, true)
        );
    }

    #[test]
    fn the_logit_is_the_input_of_the_final_softmax() {
        assert_eq!(
            found(&["Gemm", "Softmax"], OutputKind::Auto),
            ("t1".into(), OutputActivation::Softmax)
        );
        assert_eq!(
            found(&["Gemm", "Flatten", "Softmax", "Reshape"], OutputKind::Auto),
            ("t1".into(), OutputActivation::Softmax)
        );
    }

    #[test]
    fn a_model_without_a_softmax_gives_logits() {
        assert_eq!(
            found(&["Relu", "Gemm"], OutputKind::Auto),
            ("t2".into(), OutputActivation::Softmax)
        );
    }

    #[test]
    fn multi_label_models_have_independent_probabilities() {
        assert_eq!(
            found(&["Gemm", "Sigmoid"], OutputKind::Auto),
            ("t1".into(), OutputActivation::Sigmoid)
        );
        assert_eq!(found(&["Gemm"], OutputKind::Sigmoid), ("t1".into(), OutputActivation::Sigmoid));
    }

    #[test]
    fn probabilities_made_in_an_unknown_way_have_no_logit() {
        assert_eq!(
            found(&["Gemm", "Exp"], OutputKind::Probabilities),
            ("t2".into(), OutputActivation::Unknown)
        );
    }

    #[test]
    fn a_manifest_can_overrule_the_ending() {
        assert_eq!(
            found(&["Gemm", "Softmax"], OutputKind::Logits),
            ("t2".into(), OutputActivation::Softmax)
        );
    }

    #[test]
    fn a_wrong_output_is_named_with_the_right_ones() {
        let error =
            find(&ending_in(&["Gemm"]), &TensorFacts::default(), Some("nope"), OutputKind::Auto, 0)
                .unwrap_err();
        assert_eq!(error, "the model has no output 'nope'; it has t1");
    }
}
