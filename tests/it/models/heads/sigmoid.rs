//! Everything that may follow a sigmoid, or replace one.

use camlens::graph::head::OutputActivation;
use camlens::graph::program_io::GradientOf;
use onnx_gradient::proto::AttributeProto;

use super::{ALL, Tail, agrees, close, forward, gradient, model, model_of, quantised};
use crate::net::int;

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
