//! Probabilities that show no logits, and those that are nearly 1.

use camlens::app::ExplainOptions;
use camlens::engine::Model;
use camlens::error::Kind;
use camlens::explain::{Convention, Method, ScoreKind};
use camlens::graph::head::OutputActivation;
use camlens::warning::{Warning, WarningCode};

use super::{End, forward, image, model, network, softmax_of};
use crate::support::{try_explain, written};

/// Probabilities with no single logit behind them.
const WITHOUT_LOGITS: &[End] = &[
    ("the mean of two softmaxes", |n, z| {
        let two = n.float(2.0);
        let scaled = n.op("Mul", &[z, &two]);
        let (first, second) = (softmax_of(n, z), softmax_of(n, &scaled));
        n.op("Mean", &[&first, &second])
    }),
    ("squares divided by their sum", |n, z| {
        let axes = n.ints(&[1]);
        let squares = n.op("Mul", &[z, z]);
        let small = n.float(1e-3);
        let squares = n.op("Add", &[&squares, &small]);
        let sum = n.op("ReduceSum", &[&squares, &axes]);
        n.op("Div", &[&squares, &sum])
    }),
    ("the square root of a softmax", |n, z| {
        let p = softmax_of(n, z);
        n.op("Sqrt", &[&p])
    }),
    ("a clipped line", |n, z| {
        let (low, high, half) = (n.float(0.0), n.float(1.0), n.float(0.5));
        let shifted = n.op("Add", &[z, &half]);
        n.op("Clip", &[&shifted, &low, &high])
    }),
];

#[test]
fn probabilities_without_logits_are_explained_themselves_and_the_answer_says_so() {
    for &(name, tail) in WITHOUT_LOGITS {
        let model = model(tail, "");
        assert_eq!(model.output_activation(), OutputActivation::Unknown, "{name}");
        let options = ExplainOptions { target: Some("1".into()), ..ExplainOptions::default() };
        let found = try_explain(&model, &image(), &options).unwrap();
        assert_eq!(found.target.logit, None, "{name}");
        // A probability at its limit may have no gradient, so that its map is empty.
        let codes = |warnings: &[Warning]| -> Vec<WarningCode> {
            let codes = warnings.iter().map(|warning| warning.code);
            codes.filter(|code| *code != WarningCode::EmptyMap).collect()
        };
        assert_eq!(codes(&found.warnings), [WarningCode::ProbabilityExplained], "{name}");
        let named = ExplainOptions { score: Some(ScoreKind::Probability), ..options.clone() };
        let named = try_explain(&model, &image(), &named).unwrap();
        assert_eq!((named.map, codes(&named.warnings)), (found.map, Vec::new()), "{name}");
        let logit = ExplainOptions { score: Some(ScoreKind::Logit), ..options };
        let refused = try_explain(&model, &image(), &logit).unwrap_err();
        assert_eq!(refused.kind(), Kind::Impossible, "{name}");
    }
}

#[test]
fn logits_that_lie_in_0_to_1_for_noise_are_no_probabilities() {
    let small = model(
        |n, z| {
            let (scale, shift) = (n.float(1e-2), n.float(0.5));
            let small = n.op("Mul", &[z, &scale]);
            n.op("Add", &[&small, &shift])
        },
        "",
    );
    let scores = forward(&small).scores;
    assert!(scores.iter().all(|score| (0.0..1.0).contains(score)), "{scores}");
    assert_eq!(small.output_activation(), OutputActivation::Softmax);
}

#[test]
fn values_that_only_lay_in_0_to_1_are_guessed_to_be_probabilities() {
    // |x| / (1 + |x|), written in operators whose quotient has no known bounds.
    let end: End = ("a quotient", |n, z| {
        let (size, one) = (n.op("Abs", &[z]), n.float(1.0));
        let sum = n.op("Add", &[&size, &one]);
        n.op("Div", &[&size, &sum])
    });
    let guessed = model(end.1, "");
    assert_eq!(guessed.output_activation(), OutputActivation::Unknown);
    let [warning] = guessed.warnings() else { panic!("{:?}", guessed.warnings()) };
    assert_eq!(warning.code, WarningCode::OutputGuessed);
    assert!(warning.detail.contains("guessed"), "{warning:?}");
    assert!(model(end.1, "[output]\nkind = \"probabilities\"\n").warnings().is_empty());
}

#[test]
fn normalised_features_are_quantities() {
    let ends: [End; 2] = [
        ("non-negative", |n, z| {
            let (z, axes) = (n.op("Softplus", &[z]), n.ints(&[1]));
            let length = n.op("ReduceL2", &[&z, &axes]);
            n.op("Div", &[&z, &length])
        }),
        ("of both signs", |n, z| {
            let bias = n.weights(&[5]);
            let z = n.op("Add", &[z, &bias]);
            n.op("LpNormalization", &[&z])
        }),
    ];
    for (name, end) in ends {
        let features = model(end, "");
        assert_eq!(features.output_activation(), OutputActivation::Identity, "{name}");
        let [warning] = features.warnings() else { panic!("{name}: {:?}", features.warnings()) };
        assert!(warning.detail.contains("features"), "{name}: {warning:?}");
        let length: f32 = forward(&features).scores.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{name}: {length}");
    }
}

