//! Models as people bring them: exporters, architectures, and every form of input and output.

mod activations;
mod any_layer;
mod architectures;
mod efficientnet_lite0;
mod exporters;
mod external_data;
mod free_batch;
mod heads;
mod held_files;
mod image_input;
mod impossible_sizes;
mod layer_names;
mod onnx_file;
mod outputs;
mod positions;
mod reduced_precision;
mod tokens;
mod training_mode;
mod vgg16_mri;

use camlens::engine::{CancellationToken, Model, PassRequest};
use ndarray::Array4;

use crate::support::{
    Golden, assert_agrees_with_autograd, golden_model, image_size, logit_gradients, run, settings,
};

/// Largest difference of gradients, relative to the largest value, and of maps in 0..1.
const TOLERANCE: f32 = 1e-4;

/// The model `tests/golden/zoo/<name>.onnx`, whose manifest names no layer.
fn architecture(name: &str) -> Model {
    architecture_like(name, name)
}

/// Like [`architecture`], for a variant of the model `golden`, with the same inputs.
fn architecture_like(name: &str, golden: &str) -> Model {
    golden_model(&format!("zoo/{name}"), image_size(&zoo_input(golden)), "", &settings())
}

/// The input in `tests/golden/zoo/<golden>.npz`.
fn zoo_input(golden: &str) -> Array4<f32> {
    Golden::open(&format!("zoo/{golden}.npz")).get("x")
}

/// Compares a model of `tests/golden/zoo` with the arrays of `golden` at every layer that they
/// have, each layer by itself and all of them in one program.
fn assert_within(tolerance: f32, name: &str, golden: &str) {
    let x = zoo_input(golden);
    let mut golden = Golden::open(&format!("zoo/{golden}.npz"));
    let keys = golden.names_after("grad");
    assert!(!keys.is_empty());
    let tensors: Vec<String> = keys.iter().map(|key| key.replace('|', "/")).collect();
    let lines: String = tensors
        .iter()
        .enumerate()
        .map(|(index, tensor)| format!("layer{index} = \"{tensor}\"\n"))
        .collect();
    let manifest = format!("[layers]\n{lines}");
    let model = golden_model(&format!("zoo/{name}"), image_size(&x), &manifest, &settings());
    // All of the models compute any batch, and so must the backward pass.
    assert!(model.batch() > 1, "{name} runs its images one by one");
    let pass = PassRequest { activation: true, ..logit_gradients(x, &[]) };
    let layers: Vec<_> = tensors.iter().map(|tensor| model.layer(Some(tensor)).unwrap()).collect();
    let together = model.run_all(&layers, pass.clone(), &CancellationToken::default()).unwrap();
    for ((key, layer), of_all) in keys.iter().zip(layers).zip(together) {
        assert_eq!(model.gradient_unsupported_reason(layer), None, "{name}");
        for output in [run(&model, layer, pass.clone()), of_all] {
            assert_agrees_with_autograd(&output, layer, &mut golden, key, tolerance, name);
        }
    }
}
