//! Heads: whatever a file makes of its logits, logit, probability and gradient of a class are those
//! of the plain model, and the probability is what the model says.

use camlens::app::ExplainOptions;
use camlens::engine::{CancellationToken, Model, PassOutput, PassRequest};
use camlens::error::Kind;
use camlens::explain::{Convention, Method, ScoreKind};
use camlens::graph::explain_graph::GradientOf;
use camlens::graph::head::OutputActivation;
use camlens::warning::WarningCode;
use ndarray::Array4;
use onnx_gradient::proto::{AttributeProto, ModelProto, TensorProto, data_type};

use crate::net::{Net, int, ints};
use crate::support::{
    load, logit_gradients, run_default, settings, sine_pattern, try_explain, write, written,
};

/// A model whose outputs `end` makes from five scores `[N, 5]`.
pub(super) fn model(end: impl FnOnce(&mut Net, &str) -> String, manifest: &str) -> Model {
    model_of(5, end, manifest)
}

fn model_of(columns: i64, end: impl FnOnce(&mut Net, &str) -> String, manifest: &str) -> Model {
    written(&network(columns, end), manifest).unwrap()
}

fn network(columns: i64, end: impl FnOnce(&mut Net, &str) -> String) -> ModelProto {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[6, 3, 3, 3]), net.weights(&[6, columns]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Relu", &[&maps]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let output = end(&mut net, &scores);
    net.model([3, 8, 8], &[&output], 18)
}

fn image() -> Array4<f32> {
    sine_pattern(0.37)
}

fn forward(model: &Model) -> PassOutput {
    model.forward(image(), &CancellationToken::default()).unwrap()
}

fn gradient(model: &Model, class: usize, gradient_of: GradientOf) -> Array4<f32> {
    let pass = logit_gradients(image(), &[class]);
    run_default(model, PassRequest { gradient_of, ..pass }).gradients.remove(0)
}

fn softmax(net: &mut Net, z: &str) -> String {
    net.with("Softmax", &[z], vec![int("axis", 1)])
}

/// A tensor of 8-bit floats and back, with steps of 1/255.
fn quantised(net: &mut Net, p: &str) -> String {
    let scale = net.float(1.0 / 255.0);
    let zero = net.constant(|name| TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(data_type::UINT8),
        raw_data: Some(vec![0].into()),
        ..Default::default()
    });
    let integers = net.op("QuantizeLinear", &[p, &scale, &zero]);
    net.op("DequantizeLinear", &[&integers, &scale, &zero])
}

/// Integers of 8 bits, with the scale and zero point that they stand for.
fn integers(net: &mut Net, z: &str) -> [String; 3] {
    let scale = net.float(0.05);
    let zero = net.constant(|name| TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(data_type::INT8),
        raw_data: Some(vec![0].into()),
        ..Default::default()
    });
    [net.op("QuantizeLinear", &[z, &scale, &zero]), scale, zero]
}

/// What stands behind the logits: its name, how it is written, and the class of each of its columns.
type Tail = (&'static str, fn(&mut Net, &str) -> String, &'static [usize]);

const ALL: &[usize] = &[0, 1, 2, 3, 4];