#[test]
fn values_outside_0_to_1_cannot_be_declared_probabilities() {
    let manifest = "[output]\nkind = \"probabilities\"\n";
    let error = written(&network(5, |_, z| z.to_owned()), manifest).err().unwrap();
    assert_eq!(error.kind(), Kind::Setup);
    let text = error.to_string();
    assert!(text.contains("holds probabilities, but it gave values from -"), "{text}");
    assert!(text.contains("kind = \"logits\""), "{text}");
    // In per cent they are probabilities all the same.
    let per_cent = network(5, |n, z| {
        let (p, hundred) = (softmax_of(n, z), n.float(100.0));
        n.op("Mul", &[&p, &hundred])
    });
    assert!(written(&per_cent, manifest).is_ok());
}

#[test]
fn scores_with_bounds_are_logits_with_a_warning_that_tells_the_bounds() {
    let ends: [(End, &str); 3] = [
        (("tanh", |n, z| n.op("Tanh", &[z])), "5 values between -1 and 1"),
        (("softplus", |n, z| n.op("Softplus", &[z])), "5 values of at least 0"),
        (("softsign", |n, z| n.op("Softsign", &[z])), "5 values between -1 and 1"),
    ];
    for ((name, end), range) in ends {
        let model = model(end, "");
        assert_eq!(model.output_activation(), OutputActivation::Softmax, "{name}");
        let [warning] = model.warnings() else { panic!("{name}: {:?}", model.warnings()) };
        assert!(warning.detail.contains(range), "{name}: {warning:?}");
    }
}

#[test]
fn a_saturated_probability_is_explained_with_a_warning() {
    // Multiplied logits make the predicted class certain.
    let scaled = |factor: f32| {
        model(
            move |n, z| {
                let factor = n.float(factor);
                let z = n.op("Mul", &[z, &factor]);
                softmax_of(n, &z)
            },
            "",
        )
    };
    let codes = |model: &Model, options: &ExplainOptions| {
        let warnings = try_explain(model, &image(), options).unwrap().warnings;
        // A gradient that has vanished may leave nothing of the map, too.
        let codes = warnings.into_iter().map(|warning| warning.code);
        codes.filter(|code| *code != WarningCode::EmptyMap).collect::<Vec<_>>()
    };
    let article = ExplainOptions { convention: Convention::Article, ..ExplainOptions::default() };
    let (usual, saturated) = (scaled(1.0), scaled(400.0));
    assert!(forward(&saturated).probabilities.iter().any(|p| *p >= 1.0 - 1e-7));
    assert_eq!(codes(&usual, &article), []);
    assert_eq!(codes(&saturated, &article), [WarningCode::SaturatedScore]);
    let probability =
        ExplainOptions { score: Some(ScoreKind::Probability), ..ExplainOptions::default() };
    assert_eq!(codes(&saturated, &probability), [WarningCode::SaturatedScore]);
    // A logit does not saturate, masked passes need no gradient, and the other classes are not
    // near 1.
    assert_eq!(codes(&saturated, &ExplainOptions::default()), []);
    let logit = ExplainOptions { score: Some(ScoreKind::Logit), ..article.clone() };
    assert_eq!(codes(&saturated, &logit), []);
    let score_cam = ExplainOptions { method: Method::ScoreCam, ..article.clone() };
    assert_eq!(codes(&saturated, &score_cam), []);
    let least = forward(&saturated).scores.row(0).iter().enumerate().fold(
        (0, f32::INFINITY),
        |least, (class, score)| if *score < least.1 { (class, *score) } else { least },
    );
    let other = ExplainOptions { target: Some(least.0.to_string()), ..article };
    assert_eq!(codes(&saturated, &other), []);
}

/// A model rules a class out by a logit of −∞. The others can be explained.
#[test]
fn a_class_of_probability_0_leaves_the_others() {
    const MASKS: &[End] = &[
        ("added", |n, z| {
            let mask = n.float32s(&[1, 5], &[0.0, f32::NEG_INFINITY, 0.0, 0.0, 0.0]);
            let masked = n.op("Add", &[z, &mask]);
            softmax_of(n, &masked)
        }),
        ("chosen", |n, z| {
            let mask = n.float32s(&[1, 5], &[0.0, 1.0, 0.0, 0.0, 0.0]);
            let (half, never) = (n.float(0.5), n.float(f32::NEG_INFINITY));
            let is_masked = n.op("Greater", &[&mask, &half]);
            let masked = n.op("Where", &[&is_masked, &never, z]);
            softmax_of(n, &masked)
        }),
    ];
    for &(name, tail) in MASKS {
        let model = model(tail, "");
        let output = forward(&model);
        assert_eq!(output.probabilities[[0, 1]], 0.0, "{name}");
        assert!((output.probabilities.sum() - 1.0).abs() < 1e-6, "{name}");
        let options = ExplainOptions { target: Some("2".into()), ..ExplainOptions::default() };
        let found = try_explain(&model, &image(), &options).unwrap();
        assert!(found.target.probability.is_some_and(|p| p > 0.0), "{name}");
        assert!(found.map.iter().all(|value| value.is_finite()), "{name}");
    }
}
