//! Finding the score: the tensor of logits behind a model's output.
//!
//! Grad-CAM differentiates the logit, "the score before the softmax" (arXiv
//! 1610.02391, section 3). Keras exports end in `Softmax`, torch exports mostly
//! don't, multi-label models end in `Sigmoid`. [`find`] walks back from the
//! output over operators that only rearrange, and looks.

use super::proto::{GraphProto, NodeProto};
use super::topology::Topology;

/// How a model's logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One of many: softmax over the classes.
    Softmax,
    /// Each for itself: the logistic function, as in multi-label models.
    Sigmoid,
    /// The model gives probabilities and hides how it made them; there are no logits.
    Hidden,
}

/// What `[output] kind` in a manifest says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Find out from the graph: what ends in `Softmax` or `Sigmoid` gives probabilities, all else logits.
    #[default]
    Auto,
    /// The output is logits, of a softmax.
    Logits,
    /// The output is probabilities; the logit is looked for behind them.
    Probabilities,
    /// The output is one independent score a label: probabilities if the graph ends in `Sigmoid`, else logits.
    Sigmoid,
}

/// Where the scores of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The graph output that was looked at.
    pub output: String,
    /// The tensor of scores, `[N, classes]` but for ones between: logits, or with [`Link::Hidden`] probabilities.
    pub tensor: String,
    /// What makes probabilities of it.
    pub link: Link,
}

/// Finds the scores behind the graph output named `output`, or behind the first one.
///
/// # Errors
/// The names of the outputs there are, when `output` is none of them.
pub fn find(graph: &GraphProto, output: Option<&str>, kind: OutputKind) -> Result<Score, String> {
    let names = || graph.output.iter().map(|output| output.name()).collect::<Vec<_>>().join(", ");
    let output = match output {
        Some(name) if graph.output.iter().any(|output| output.name() == name) => name,
        Some(name) => return Err(format!("the model has no output '{name}'; it has {}", names())),
        None => graph.output.first().map(|output| output.name()).ok_or("the model has no output")?,
    };
    let topology = Topology::new(graph);
    let end = behind_rearranging(&topology, output);
    let ending = topology.producer(end).filter(|node| node.is_standard());
    let behind =
        |node: &NodeProto| behind_rearranging(&topology, node.input_name(0).unwrap_or(end)).to_owned();
    let (tensor, link) = match (kind, ending.map(|node| (node.op(), node))) {
        (OutputKind::Auto | OutputKind::Probabilities, Some(("Softmax", node))) => {
            (behind(node), Link::Softmax)
        }
        (OutputKind::Auto | OutputKind::Probabilities | OutputKind::Sigmoid, Some(("Sigmoid", node))) => {
            (behind(node), Link::Sigmoid)
        }
        (OutputKind::Probabilities, _) => (end.to_owned(), Link::Hidden),
        (OutputKind::Sigmoid, _) => (end.to_owned(), Link::Sigmoid),
        (OutputKind::Auto | OutputKind::Logits, _) => (end.to_owned(), Link::Softmax),
    };
    Ok(Score { output: output.to_owned(), tensor, link })
}

/// Walks back over operators that move numbers about and change none.
fn behind_rearranging<'a>(topology: &Topology<'a>, tensor: &'a str) -> &'a str {
    let mut tensor = tensor;
    while let Some(node) = topology.producer(tensor)
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
    const FLOATS: [i64; 4] = [1, 10, 11, 16];
    match node.op() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" => true,
        "Cast" => FLOATS.contains(&node.int("to", 0)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::ValueInfoProto;

    fn ending_in(ops: &[&str]) -> GraphProto {
        let names: Vec<String> = (0..=ops.len()).map(|index| format!("t{index}")).collect();
        let node = |(index, op): (usize, &&str)| NodeProto::new(op, &[&names[index]], &[&names[index + 1]]);
        GraphProto {
            node: ops.iter().enumerate().map(node).collect(),
            output: vec![ValueInfoProto::untyped(&names[ops.len()])],
            ..Default::default()
        }
    }

    fn found(ops: &[&str], kind: OutputKind) -> (String, Link) {
        let score = find(&ending_in(ops), None, kind).unwrap();
        (score.tensor, score.link)
    }

    #[test]
    fn the_logit_is_the_input_of_the_final_softmax() {
        assert_eq!(found(&["Gemm", "Softmax"], OutputKind::Auto), ("t1".into(), Link::Softmax));
        assert_eq!(
            found(&["Gemm", "Flatten", "Softmax", "Reshape"], OutputKind::Auto),
            ("t1".into(), Link::Softmax)
        );
    }

    #[test]
    fn a_model_without_a_softmax_gives_logits() {
        assert_eq!(found(&["Relu", "Gemm"], OutputKind::Auto), ("t2".into(), Link::Softmax));
    }

    #[test]
    fn multi_label_models_have_independent_probabilities() {
        assert_eq!(found(&["Gemm", "Sigmoid"], OutputKind::Auto), ("t1".into(), Link::Sigmoid));
        assert_eq!(found(&["Gemm"], OutputKind::Sigmoid), ("t1".into(), Link::Sigmoid));
    }

    #[test]
    fn probabilities_made_in_an_unknown_way_have_no_logit() {
        assert_eq!(found(&["Gemm", "Exp"], OutputKind::Probabilities), ("t2".into(), Link::Hidden));
    }

    #[test]
    fn a_manifest_can_overrule_the_ending() {
        assert_eq!(found(&["Gemm", "Softmax"], OutputKind::Logits), ("t2".into(), Link::Softmax));
    }

    #[test]
    fn a_wrong_output_is_named_with_the_right_ones() {
        let error = find(&ending_in(&["Gemm"]), Some("nope"), OutputKind::Auto).unwrap_err();
        assert_eq!(error, "the model has no output 'nope'; it has t1");
    }
}