const SOFTMAX_TAILS: &[Tail] = &[
    (
        "transposed twice",
        |n, z| {
            let p = softmax(n, z);
            let turned = n.with("Transpose", &[&p], vec![ints("perm", &[1, 0])]);
            n.with("Transpose", &[&turned], vec![ints("perm", &[1, 0])])
        },
        ALL,
    ),
    (
        "normalised along the first axis",
        |n, z| {
            let turned = n.with("Transpose", &[z], vec![ints("perm", &[1, 0])]);
            let p = n.with("Softmax", &[&turned], vec![int("axis", 0)]);
            n.with("Transpose", &[&p], vec![ints("perm", &[1, 0])])
        },
        ALL,
    ),
    (
        "clipped",
        |n, z| {
            let p = softmax(n, z);
            let (low, high) = (n.float(1e-7), n.float(1.0 - 1e-7));
            n.op("Clip", &[&p, &low, &high])
        },
        ALL,
    ),
    (
        "clipped by Max and Min",
        |n, z| {
            let p = softmax(n, z);
            let (low, high) = (n.float(1e-7), n.float(1.0));
            let p = n.op("Max", &[&p, &low]);
            n.op("Min", &[&high, &p])
        },
        ALL,
    ),
    (
        "multiplied by 1",
        |n, z| {
            let p = softmax(n, z);
            let one = n.float(1.0);
            n.op("Mul", &[&p, &one])
        },
        ALL,
    ),
    (
        "in per cent",
        |n, z| {
            let p = softmax(n, z);
            let hundred = n.float(100.0);
            n.op("Mul", &[&hundred, &p])
        },
        ALL,
    ),
    (
        "sliced",
        |n, z| {
            let p = softmax(n, z);
            let (start, end, axis) = (n.ints(&[1]), n.ints(&[4]), n.ints(&[1]));
            n.op("Slice", &[&p, &start, &end, &axis])
        },
        &[1, 2, 3],
    ),
    (
        "sliced and in per cent",
        |n, z| {
            let p = softmax(n, z);
            let (start, end, axis) = (n.ints(&[1]), n.ints(&[4]), n.ints(&[1]));
            let part = n.op("Slice", &[&p, &start, &end, &axis]);
            let hundred = n.float(0.01);
            n.op("Div", &[&part, &hundred])
        },
        &[1, 2, 3],
    ),
    (
        "in another order",
        |n, z| {
            let p = softmax(n, z);
            let order = n.ints(&[3, 0, 4, 2, 1]);
            n.with("Gather", &[&p, &order], vec![int("axis", 1)])
        },
        &[3, 0, 4, 2, 1],
    ),
    (
        "split and joined the other way round",
        |n, z| {
            let p = softmax(n, z);
            let (first, third) = (n.ints(&[0, 1]), n.ints(&[2, 3, 4]));
            let head = n.with("Gather", &[&p, &first], vec![int("axis", 1)]);
            let tail = n.with("Gather", &[&p, &third], vec![int("axis", 1)]);
            n.with("Concat", &[&tail, &head], vec![int("axis", 1)])
        },
        &[2, 3, 4, 0, 1],
    ),
    ("log-softmax", |n, z| n.with("LogSoftmax", &[z], vec![int("axis", 1)]), ALL),
    (
        "exponential of log-softmax",
        |n, z| {
            let log = n.with("LogSoftmax", &[z], vec![int("axis", 1)]);
            n.op("Exp", &[&log])
        },
        ALL,
    ),
    (
        "logarithm of softmax",
        |n, z| {
            let p = softmax(n, z);
            n.op("Log", &[&p])
        },
        ALL,
    ),
    (
        "sliced log-softmax",
        |n, z| {
            let log = n.with("LogSoftmax", &[z], vec![int("axis", 1)]);
            let (start, end, axis) = (n.ints(&[2]), n.ints(&[5]), n.ints(&[1]));
            n.op("Slice", &[&log, &start, &end, &axis])
        },
        &[2, 3, 4],
    ),
    (
        "written out",
        |n, z| {
            let axes = n.ints(&[1]);
            let e = n.op("Exp", &[z]);
            let sum = n.op("ReduceSum", &[&e, &axes]);
            n.op("Div", &[&e, &sum])
        },
        ALL,
    ),
    (
        "written out with the largest subtracted",
        |n, z| {
            let axes = n.ints(&[1]);
            let largest = n.op("ReduceMax", &[z, &axes]);
            let shifted = n.op("Sub", &[z, &largest]);
            let e = n.op("Exp", &[&shifted]);
            let sum = n.op("ReduceSum", &[&e, &axes]);
            let inverse = n.op("Reciprocal", &[&sum]);
            n.op("Mul", &[&inverse, &e])
        },
        ALL,
    ),
    (
        "log-softmax written out",
        |n, z| {
            let axes = n.ints(&[1]);
            let total = n.op("ReduceLogSumExp", &[z, &axes]);
            n.op("Sub", &[z, &total])
        },
        ALL,
    ),
    (
        "mean over an axis of size 1",
        |n, z| {
            let p = softmax(n, z);
            let axis = n.ints(&[1]);
            let row = n.op("Unsqueeze", &[&p, &axis]);
            n.with("ReduceMean", &[&row, &axis], vec![int("keepdims", 0)])
        },
        ALL,
    ),
    (
        "reshaped, cast and back",
        |n, z| {
            let p = softmax(n, z);
            let cast = n.with("Cast", &[&p], vec![int("to", 11)]);
            let shape = n.ints(&[-1, 5, 1]);
            let column = n.op("Reshape", &[&cast, &shape]);
            let single = n.with("Cast", &[&column], vec![int("to", 1)]);
            n.op("Flatten", &[&single])
        },
        ALL,
    ),
];

