//! Files that are random or in training mode: what varies is named, and is no fault of the upgrade.

use camlens::engine::{CancellationToken, Model};
use camlens::warning::WarningCode;
use onnx_gradient::proto::{AttributeProto, TensorProto, data_type};

use crate::net::{Net, int};
use crate::support::{sine_pattern, written};

/// A classifier in an old opset, with an operator of `vary` on its maps.
fn model(vary: impl FnOnce(&mut Net, &str) -> String) -> Model {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[6, 3, 3, 3]), net.weights(&[6, 5]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Relu", &[&maps]);
    let varied = vary(&mut net, &maps);
    let mean = net.op("GlobalAveragePool", &[&varied]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    written(&net.model([3, 8, 8], &[&scores], 15), "").unwrap()
}

fn boolean(net: &mut Net, value: bool) -> String {
    net.constant(|name| TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(data_type::BOOL),
        raw_data: Some(vec![u8::from(value)].into()),
        ..Default::default()
    })
}

fn dropout(net: &mut Net, maps: &str, is_training: bool) -> String {
    let (ratio, training) = (net.float(0.5), boolean(net, is_training));
    net.op("Dropout", &[maps, &ratio, &training])
}

fn logits(model: &Model) -> Vec<f32> {
    let output = model.forward(sine_pattern(0.37), &CancellationToken::default()).unwrap();
    output.scores.iter().copied().collect()
}

fn warning(model: &Model) -> &str {
    let [warning] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert_eq!(warning.code, WarningCode::NotReproducible);
    &warning.detail
}

#[test]
fn dropout_in_training_mode_is_named_and_left_out() {
    let plain = model(|_, maps| maps.to_owned());
    let trained = model(|net, maps| dropout(net, maps, true));
    assert!(warning(&trained).contains("Dropout"), "{}", warning(&trained));
    assert_eq!(logits(&trained), logits(&plain));
    assert_eq!(trained.gradient_unsupported_reason(trained.default_layer()), None);
    let inference = model(|net, maps| dropout(net, maps, false));
    assert!(inference.warnings().is_empty());
}

#[test]
fn random_noise_is_named_and_keeps_the_gradient() {
    for op in ["RandomNormalLike", "RandomUniformLike"] {
        let noisy = model(|net, maps| {
            let noise = net.op(op, &[maps]);
            net.op("Add", &[maps, &noise])
        });
        assert!(warning(&noisy).contains(op), "{}", warning(&noisy));
        assert_eq!(noisy.gradient_unsupported_reason(noisy.default_layer()), None);
    }
}

#[test]
fn batch_normalization_in_training_mode_is_named() {
    let trained = model(|net, maps| {
        let ones = net.floats(&[1.0; 6]);
        let zeros = net.floats(&[0.0; 6]);
        let inputs = [maps, &ones, &zeros, &zeros, &ones];
        let output = net.with("BatchNormalization", &inputs, vec![int("training_mode", 1)]);
        let node = net.nodes.last_mut().unwrap();
        node.output.extend(["mean".to_owned(), "variance".to_owned()]);
        node.attribute.push(AttributeProto::float("epsilon", 1e-3));
        output
    });
    assert!(warning(&trained).contains("BatchNormalization"), "{}", warning(&trained));
    assert_eq!(trained.batch(), 1);
    let reason = trained.gradient_unsupported_reason(trained.default_layer());
    assert!(reason.is_none_or(|reason| !reason.contains("opset")), "{reason:?}");
}

#[test]
fn noise_that_no_score_depends_on_is_no_reason_to_warn() {
    for op in ["RandomNormalLike", "RandomUniformLike"] {
        let unused = model(|net, maps| {
            net.op(op, &[maps]);
            maps.to_owned()
        });
        assert_eq!(unused.warnings(), [], "{op}");
        assert_eq!(unused.default_layer(), model(|_, maps| maps.to_owned()).default_layer());
    }
}

/// The output that is explained is the same in each run; the other one is random.
#[test]
fn noise_in_another_output_is_no_reason_to_warn() {
    let load = |output: &str| {
        let mut net = Net::default();
        let (kernel, weight) = (net.weights(&[6, 3, 3, 3]), net.weights(&[6, 5]));
        let maps = net.op("Conv", &["x", &kernel]);
        let mean = net.op("GlobalAveragePool", &[&maps]);
        let features = net.op("Flatten", &[&mean]);
        let scores = net.op("MatMul", &[&features, &weight]);
        let noise = net.op("RandomNormalLike", &[&scores]);
        let noisy = net.op("Add", &[&scores, &noise]);
        let name = if output == "scores" { &scores } else { &noisy };
        let manifest = format!("[output]\nname = \"{name}\"\nkind = \"logits\"\n");
        written(&net.model([3, 8, 8], &[&scores, &noisy], 15), &manifest).unwrap()
    };
    assert_eq!(load("scores").warnings(), []);
    assert!(warning(&load("noisy")).contains("RandomNormalLike"));
}
