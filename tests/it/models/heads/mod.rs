//! Heads: whatever a file makes of its logits, logit, probability and gradient of a class are those
//! of the plain model, and the probability is what the model says.

mod bounds;
mod probabilities;
mod quantities;
mod selections;
mod sigmoid;
mod softmax;
mod units;

use camlens::engine::{CancellationToken, Model, PassOutput, PassRequest};
use camlens::graph::program_io::GradientOf;
use ndarray::Array4;
use onnx_gradient::proto::{ModelProto, TensorProto, data_type};

use crate::net::{Net, int};
use crate::support::{logit_gradients, run_default, sine_pattern, written};

/// A model whose outputs `end` makes from five scores `[N, 5]`.
fn model(end: impl FnOnce(&mut Net, &str) -> String, manifest: &str) -> Model {
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

fn softmax_of(net: &mut Net, z: &str) -> String {
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

/// A name, and what makes the output of that name from the scores.
type End = (&'static str, fn(&mut Net, &str) -> String);

/// What stands behind the logits: its name, how it is written, and the class of each of its columns.
type Tail = (&'static str, fn(&mut Net, &str) -> String, &'static [usize]);

const ALL: &[usize] = &[0, 1, 2, 3, 4];

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