fn close(found: &Array4<f32>, expected: &Array4<f32>, tolerance: f32) -> bool {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    largest > 0.0 && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance * largest)
}

/// Holds a model with a tail against the plain one.
fn agrees(plain: &Model, (name, tail, classes): Tail, rounding: f32) {
    let model = model(tail, "");
    assert_eq!(model.classes(), classes.len(), "{name}");
    let (expected, found) = (forward(plain), forward(&model));
    for (column, &class) in classes.iter().enumerate() {
        let of = |what: &str, a: f32, b: f32, tolerance: f32| {
            assert!((a - b).abs() <= tolerance, "{name}, class {class}: {what} {a}, not {b}");
        };
        of("logit", found.scores[[0, column]], expected.scores[[0, class]], 1e-6);
        let probability = expected.probabilities[[0, class]];
        of("p", found.probabilities[[0, column]], probability, 1e-6 + rounding);
        for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
            let expected = gradient(plain, class, gradient_of);
            let found = gradient(&model, column, gradient_of);
            assert!(close(&found, &expected, 1e-5), "{name}, class {class}: {gradient_of:?}");
        }
    }
}

#[test]
fn a_softmax_is_found_behind_every_tail() {
    let plain = model(softmax, "");
    assert_eq!(plain.output_activation(), OutputActivation::Softmax);
    for &tail in SOFTMAX_TAILS {
        agrees(&plain, tail, 0.0);
    }
}

#[test]
fn a_rounded_softmax_keeps_its_logits_and_gives_its_own_probabilities() {
    let plain = model(softmax, "");
    let tail = |n: &mut Net, z: &str| {
        let p = softmax(n, z);
        quantised(n, &p)
    };
    agrees(&plain, ("quantised", tail, ALL), 0.5 / 255.0);
    let found = forward(&model(tail, "")).probabilities;
    assert!(found.iter().all(|p| (p * 255.0 - (p * 255.0).round()).abs() < 1e-4), "{found}");
}

#[test]
fn integer_activations_have_the_logits_that_were_rounded() {
    let plain = model(softmax, "");
    let dequantised: Tail = (
        "quantised on both sides",
        |n, z| {
            let [q, scale, zero] = integers(n, z);
            let z = n.op("DequantizeLinear", &[&q, &scale, &zero]);
            let p = softmax(n, &z);
            quantised(n, &p)
        },
        ALL,
    );
    // Logits are rounded by up to 0.025, and probabilities change by less than that.
    agrees(&plain, dequantised, 0.025);
    let operator: Tail = (
        "QLinearSoftmax",
        |n, z| {
            let [q, scale, zero] = integers(n, z);
            let step = n.float(1.0 / 127.0);
            let attributes = [int("axis", 1), int("opset", 17)];
            let inputs = [q.as_str(), &scale, &zero, &step, &zero];
            let p = n.contrib_op("QLinearSoftmax", &inputs, attributes);
            n.op("DequantizeLinear", &[&p, &step, &zero])
        },
        ALL,
    );
    agrees(&plain, operator, 0.025);
    let plain = model(|n, z| n.op("Sigmoid", &[z]), "");
    let operator: Tail = (
        "QLinearSigmoid",
        |n, z| {
            let [q, scale, zero] = integers(n, z);
            let step = n.float(1.0 / 127.0);
            let inputs = [q.as_str(), &scale, &zero, &step, &zero];
            let p = n.contrib_op("QLinearSigmoid", &inputs, []);
            n.op("DequantizeLinear", &[&p, &step, &zero])
        },
        ALL,
    );
    agrees(&plain, operator, 0.025);
}

