//! Single passes of a model, and their comparison with a framework's automatic differentiation.

use camlens::engine::{CancellationToken, Model, PassOutput, PassRequest};
use camlens::graph::layers::Layer;
use camlens::graph::program_io::GradientOf;
use ndarray::{Array4, ArrayD, Axis};

use super::{Golden, as_maps, relative_difference};

/// A request for the gradient of the logit of each class. Without classes, each image's predicted
/// one is differentiated.
pub(crate) fn logit_gradients(input: Array4<f32>, classes: &[usize]) -> PassRequest {
    PassRequest {
        targets: classes.to_vec(),
        gradient_of: GradientOf::Logit,
        ..PassRequest::new(input)
    }
}

/// Runs a pass at a layer.
pub(crate) fn run(model: &Model, layer: &Layer, pass: PassRequest) -> PassOutput {
    model.run(layer, pass, &CancellationToken::default()).expect("a pass")
}

/// Runs a pass at the default layer.
pub(crate) fn run_default(model: &Model, pass: PassRequest) -> PassOutput {
    run(model, model.default_layer(), pass)
}

/// Compares a pass with the golden arrays `logits`, `act|<key>` and `grad|<key>`, which may lack
/// the batch axis if the batch is 1. `context` begins the message of a failure.
pub(crate) fn assert_agrees_with_autograd(
    output: &PassOutput,
    layer: &Layer,
    golden: &mut Golden,
    key: &str,
    tolerance: f32,
    context: &str,
) {
    let logits: ArrayD<f32> = golden.get("logits");
    let has_batch_axis = logits.ndim() == 2;
    let mut compare = |what: &str, found: ArrayD<f32>, name: &str| {
        let expected: ArrayD<f32> = golden.get(name);
        let expected = if has_batch_axis { expected } else { expected.insert_axis(Axis(0)) };
        let expected = if name == "logits" { expected } else { as_maps(layer, expected) };
        let difference = relative_difference(&found, &expected);
        assert!(difference <= tolerance, "{context}, {key}: {what} differs by {difference}");
    };
    compare("the scores", output.scores.clone().into_dyn(), "logits");
    let activation = output.activation.clone().expect("the pass asked for the activation");
    compare("the activation", activation.into_dyn(), &format!("act|{key}"));
    compare("the gradient", output.gradients[0].clone().into_dyn(), &format!("grad|{key}"));
}
