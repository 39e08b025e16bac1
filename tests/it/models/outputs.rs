//! Outputs other than `[N, classes]`: one score, extra axes of size 1, several outputs.

use camlens::engine::{CancellationToken, Model, PassOutput, PassRequest};
use camlens::error::{Kind, Result};
use camlens::graph::head::OutputActivation;
use camlens::graph::program_io::GradientOf;
use ndarray::Array4;

use crate::net::Net;
use crate::support::{logit_gradients, run_default, sine_pattern, written};

/// A classifier with `columns` scores. `end` makes the outputs from the scores `[N, columns]`.
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

fn forward(model: &Model) -> PassOutput {
    model.forward(sine_pattern(0.37), &CancellationToken::default()).unwrap()
}

fn gradient(model: &Model, class: usize, gradient_of: GradientOf) -> Array4<f32> {
    let pass = logit_gradients(sine_pattern(0.37), &[class]);
    run_default(model, PassRequest { gradient_of, ..pass }).gradients.remove(0)
}

#[test]
fn one_score_means_two_classes() {
    for with_sigmoid in [true, false] {
        let end = |net: &mut Net, scores: &str| {
            vec![if with_sigmoid { net.op("Sigmoid", &[scores]) } else { scores.to_owned() }]
        };
        let model = load(1, end, "").unwrap();
        assert_eq!((model.classes(), model.output_activation()), (2, OutputActivation::Sigmoid));
        assert_eq!(model.labels().all(), ["negative", "positive"]);
        let output = forward(&model);
        let (scores, probabilities) = (output.scores.row(0), output.probabilities.row(0));
        assert_eq!(scores[0], -scores[1]);
        assert!((probabilities[0] + probabilities[1] - 1.0).abs() < 1e-6);
        // Evidence for one class is evidence against the other.
        for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
            assert_eq!(gradient(&model, 0, gradient_of), -gradient(&model, 1, gradient_of));
        }
        // σ′ = σ(1 − σ).
        let derivative = probabilities[0] * probabilities[1];
        let ratio =
            gradient(&model, 1, GradientOf::Probability) / gradient(&model, 1, GradientOf::Logit);
        assert!(ratio.iter().all(|ratio| (ratio - derivative).abs() < 1e-6), "{ratio}");
    }
}

#[test]
fn one_probability_without_a_logit_means_two_classes() {
    let end = |net: &mut Net, scores: &str| {
        let (low, high) = (net.float(0.0), net.float(1.0));
        vec![net.op("Clip", &[scores, &low, &high])]
    };
    let model = load(1, end, "[output]\nkind = \"probabilities\"\n").unwrap();
    assert_eq!((model.classes(), model.output_activation()), (2, OutputActivation::Unknown));
    let output = forward(&model);
    assert_eq!(output.probabilities[[0, 0]], 1.0 - output.probabilities[[0, 1]]);
}

#[test]
fn extra_axes_of_size_1_do_not_matter() {
    let shapes: [&[i64]; 3] = [&[-1, 5, 1, 1], &[-1, 1, 5], &[-1, 5]];
    let mut found = Vec::new();
    for sizes in shapes {
        let end = |net: &mut Net, scores: &str| {
            let shape = net.ints(sizes);
            vec![net.op("Reshape", &[scores, &shape])]
        };
        let model = load(5, end, "").unwrap();
        assert_eq!(model.classes(), 5, "{sizes:?}");
        found.push((forward(&model).scores, gradient(&model, 3, GradientOf::Logit)));
    }
    assert!(found.iter().all(|one| *one == found[2]));
    // One score per image, without an axis for classes.
    let end = |net: &mut Net, scores: &str| {
        let axes = net.ints(&[1]);
        vec![net.op("Squeeze", &[scores, &axes])]
    };
    assert_eq!(load(1, end, "").unwrap().classes(), 2);
}

#[test]
fn the_manifest_chooses_among_several_outputs() {
    let end = |net: &mut Net, scores: &str| {
        let shape = net.ints(&[-1, 3, 2, 1]);
        let grid = net.op("Reshape", &[scores, &shape]);
        let weight = net.weights(&[6, 4]);
        vec![grid, scores.to_owned(), net.op("MatMul", &[scores, &weight])]
    };
    // The first output holds no list of scores, and the third is computed from the second.
    let model = load(6, end, "").unwrap();
    assert_eq!(model.classes(), 4);
    assert_eq!(model.other_outputs().len(), 2);
    let name = model.other_outputs()[1].clone();
    let model = load(6, end, &format!("[output]\nname = \"{name}\"\n")).unwrap();
    assert_eq!((model.classes(), model.output_name()), (6, name.as_str()));
}

/// What makes a model's outputs from its features.
type Ends = fn(&mut Net, &str) -> Vec<String>;

#[test]
fn class_scores_are_chosen_before_features_and_single_values() {
    let ends: [(&str, Ends); 3] = [
        ("a copy of the features", |net, features| {
            let weight = net.weights(&[6, 4]);
            vec![net.op("Identity", &[features]), net.op("MatMul", &[features, &weight])]
        }),
        ("normalised features", |net, features| {
            let (weight, bias) = (net.weights(&[6, 4]), net.weights(&[6]));
            let shifted = net.op("Add", &[features, &bias]);
            let normal = net.op("LpNormalization", &[&shifted]);
            vec![normal, net.op("MatMul", &[features, &weight])]
        }),
        ("an age", |net, features| {
            let (weight, single) = (net.weights(&[6, 4]), net.weights(&[6, 1]));
            vec![net.op("MatMul", &[features, &single]), net.op("MatMul", &[features, &weight])]
        }),
    ];
    for (name, end) in ends {
        assert_eq!(load(6, end, "").unwrap().classes(), 4, "{name}");
    }
}

#[test]
fn the_elements_of_a_sequence_are_outputs() {
    let end = |net: &mut Net, scores: &str| {
        let doubled = net.op("Add", &[scores, scores]);
        vec![net.op("SequenceConstruct", &[&doubled, scores])]
    };
    let model = load(5, end, "").unwrap();
    assert_eq!((model.classes(), model.other_outputs().len()), (5, 1));
}

#[test]
fn a_model_whose_only_output_holds_maps_is_refused() {
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

/// A weight of a kilobyte or more is given to the runtime apart from the graph, which must not have
/// removed it.
#[test]
fn a_second_output_with_large_weights_is_left_out() {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 6]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Tanh", &[&maps]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let weight = net.weights(&[4, 64]);
    let embedding = net.op("MatMul", &[&features, &weight]);
    let manifest = format!("[output]\nname = \"{scores}\"\n");
    let model = written(&net.model([3, 8, 8], &[&scores, &embedding], 18), &manifest).unwrap();
    assert_eq!(model.other_outputs(), [embedding]);
    assert_eq!(forward(&model).scores.shape(), [1, 6]);
    assert!(gradient(&model, 2, GradientOf::Logit).iter().any(|value| *value != 0.0));
}
