//! What a model may give besides `[N, classes]`: one score, scores among ones, several outputs.

use camlens::engine::{CancellationToken, Model, PassRequest};
use camlens::error::{Kind, Result};
use camlens::graph::explain_graph::GradientOf;
use camlens::graph::head::OutputActivation;
use ndarray::Array4;

use crate::net::Net;
use crate::support::written;

/// A classifier with `columns` scores; `end` makes the outputs of the scores `[N, columns]`.
fn load(
    columns: i64,
    end: impl FnOnce(&mut Net, &str) -> Vec<String>,
    manifest: &str,
) -> Result<Model> {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, columns]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Tanh", &[&maps]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let outputs = end(&mut net, &scores);
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    written(&net.model([3, 8, 8], &outputs, 18), manifest)
}

fn image() -> Array4<f32> {
    Array4::from_shape_fn((1, 3, 8, 8), |(_, c, y, x)| ((c * 64 + y * 8 + x) as f32 * 0.37).sin())
}

fn gradient(model: &Model, target: usize, gradient_of: GradientOf) -> Array4<f32> {
    let pass = PassRequest { targets: vec![target], gradient_of, ..PassRequest::of(image()) };
    model
        .run(model.default_layer(), pass, &CancellationToken::default())
        .unwrap()
        .gradients
        .remove(0)
}

#[test]
fn one_score_tells_two_classes_apart() {
    for with_sigmoid in [true, false] {
        let end = |net: &mut Net, scores: &str| {
            vec![if with_sigmoid { net.op("Sigmoid", &[scores]) } else { scores.to_owned() }]
        };
        let model = load(1, end, "").unwrap();
        assert_eq!((model.classes(), model.output_activation()), (2, OutputActivation::Sigmoid));
        assert_eq!(model.labels().all(), ["negative", "positive"]);
        let outcome = model.forward(image(), &CancellationToken::default()).unwrap();
        let (scores, chances) = (outcome.scores.row(0), outcome.probabilities.row(0));
        assert_eq!(scores[0], -scores[1]);
        assert!((chances[0] + chances[1] - 1.0).abs() < 1e-6);
        // What speaks for the one speaks against the other.
        for wanted in [GradientOf::Logit, GradientOf::Probability] {
            assert_eq!(gradient(&model, 0, wanted), -gradient(&model, 1, wanted));
        }
        // σ′ = σ(1 − σ).
        let slope =
            gradient(&model, 1, GradientOf::Probability) / gradient(&model, 1, GradientOf::Logit);
        assert!(
            slope.iter().all(|slope| (slope - chances[0] * chances[1]).abs() < 1e-6),
            "{slope}"
        );
    }
}

#[test]
fn one_probability_without_a_logit_has_its_rest_beside_it() {
    let end = |net: &mut Net, scores: &str| {
        let (low, high) = (net.float(0.0), net.float(1.0));
        vec![net.op("Clip", &[scores, &low, &high])]
    };
    let model = load(1, end, "[output]\nkind = \"probabilities\"\n").unwrap();
    assert_eq!((model.classes(), model.output_activation()), (2, OutputActivation::Unknown));
    let outcome = model.forward(image(), &CancellationToken::default()).unwrap();
    assert_eq!(outcome.probabilities[[0, 0]], 1.0 - outcome.probabilities[[0, 1]]);
}

#[test]
fn scores_stand_among_ones_or_in_a_row() {
    let places: [&[i64]; 3] = [&[-1, 5, 1, 1], &[-1, 1, 5], &[-1, 5]];
    let mut found = Vec::new();
    for sizes in places {
        let end = |net: &mut Net, scores: &str| {
            let shape = net.ints(sizes);
            vec![net.op("Reshape", &[scores, &shape])]
        };
        let model = load(5, end, "").unwrap();
        assert_eq!(model.classes(), 5, "{sizes:?}");
        found.push((
            model.forward(image(), &CancellationToken::default()).unwrap().scores,
            gradient(&model, 3, GradientOf::Logit),
        ));
    }
    assert!(found.iter().all(|one| *one == found[2]));
    // One score an image without an axis of its own.
    let end = |net: &mut Net, scores: &str| {
        let axes = net.ints(&[1]);
        vec![net.op("Squeeze", &[scores, &axes])]
    };
    assert_eq!(load(1, end, "").unwrap().classes(), 2);
}

#[test]
fn of_several_outputs_the_manifest_chooses() {
    let end = |net: &mut Net, scores: &str| {
        let shape = net.ints(&[-1, 3, 2, 1]);
        let grid = net.op("Reshape", &[scores, &shape]);
        let weight = net.weights(&[6, 4]);
        vec![grid, scores.to_owned(), net.op("MatMul", &[scores, &weight])]
    };
    // The first is no list of scores, the second is what the third is made of.
    let model = load(6, end, "").unwrap();
    assert_eq!(model.classes(), 4);
    assert_eq!(model.other_outputs().len(), 2);
    let name = model.other_outputs()[1].clone();
    let model = load(6, end, &format!("[output]\nname = \"{name}\"\n")).unwrap();
    assert_eq!((model.classes(), model.output_name()), (6, name.as_str()));
}

#[test]
fn a_sequence_is_taken_apart() {
    let end = |net: &mut Net, scores: &str| {
        let doubled = net.op("Add", &[scores, scores]);
        vec![net.op("SequenceConstruct", &[&doubled, scores])]
    };
    let model = load(5, end, "").unwrap();
    assert_eq!((model.classes(), model.other_outputs().len()), (5, 1));
}

#[test]
fn an_output_that_holds_maps_is_no_classification() {
    let end = |net: &mut Net, scores: &str| {
        let shape = net.ints(&[-1, 3, 2]);
        vec![net.op("Reshape", &[scores, &shape])]
    };
    let error = load(6, end, "").err().unwrap();
    assert_eq!(error.kind(), Kind::Setup);
    assert!(
        error.to_string().starts_with("no output of the model holds a score for each class"),
        "{error}"
    );
}
