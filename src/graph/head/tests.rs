use super::*;
use onnx_gradient::proto::{NodeProto, ValueInfoProto, data_type};

fn ending_in(ops: &[&str]) -> GraphProto {
    let names: Vec<String> = (0..=ops.len()).map(|index| format!("t{index}")).collect();
    let node =
        |(index, op): (usize, &&str)| NodeProto::new(op, &[&names[index]], &[&names[index + 1]]);
    GraphProto {
        node: ops.iter().enumerate().map(node).collect(),
        output: vec![ValueInfoProto::untyped(&names[ops.len()])],
        ..Default::default()
    }
}

fn facts(names: &[(&str, &[i64])]) -> TensorFacts {
    names.iter().map(|(name, sizes)| ((*name).to_owned(), sizes.to_vec())).collect()
}

/// The head of a graph whose outputs were not sampled.
fn find(
    graph: &GraphProto,
    facts: &TensorFacts,
    output: Option<&str>,
    kind: OutputKind,
    label_count: usize,
) -> Result<ClassifierHead, String> {
    let samples = &OutputSamples::default();
    let hints = OutputHints { output, kind, label_count, samples };
    ClassifierHead::find(graph, facts, &hints).map(|(head, _)| head)
}

fn found(ops: &[&str], kind: OutputKind) -> (String, OutputActivation) {
    let facts = facts(&[(&format!("t{}", ops.len()), &[2, 5])]);
    let head = find(&ending_in(ops), &facts, None, kind, 0).unwrap();
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
    find(&graph, &facts, None, OutputKind::Auto, label_count).unwrap()
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
    let head = find(&ending_in(&["Gemm"]), &facts, None, OutputKind::Auto, 0).unwrap();
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
        found(&["Gemm", "Softplus"], OutputKind::Probabilities),
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
    let error = find(&graph, &facts, Some("nope"), OutputKind::Auto, 0).unwrap_err();
    assert_eq!(error, "the model has no output 'nope'; it has t1");
    let nothing = GraphProto::default();
    for (wanted, expected) in [
        (Some("nope"), "the model has no output 'nope'; it has none"),
        (
            None,
            "no output of the model holds a score for each class, floats [N, classes]; it has \
             none. Export the scores of all classes as an output",
        ),
    ] {
        let error = find(&nothing, &facts, wanted, OutputKind::Auto, 0).unwrap_err();
        assert_eq!(error, expected);
    }
}
