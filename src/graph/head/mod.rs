//! The classifier's head: the tensor of logits, and how they become probabilities.
//!
//! Grad-CAM differentiates the logit, "the score before the softmax" (arXiv 1610.02391, section 3).
//! Keras exports end in `Softmax`, torch exports mostly don't, multi-label models end in `Sigmoid`.
//! [`ClassifierHead::find`] walks back from the output over operators that only rearrange values,
//! to the operator that determines the activation.

use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto};

/// How a model's logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputActivation {
    /// Softmax over the classes: one of many.
    Softmax,
    /// The logistic function for each class, as in multi-label models.
    Sigmoid,
    /// The model outputs probabilities and does not show the logits that they came from.
    Unknown,
}

/// What the output holds: `[output] kind` in a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Decide by the graph: probabilities if it ends in `Softmax` or `Sigmoid`, else logits.
    #[default]
    Auto,
    /// Logits of a softmax.
    Logits,
    /// Probabilities; the logits are their softmax's or sigmoid's input.
    Probabilities,
    /// One independent score for each label: probabilities if the graph ends in `Sigmoid`, else
    /// logits.
    Sigmoid,
}

/// Where a model's scores are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifierHead {
    /// The graph output that is explained.
    pub output: String,
    /// The model's other outputs.
    pub others: Vec<String>,
    /// The tensor of scores, `[N, columns]`, possibly with axes of size 1 between: logits, or
    /// probabilities with [`OutputActivation::Unknown`].
    pub tensor: String,
    /// How the scores become probabilities.
    pub output_activation: OutputActivation,
    /// Number of scores per image.
    pub columns: usize,
}

impl ClassifierHead {
    /// True for a model with a single score for each image, as binary classifiers have.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.columns == 1
    }

    /// The number of classes. A single score stands for two: the negative and then the positive.
    #[must_use]
    pub fn classes(&self) -> usize {
        if self.is_binary() { 2 } else { self.columns }
    }

    /// Finds the scores at the graph output named `output`, or at the one that looks like class
    /// scores. Among several of those, one with `label_count` classes is preferred.
    ///
    /// # Errors
    /// When `output` does not exist, or no output looks like class scores. The message lists the
    /// outputs.
    pub fn find(
        graph: &GraphProto,
        facts: &TensorFacts,
        output: Option<&str>,
        kind: OutputKind,
        label_count: usize,
    ) -> Result<Self, String> {
        let graph_index = GraphIndex::new(graph);
        let images =
            graph.input.first().and_then(|input| facts.get(input.name())?.first().copied());
        let columns = |tensor: &str| columns(facts.get(tensor)?, images);
        let output_names =
            || graph.output.iter().map(|output| output.name()).collect::<Vec<_>>().join(", ");
        let output = match output {
            Some(name) if graph.output.iter().any(|output| output.name() == name) => name,
            Some(name) => {
                return Err(format!("the model has no output '{name}'; it has {}", output_names()));
            }
            None => choose(&graph_index, facts, label_count, &columns).ok_or_else(|| {
                format!(
                    "no output of the model holds a score for each class, [N, classes]; it has {}",
                    output_names()
                )
            })?,
        };
        let end = before_rearranging(&graph_index, output);
        let last = last_operator(&graph_index, output);
        let input_of = |node: &NodeProto| {
            before_rearranging(&graph_index, node.input_name(0).unwrap_or(end)).to_owned()
        };
        let (tensor, activation) = match (kind, last.map(|node| (node.op(), node))) {
            (OutputKind::Auto | OutputKind::Probabilities, Some(("Softmax", node))) => {
                (input_of(node), OutputActivation::Softmax)
            }
            (
                OutputKind::Auto | OutputKind::Probabilities | OutputKind::Sigmoid,
                Some(("Sigmoid", node)),
            ) => (input_of(node), OutputActivation::Sigmoid),
            (OutputKind::Probabilities, _) => (end.to_owned(), OutputActivation::Unknown),
            (OutputKind::Sigmoid, _) => (end.to_owned(), OutputActivation::Sigmoid),
            (OutputKind::Auto | OutputKind::Logits, _) => {
                (end.to_owned(), OutputActivation::Softmax)
            }
        };
        // The shape of the output counts; the tensor of scores may be shaped differently.
        let columns = columns(output).and_then(|columns| usize::try_from(columns).ok());
        let columns = columns.ok_or_else(|| {
            let sizes = facts.get(output).unwrap_or_default();
            format!(
                "output '{output}' has the shape {sizes:?} and holds no score for each class, \
                 [N, classes]"
            )
        })?;
        // A softmax over one score is always 1, so a single logit means the logistic function.
        let output_activation = if columns == 1 && activation == OutputActivation::Softmax {
            OutputActivation::Sigmoid
        } else {
            activation
        };
        let others = graph.output.iter().map(|other| other.name()).filter(|name| *name != output);
        Ok(Self {
            output: output.to_owned(),
            others: others.map(str::to_owned).collect(),
            tensor,
            output_activation,
            columns,
        })
    }
}

