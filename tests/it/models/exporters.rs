//! Tiny classifiers as several exporters write them: predictions, activations and raw gradients of
//! the logit against the frameworks' own, made by `scripts/golden/tiny_models.py` (torch autograd)
//! and `scripts/golden/tiny_models_keras.py` (TensorFlow's GradientTape).

use camlens::engine::{CancellationToken, PassRequest};
use camlens::graph::explain_graph::GradientOf;
use ndarray::{Array4, ArrayD};

use crate::support::{Golden, dialect, relative_difference};

const TOLERANCE: f32 = 1e-4;

fn agrees_with_autograd(name: &str) {
    let mut golden = Golden::open(&format!("dialects/{name}.npz"));
    let x: Array4<f32> = golden.get("x");
    let shape = x.shape();
    let size = if shape[3] == 3 { [shape[1], shape[2]] } else { [shape[2], shape[3]] };
    let model = dialect(name, size);
    let gradients: Vec<String> = golden
        .names()
        .into_iter()
        .filter_map(|name| name.strip_prefix("grad|").map(str::to_owned))
        .collect();
    assert!(gradients.len() >= 4, "{gradients:?}");
    for escaped in gradients {
        let tensor = escaped.replace('|', "/");
        let layer = model.layer(Some(&tensor)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let pass = PassRequest {
            gradient_of: GradientOf::Logit,
            activation: true,
            ..PassRequest::of(x.clone())
        };
        let outcome = model.run(layer, pass, &CancellationToken::default()).expect("a pass");
        let mut holds = |what: &str, found: ArrayD<f32>, key: &str| {
            let difference = relative_difference(&found, &golden.get(key));
            assert!(difference <= TOLERANCE, "{name}, {tensor}: {what} differs by {difference}");
        };
        holds("the scores", outcome.scores.into_dyn(), "logits");
        holds("the probabilities", outcome.probabilities.into_dyn(), "probabilities");
        holds(
            "the activation",
            outcome.activation.expect("asked for").into_dyn(),
            &format!("act|{escaped}"),
        );
        holds("the gradient", outcome.gradients[0].clone().into_dyn(), &format!("grad|{escaped}"));
    }
}

#[test]
fn torch_s_torchscript_exporter() {
    agrees_with_autograd("tinyvgg-torchscript");
}

#[test]
fn torch_s_dynamo_exporter() {
    agrees_with_autograd("tinyvgg-dynamo");
}

#[test]
fn opset_7_with_initializers_as_inputs_and_dropout() {
    agrees_with_autograd("tinyvgg-opset7");
}

#[test]
fn keras_by_tf2onnx() {
    agrees_with_autograd("tinyvgg-keras");
}

#[test]
fn weights_in_another_file() {
    agrees_with_autograd("tinyvgg-external");
}

#[test]
fn a_batch_fixed_at_one_is_freed() {
    agrees_with_autograd("tinyvgg-batch1");
}

#[test]
fn depthwise_convolutions_and_batch_norm() {
    agrees_with_autograd("tinylite");
}

#[test]
fn overlapping_pools_concat_and_silu() {
    agrees_with_autograd("tinymix");
}

#[test]
fn layers_have_the_names_that_people_know() {
    let names = |model: &str| -> Vec<String> {
        dialect(model, [64, 64]).layers().iter().map(|layer| layer.name.clone()).collect()
    };
    let torch = names("tinyvgg-torchscript");
    // 13 convolutions, 5 pools, and the adaptive pooling before the classifier.
    assert_eq!(torch.len(), 19);
    assert_eq!([&torch[0], &torch[16], &torch[17]], ["features.1", "features.29", "features.30"]);
    assert_eq!(torch[18], "avgpool");
    assert_eq!(names("tinyvgg-dynamo"), torch);
    let keras = names("tinyvgg-keras");
    assert_eq!(keras.len(), 18);
    assert_eq!(
        [&keras[0], &keras[16], &keras[17]],
        ["block1_conv1", "block5_conv3", "block5_pool"]
    );
}