#[test]
fn top_k_of_a_softmax_explains_the_classes_that_it_chose() {
    let plain = model(softmax, "");
    let largest = model(
        |n, z| {
            let (p, k) = (softmax(n, z), n.ints(&[2]));
            n.second_output("TopK", &[&p, &k], vec![]);
            n.nodes.last().unwrap().output[0].clone()
        },
        "",
    );
    let (expected, found) = (forward(&plain), forward(&largest));
    let mut classes: Vec<usize> = (0..5).collect();
    let p = |class: usize| expected.probabilities[[0, class]];
    classes.sort_by(|&a, &b| p(b).total_cmp(&p(a)));
    for column in 0..2 {
        let class = classes[column];
        assert!((found.probabilities[[0, column]] - p(class)).abs() < 1e-6);
        assert!((found.scores[[0, column]] - expected.scores[[0, class]]).abs() < 1e-6);
        for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
            let found = gradient(&largest, column, gradient_of);
            assert!(close(&found, &gradient(&plain, class, gradient_of), 1e-5));
        }
    }
}

#[test]
fn the_one_probability_of_a_softmax_over_two_classes_is_a_binary_classifier() {
    let plain = model_of(2, softmax, "");
    let positive = model_of(
        2,
        |n, z| {
            let p = softmax(n, z);
            let (start, end, axis) = (n.ints(&[1]), n.ints(&[2]), n.ints(&[1]));
            n.op("Slice", &[&p, &start, &end, &axis])
        },
        "",
    );
    let (expected, found) = (forward(&plain), forward(&positive));
    for class in [0, 1] {
        let (found, expected) =
            (found.probabilities[[0, class]], expected.probabilities[[0, class]]);
        assert!((found - expected).abs() < 1e-6, "class {class}: {found}, not {expected}");
        let found = gradient(&positive, class, GradientOf::Probability);
        assert!(close(&found, &gradient(&plain, class, GradientOf::Probability), 1e-5));
    }
    let found = gradient(&positive, 1, GradientOf::Logit);
    assert!(close(&found, &gradient(&plain, 1, GradientOf::Logit), 1e-5));
}

const SIGMOID_TAILS: &[Tail] = &[
    (
        "clipped and sliced",
        |n, z| {
            let p = n.op("Sigmoid", &[z]);
            let (low, high) = (n.float(0.0), n.float(1.0));
            let p = n.op("Clip", &[&p, &low, &high]);
            let (start, end, axis) = (n.ints(&[2]), n.ints(&[5]), n.ints(&[1]));
            n.op("Slice", &[&p, &start, &end, &axis])
        },
        &[2, 3, 4],
    ),
    (
        "1 / (1 + exp(-z))",
        |n, z| {
            let one = n.float(1.0);
            let negative = n.op("Neg", &[z]);
            let e = n.op("Exp", &[&negative]);
            let sum = n.op("Add", &[&e, &one]);
            n.op("Div", &[&one, &sum])
        },
        ALL,
    ),
    (
        "the reciprocal",
        |n, z| {
            let one = n.float(1.0);
            let negative = n.op("Neg", &[z]);
            let e = n.op("Exp", &[&negative]);
            let sum = n.op("Add", &[&one, &e]);
            n.op("Reciprocal", &[&sum])
        },
        ALL,
    ),
    (
        "exp(z) / (1 + exp(z))",
        |n, z| {
            let one = n.float(1.0);
            let e = n.op("Exp", &[z]);
            let sum = n.op("Add", &[&one, &e]);
            n.op("Div", &[&e, &sum])
        },
        ALL,
    ),
    (
        "(1 + tanh(z / 2)) / 2",
        |n, z| {
            let (half, one) = (n.float(0.5), n.float(1.0));
            let halved = n.op("Mul", &[z, &half]);
            let tanh = n.op("Tanh", &[&halved]);
            let sum = n.op("Add", &[&tanh, &one]);
            n.op("Mul", &[&half, &sum])
        },
        ALL,
    ),
    (
        "the logarithm",
        |n, z| {
            let p = n.op("Sigmoid", &[z]);
            n.op("Log", &[&p])
        },
        ALL,
    ),
    (
        "minus softplus",
        |n, z| {
            let negative = n.op("Neg", &[z]);
            let softplus = n.op("Softplus", &[&negative]);
            n.op("Neg", &[&softplus])
        },
        ALL,
    ),
];