/// The number of scores per image in a tensor of these sizes: at most one axis besides the batch
/// may be larger than 1.
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

/// The output that looks like class scores: floats `[N, classes]` that no other such output is
/// computed from (those are features). Among several, the first with a score for each label, else
/// the first that ends in probabilities (others are positions or sizes), else the first.
fn choose<'g>(
    graph_index: &GraphIndex<'g>,
    facts: &TensorFacts,
    label_count: usize,
    columns: &dyn Fn(&str) -> Option<i64>,
) -> Option<&'g str> {
    let likely: Vec<&str> = (graph_index.graph.output.iter().map(|output| output.name()))
        .filter(|name| columns(name).is_some() && is_float(facts.element_type(name)))
        .collect();
    let final_ones: Vec<&str> = (likely.iter().copied())
        .filter(|name| {
            let is_source =
                |other: &&str| other != name && graph_index.upstream(other).contains(name);
            !likely.iter().any(is_source)
        })
        .collect();
    let has_labels =
        |name: &&&str| label_count > 0 && columns(name) == i64::try_from(label_count).ok();
    let is_probability = |name: &&&str| {
        last_operator(graph_index, name)
            .is_some_and(|node| matches!(node.op(), "Softmax" | "Sigmoid"))
    };
    (final_ones.iter().find(has_labels))
        .or_else(|| final_ones.iter().find(is_probability))
        .or_else(|| final_ones.first())
        .copied()
}

/// The standard operator that computes an output, before operators that only rearrange it.
fn last_operator<'a>(graph_index: &GraphIndex<'a>, output: &'a str) -> Option<&'a NodeProto> {
    graph_index.producer(before_rearranging(graph_index, output)).filter(|node| node.is_standard())
}

/// The tensor before all operators that only rearrange values.
fn before_rearranging<'a>(graph_index: &GraphIndex<'a>, tensor: &'a str) -> &'a str {
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

    fn facts(names: &[(&str, &[i64])]) -> TensorFacts {
        names.iter().map(|(name, sizes)| ((*name).to_owned(), sizes.to_vec())).collect()
    }

    fn found(ops: &[&str], kind: OutputKind) -> (String, OutputActivation) {
        let facts = facts(&[(&format!("t{}", ops.len()), &[2, 5])]);
        let head = ClassifierHead::find(&ending_in(ops), &facts, None, kind, 0).unwrap();
        (head.tensor, head.output_activation)
    }

    /// A model with features and two heads, of which the second has a softmax.
    fn two_heads(label_count: usize) -> ClassifierHead {
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
        let facts = facts(&sizes).with_types(types);
        ClassifierHead::find(&graph, &facts, None, OutputKind::Auto, label_count).unwrap()
    }

    #[test]
    fn the_output_that_looks_like_class_scores_is_chosen() {
        let head = two_heads(0);
        assert_eq!((head.output.as_str(), head.tensor.as_str()), ("probabilities", "kind"));
        assert_eq!(head.others, ["features", "map", "best", "colour", "kind"]);
        let head = two_heads(4);
        assert_eq!((head.output.as_str(), head.columns), ("colour", 4));
    }

    #[test]
    fn scores_may_only_have_axes_of_size_one_beside_them() {
        assert_eq!(columns(&[2, 7, 1, 1], Some(2)), Some(7));
        assert_eq!(columns(&[2, 1, 7], Some(2)), Some(7));
        assert_eq!(columns(&[2, 7, 4, 4], Some(2)), None);
        assert_eq!(columns(&[2], Some(2)), Some(1));
        assert_eq!(columns(&[7], Some(1)), Some(7));
        assert_eq!(columns(&[7], Some(2)), None);
    }

    #[test]
    fn one_logit_means_two_classes() {
        let facts = facts(&[("t1", &[2, 1])]);
        let head =
            ClassifierHead::find(&ending_in(&["Gemm"]), &facts, None, OutputKind::Auto, 0).unwrap();
        assert_eq!(
            (head.output_activation, head.classes(), head.is_binary()),
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
    fn a_model_without_a_softmax_outputs_logits() {
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
    fn probabilities_of_unknown_origin_have_no_logit() {
        assert_eq!(
            found(&["Gemm", "Exp"], OutputKind::Probabilities),
            ("t2".into(), OutputActivation::Unknown)
        );
    }

    #[test]
    fn a_manifest_overrides_the_last_operator() {
        assert_eq!(
            found(&["Gemm", "Softmax"], OutputKind::Logits),
            ("t2".into(), OutputActivation::Softmax)
        );
    }

    #[test]
    fn an_unknown_output_is_reported_with_the_outputs_there_are() {
        let (graph, facts) = (ending_in(&["Gemm"]), TensorFacts::default());
        let error =
            ClassifierHead::find(&graph, &facts, Some("nope"), OutputKind::Auto, 0).unwrap_err();
        assert_eq!(error, "the model has no output 'nope'; it has t1");
    }
}
