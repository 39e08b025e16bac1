//! Everything that may follow a softmax.

use camlens::graph::head::OutputActivation;
use camlens::graph::program_io::GradientOf;

use super::{
    ALL, Tail, agrees, close, forward, gradient, integers, model, model_of, quantised, softmax_of,
};
use crate::net::{Net, int, ints};

const SOFTMAX_TAILS: &[Tail] = &[
    (
        "transposed twice",
        |n, z| {
            let p = softmax_of(n, z);
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
            let p = softmax_of(n, z);
            let (low, high) = (n.float(1e-7), n.float(1.0 - 1e-7));
            n.op("Clip", &[&p, &low, &high])
        },
        ALL,
    ),
    (
        "clipped by Max and Min",
        |n, z| {
            let p = softmax_of(n, z);
            let (low, high) = (n.float(1e-7), n.float(1.0));
            let p = n.op("Max", &[&p, &low]);
            n.op("Min", &[&high, &p])
        },
        ALL,
    ),
    (
        "multiplied by 1",
        |n, z| {
            let p = softmax_of(n, z);
            let one = n.float(1.0);
            n.op("Mul", &[&p, &one])
        },
        ALL,
    ),
    (
        "in per cent",
        |n, z| {
            let p = softmax_of(n, z);
            let hundred = n.float(100.0);
            n.op("Mul", &[&hundred, &p])
        },
        ALL,
    ),
    (
        "sliced",
        |n, z| {
            let p = softmax_of(n, z);
            let (start, end, axis) = (n.ints(&[1]), n.ints(&[4]), n.ints(&[1]));
            n.op("Slice", &[&p, &start, &end, &axis])
        },
        &[1, 2, 3],
    ),
    (
        "sliced and in per cent",
        |n, z| {
            let p = softmax_of(n, z);
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
            let p = softmax_of(n, z);
            let order = n.ints(&[3, 0, 4, 2, 1]);
            n.with("Gather", &[&p, &order], vec![int("axis", 1)])
        },
        &[3, 0, 4, 2, 1],
    ),
    (
        "split and joined the other way round",
        |n, z| {
            let p = softmax_of(n, z);
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
            let p = softmax_of(n, z);
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
        "negative log-softmax",
        |n, z| {
            let log = n.with("LogSoftmax", &[z], vec![int("axis", 1)]);
            n.op("Neg", &[&log])
        },
        ALL,
    ),
    (
        "logarithm of softmax and a small constant",
        |n, z| {
            let (p, small) = (softmax_of(n, z), n.float(1e-6));
            let p = n.op("Add", &[&p, &small]);
            n.op("Log", &[&p])
        },
        ALL,
    ),
    (
        "negative",
        |n, z| {
            let p = softmax_of(n, z);
            n.op("Neg", &[&p])
        },
        ALL,
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
            let p = softmax_of(n, z);
            let axis = n.ints(&[1]);
            let row = n.op("Unsqueeze", &[&p, &axis]);
            n.with("ReduceMean", &[&row, &axis], vec![int("keepdims", 0)])
        },
        ALL,
    ),
    (
        "reshaped, cast and back",
        |n, z| {
            let p = softmax_of(n, z);
            let cast = n.with("Cast", &[&p], vec![int("to", 11)]);
            let shape = n.ints(&[-1, 5, 1]);
            let column = n.op("Reshape", &[&cast, &shape]);
            let single = n.with("Cast", &[&column], vec![int("to", 1)]);
            n.op("Flatten", &[&single])
        },
        ALL,
    ),
];

#[test]
fn a_softmax_is_found_behind_every_tail() {
    let plain = model(softmax_of, "");
    assert_eq!(plain.output_activation(), OutputActivation::Softmax);
    for &tail in SOFTMAX_TAILS {
        agrees(&plain, tail, 0.0);
    }
}

#[test]
fn a_rounded_softmax_keeps_its_logits_and_gives_its_own_probabilities() {
    let plain = model(softmax_of, "");
    let tail = |n: &mut Net, z: &str| {
        let p = softmax_of(n, z);
        quantised(n, &p)
    };
    agrees(&plain, ("quantised", tail, ALL), 0.5 / 255.0);
    let found = forward(&model(tail, "")).probabilities;
    assert!(found.iter().all(|p| (p * 255.0 - (p * 255.0).round()).abs() < 1e-4), "{found}");
}

#[test]
fn integer_activations_have_the_logits_that_were_rounded() {
    let plain = model(softmax_of, "");
    let dequantised: Tail = (
        "quantised on both sides",
        |n, z| {
            let [q, scale, zero] = integers(n, z);
            let z = n.op("DequantizeLinear", &[&q, &scale, &zero]);
            let p = softmax_of(n, &z);
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
fn the_one_probability_of_a_softmax_over_two_classes_is_a_binary_classifier() {
    let plain = model_of(2, softmax_of, "");
    let positive = model_of(
        2,
        |n, z| {
            let p = softmax_of(n, z);
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

/// `softmax(t · ln softmax(z)) = softmax(t · z)`, so the logits are `t · z`.
#[test]
fn a_softmax_of_logarithms_has_the_logits_of_the_first() {
    let plain = model(
        |n, z| {
            let half = n.float(0.5);
            let scaled = n.op("Mul", &[z, &half]);
            softmax_of(n, &scaled)
        },
        "",
    );
    let tails: [Tail; 2] = [
        (
            "LogSoftmax with a temperature",
            |n, z| {
                let logarithms = n.with("LogSoftmax", &[z], vec![int("axis", 1)]);
                let two = n.float(2.0);
                let cooled = n.op("Div", &[&logarithms, &two]);
                softmax_of(n, &cooled)
            },
            ALL,
        ),
        (
            "probabilities with a temperature",
            |n, z| {
                let (p, half) = (softmax_of(n, z), n.float(0.5));
                let logarithms = n.op("Log", &[&p]);
                let cooled = n.op("Mul", &[&logarithms, &half]);
                softmax_of(n, &cooled)
            },
            ALL,
        ),
    ];
    for tail in tails {
        agrees(&plain, tail, 0.0);
    }
}