#[test]
fn a_sigmoid_is_found_behind_every_tail() {
    let plain = model(|n, z| n.op("Sigmoid", &[z]), "");
    for &tail in SIGMOID_TAILS {
        agrees(&plain, tail, 0.0);
    }
    let rounded: Tail = (
        "quantised",
        |n, z| {
            let p = n.op("Sigmoid", &[z]);
            quantised(n, &p)
        },
        ALL,
    );
    agrees(&plain, rounded, 0.5 / 255.0);
}

#[test]
fn a_probability_beside_its_complement_has_the_logit_and_its_negative() {
    let single = model_of(1, |n, z| n.op("Sigmoid", &[z]), "");
    for is_positive_first in [false, true] {
        let pair = model_of(
            1,
            |n, z| {
                let (p, one) = (n.op("Sigmoid", &[z]), n.float(1.0));
                let complement = n.op("Sub", &[&one, &p]);
                let parts = if is_positive_first { [&p, &complement] } else { [&complement, &p] };
                n.with("Concat", &parts.map(String::as_str), vec![int("axis", 1)])
            },
            "",
        );
        assert_eq!(pair.output_activation(), OutputActivation::Sigmoid);
        let (expected, found) = (forward(&single), forward(&pair));
        for class in [0, 1] {
            let column = if is_positive_first { 1 - class } else { class };
            let same = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a}, not {b}");
            same(found.scores[[0, column]], expected.scores[[0, class]]);
            same(found.probabilities[[0, column]], expected.probabilities[[0, class]]);
            for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
                let found = gradient(&pair, column, gradient_of);
                assert!(close(&found, &gradient(&single, class, gradient_of), 1e-5));
            }
        }
    }
}

#[test]
fn a_hard_sigmoid_has_the_logit_and_its_own_slope() {
    let plain = model(|_, z| z.to_owned(), "[output]\nkind = \"logits\"\n");
    let hard = model(
        |n, z| {
            let alpha = AttributeProto::float("alpha", 0.01);
            n.with("HardSigmoid", &[z], vec![alpha])
        },
        "",
    );
    let (expected, found) = (forward(&plain), forward(&hard));
    for class in 0..5 {
        let z = expected.scores[[0, class]];
        assert!((found.scores[[0, class]] - z).abs() < 1e-6);
        assert!((found.probabilities[[0, class]] - (0.01 * z + 0.5)).abs() < 1e-6);
        let logit = gradient(&plain, class, GradientOf::Logit);
        assert!(close(&gradient(&hard, class, GradientOf::Logit), &logit, 1e-6));
        assert!(close(&gradient(&hard, class, GradientOf::Probability), &(0.01 * &logit), 1e-5));
    }
}

