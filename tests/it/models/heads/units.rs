//! Softmaxes in other units, in bytes, over one class, or behind operators that hide them.

use camlens::graph::program_io::GradientOf;
use camlens::warning::WarningCode;
use onnx_gradient::proto::{ValueInfoProto, data_type};

use super::{
    ALL, Tail, agrees, close, forward, gradient, model, model_of, network, quantised, softmax_of,
};
use crate::net::{Net, int};
use crate::support::written;

#[test]
fn rounded_digits_keep_the_logits() {
    let plain = model(softmax_of, "");
    let rounded: Tail = (
        "two digits",
        |n, z| {
            let (p, hundred) = (softmax_of(n, z), n.float(100.0));
            let p = n.op("Mul", &[&p, &hundred]);
            let p = n.op("Round", &[&p]);
            n.op("Div", &[&p, &hundred])
        },
        ALL,
    );
    agrees(&plain, rounded, 0.005);
}

#[test]
fn a_softmax_in_other_units_is_told() {
    let plain = model(softmax_of, "");
    let half: Tail = (
        "halved",
        |n, z| {
            let (p, half) = (softmax_of(n, z), n.float(0.5));
            n.op("Mul", &[&p, &half])
        },
        ALL,
    );
    agrees(&plain, half, 0.0);
    let halved = model(half.1, "");
    let [warning] = halved.warnings() else { panic!("{:?}", halved.warnings()) };
    assert!(warning.detail.contains("holds 0.5 times the probabilities"), "{warning:?}");
    assert!(model(half.1, "[output]\nkind = \"probabilities\"\n").warnings().is_empty());
}

#[test]
fn a_second_softmax_over_a_softmax_that_cannot_be_undone_is_told() {
    let odds = model(
        |n, z| {
            let (p, one) = (softmax_of(n, z), n.float(1.0));
            let rest = n.op("Sub", &[&one, &p]);
            let odds = n.op("Div", &[&p, &rest]);
            n.op("Log", &[&odds])
        },
        "",
    );
    let [warning] = odds.warnings() else { panic!("{:?}", odds.warnings()) };
    assert_eq!(warning.code, WarningCode::OutputGuessed);
    assert!(warning.detail.contains("computed from the result of a softmax"), "{warning:?}");
    assert!(model(|_, z| z.to_owned(), "").warnings().is_empty());
    let declared = model(softmax_of, "[output]\nkind = \"logits\"\n");
    let [warning] = declared.warnings() else { panic!("{:?}", declared.warnings()) };
    assert!(warning.detail.contains("differ from the model's"), "{warning:?}");
}

#[test]
fn a_softmax_over_one_class_is_1_as_the_model_says() {
    let single = model_of(1, softmax_of, "");
    let logit = forward(&model_of(1, |_, z| z.to_owned(), "[output]\nkind = \"logits\"\n"));
    assert_eq!(single.classes(), 1);
    let found = forward(&single);
    assert_eq!(found.probabilities[[0, 0]], 1.0);
    assert_eq!(found.scores[[0, 0]], logit.scores[[0, 1]]);
    let [warning] = single.warnings() else { panic!("{:?}", single.warnings()) };
    assert!(warning.detail.contains("softmax over one class"), "{warning:?}");
}

#[test]
fn scores_in_bytes_are_those_that_were_rounded() {
    let plain = model(softmax_of, "");
    let expected = forward(&plain);
    let ends: [fn(&mut Net, &str) -> String; 3] = [
        |n, z| {
            let p = softmax_of(n, z);
            quantised(n, &p);
            // The integers are the input of the last node.
            n.nodes.last().unwrap().input[0].clone()
        },
        |n, z| {
            let p = softmax_of(n, z);
            quantised(n, &p);
            let (integers, shape) = (n.nodes.last().unwrap().input[0].clone(), n.ints(&[-1, 5, 1]));
            n.op("Reshape", &[&integers, &shape])
        },
        |n, z| {
            let (p, steps) = (softmax_of(n, z), n.float(255.0));
            let p = n.op("Mul", &[&p, &steps]);
            let p = n.op("Round", &[&p]);
            n.with("Cast", &[&p], vec![int("to", data_type::UINT8.into())])
        },
    ];
    for (index, end) in ends.into_iter().enumerate() {
        let mut network = network(5, end);
        let output = &mut network.graph.as_mut().unwrap().output[0];
        *output = ValueInfoProto::typed(output.name(), data_type::UINT8, None);
        let model = written(&network, "").unwrap();
        let found = forward(&model);
        for class in 0..5 {
            let p = (expected.probabilities[[0, class]] * 255.0).round() / 255.0;
            assert!((found.probabilities[[0, class]] - p).abs() < 1e-6, "{index}");
            assert!((found.scores[[0, class]] - expected.scores[[0, class]]).abs() < 1e-6);
            let found = gradient(&model, class, GradientOf::Logit);
            assert!(close(&found, &gradient(&plain, class, GradientOf::Logit), 1e-5), "{index}");
        }
    }
}
