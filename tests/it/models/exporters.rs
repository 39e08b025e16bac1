//! Tiny classifiers as several exporters write them: scores, activations and gradients of the
//! logit, compared with the frameworks' own. The arrays were made by
//! `tools golden.tiny_models` (torch autograd) and `tools golden.tiny_models_keras`
//! (TensorFlow's GradientTape).

use camlens::engine::PassRequest;
use ndarray::{Array2, Array4};

use super::TOLERANCE;
use crate::support::{
    Golden, assert_agrees_with_autograd, dialect, image_size, logit_gradients, relative_difference,
    run,
};

fn agrees_with_autograd(name: &str) {
    let mut golden = Golden::open(&format!("dialects/{name}.npz"));
    let x: Array4<f32> = golden.get("x");
    let probabilities: Array2<f32> = golden.get("probabilities");
    let model = dialect(name, image_size(&x));
    let keys = golden.names_after("grad");
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        let tensor = key.replace('|', "/");
        let layer = model.layer(Some(&tensor)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let pass = PassRequest { activation: true, ..logit_gradients(x.clone(), &[]) };
        let output = run(&model, layer, pass);
        assert_agrees_with_autograd(&output, layer, &mut golden, &key, TOLERANCE, name);
        let difference = relative_difference(&output.probabilities, &probabilities);
        assert!(
            difference <= TOLERANCE,
            "{name}, {tensor}: the probabilities differ by {difference}"
        );
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
fn weights_in_an_external_file() {
    agrees_with_autograd("tinyvgg-external");
}

#[test]
fn a_batch_fixed_at_1_becomes_free() {
    agrees_with_autograd("tinyvgg-batch1");
}

#[test]
fn depthwise_convolutions_and_batch_normalisation() {
    agrees_with_autograd("tinylite");
}

#[test]
fn overlapping_pools_concat_and_silu() {
    agrees_with_autograd("tinymix");
}

#[test]
fn layers_have_the_names_of_their_framework() {
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