/// Probabilities with no single logit behind them.
const WITHOUT_LOGITS: &[(&str, fn(&mut Net, &str) -> String)] = &[
    ("the mean of two softmaxes", |n, z| {
        let two = n.float(2.0);
        let scaled = n.op("Mul", &[z, &two]);
        let (first, second) = (softmax(n, z), softmax(n, &scaled));
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
        let codes: Vec<_> = found.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [WarningCode::ProbabilityExplained], "{name}");
        let named = ExplainOptions { score: Some(ScoreKind::Probability), ..options.clone() };
        let named = try_explain(&model, &image(), &named).unwrap();
        assert_eq!((named.map, named.warnings.len()), (found.map, 0), "{name}");
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

/// A number of years, `[N, 1]`.
fn age(net: &mut Net, z: &str) -> String {
    let (scale, shift) = (net.float(3.0), net.float(35.0));
    let years = net.op("Mul", &[z, &scale]);
    net.op("Add", &[&years, &shift])
}

#[test]
fn a_single_score_that_is_certain_of_noise_is_a_quantity() {
    let model = model_of(1, age, "");
    assert_eq!((model.classes(), model.output_activation()), (1, OutputActivation::Identity));
    let codes: Vec<_> = model.warnings().iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::OutputGuessed]);
    let found = try_explain(&model, &image(), &ExplainOptions::default()).unwrap();
    assert_eq!((found.target.probability, found.target.logit), (None, None));
    assert_eq!(found.target.value, Some(forward(&model).scores[[0, 0]]));
    assert!(!found.empty);
}

#[test]
fn a_manifest_or_two_labels_decide_what_a_single_score_is() {
    let activation = |manifest: &str| model_of(1, age, manifest).output_activation();
    assert_eq!(activation("[output]\nkind = \"logits\"\n"), OutputActivation::Sigmoid);
    assert_eq!(activation("[output]\nkind = \"sigmoid\"\n"), OutputActivation::Sigmoid);
    let regression = model_of(1, age, "[output]\nkind = \"regression\"\n");
    assert_eq!(regression.output_activation(), OutputActivation::Identity);
    assert!(regression.warnings().is_empty());
    let logit = model_of(1, |_, z| z.to_owned(), "");
    assert_eq!(logit.output_activation(), OutputActivation::Sigmoid);
    assert_eq!(logit.warnings()[0].code, WarningCode::OutputGuessed);

    let folder = tempfile::tempdir().unwrap().keep();
    write(&folder, &network(1, age), "");
    std::fs::write(folder.join("labels.txt"), "young\nold\n").unwrap();
    let labelled = load(&folder, &settings()).unwrap();
    assert_eq!(labelled.output_activation(), OutputActivation::Sigmoid);
    assert!(labelled.warnings().is_empty());
}

#[test]
fn quantities_have_no_probability_to_explain() {
    let model = model(|_, z| z.to_owned(), "[output]\nkind = \"regression\"\n");
    assert_eq!(model.classes(), 5);
    let explain = |options: &ExplainOptions| try_explain(&model, &image(), options);
    let first = explain(&ExplainOptions::default()).unwrap();
    assert_eq!(first.target.index, 0);
    let order: Vec<_> = first.predictions.iter().map(|one| one.index).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
    let logit = ExplainOptions { score: Some(ScoreKind::Logit), ..ExplainOptions::default() };
    assert_eq!(explain(&logit).unwrap().map, first.map);
    let article = ExplainOptions { convention: Convention::Article, ..ExplainOptions::default() };
    assert!(explain(&article).is_ok());
    let probability =
        ExplainOptions { score: Some(ScoreKind::Probability), ..ExplainOptions::default() };
    assert_eq!(explain(&probability).unwrap_err().kind(), Kind::Impossible);
    let score_cam = ExplainOptions { method: Method::ScoreCam, ..article };
    assert_eq!(explain(&score_cam).unwrap_err().option(), Some("convention"));
    let score_cam = ExplainOptions { convention: Convention::Paper, ..score_cam };
    assert!(explain(&score_cam).is_ok());
}

#[test]
fn a_saturated_probability_is_explained_with_a_warning() {
    // Multiplied logits make the predicted class certain.
    let scaled = |factor: f32| {
        model(
            move |n, z| {
                let factor = n.float(factor);
                let z = n.op("Mul", &[z, &factor]);
                softmax(n, &z)
            },
            "",
        )
    };
    let codes = |model: &Model, options: &ExplainOptions| {
        let warnings = try_explain(model, &image(), options).unwrap().warnings;
        warnings.into_iter().map(|warning| warning.code).collect::<Vec<_>>()
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
