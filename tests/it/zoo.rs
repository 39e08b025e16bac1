//! Tiny models of the architectures that people have, as torch's two exporters write them: the raw gradient
//! of the logit at three layers against autograd in float64. `scripts/conformance/tiny.py` made the files;
//! `make conformance` does the same for the full-size zoo.

use std::path::PathBuf;

use camlens::engine::{Cancel, Model, Models, Pass};
use camlens::graph::program::Wanted;
use camlens::model::ModelFolder;
use ndarray::{Array4, ArrayD};

use crate::support::{Golden, relative_difference, repository, settings};

const TOLERANCE: f32 = 1e-4;

/// A model of `tests/golden/zoo`, in a folder of its own whose manifest names the tensors.
fn load(name: &str, size: [usize; 2], tensors: &[String]) -> Model {
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let file = format!("{name}.onnx");
    std::fs::copy(repository("tests/golden/zoo").join(&file), folder.join(&file)).unwrap();
    let layers: String =
        tensors.iter().enumerate().map(|(index, tensor)| format!("layer{index} = \"{tensor}\"\n")).collect();
    let manifest = format!(
        "file = \"{file}\"\n[input]\nsize = {size:?}\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\n\
         std = [1.0, 1.0, 1.0]\n[layers]\n{layers}"
    );
    std::fs::write(folder.join("model.toml"), manifest).unwrap();
    // The session maps the file: the folder is left to the system's cleaning.
    Models::load_one(ModelFolder::read(&folder).unwrap(), &settings())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn agrees_with_autograd(name: &str) {
    for exporter in ["torchscript", "dynamo"] {
        let name = format!("{name}-{exporter}");
        let mut golden = Golden::open(&format!("zoo/{name}.npz"));
        let x: Array4<f32> = golden.get("x");
        let tensors: Vec<String> = (golden.names().iter())
            .filter_map(|name| Some(name.strip_prefix("grad|")?.replace('|', "/")))
            .collect();
        assert!(!tensors.is_empty());
        let model = load(&name, [x.shape()[2], x.shape()[3]], &tensors);
        // All of them compute any batch, and so must the backward pass.
        assert!(model.batch() > 1, "{name} runs its images one by one");
        for tensor in tensors {
            let layer = model.layer(Some(&tensor)).unwrap();
            assert_eq!(model.gradient_obstacle(layer), None, "{name}");
            let pass = Pass { input: x.clone(), target: None, wanted: Wanted::Logit, activation: true };
            let outcome = model.run(layer, pass, &Cancel::default()).unwrap();
            let escaped = tensor.replace('/', "|");
            let mut holds = |what: &str, found: ArrayD<f32>, key: &str| {
                let difference = relative_difference(&found, &golden.get(key));
                assert!(difference <= TOLERANCE, "{name}, {tensor}: {what} differs by {difference}");
            };
            holds("the scores", outcome.scores.into_dyn(), "logits");
            holds("the activation", outcome.activation.unwrap().into_dyn(), &format!("act|{escaped}"));
            holds("the gradient", outcome.gradient.unwrap().into_dyn(), &format!("grad|{escaped}"));
        }
    }
}

#[test]
fn dense_blocks() {
    agrees_with_autograd("densenet");
}

#[test]
fn channel_shuffles() {
    agrees_with_autograd("shufflenet");
}

#[test]
fn layer_norm_with_channels_last_and_layer_scale() {
    agrees_with_autograd("convnext");
}

#[test]
fn tokens_and_attention() {
    agrees_with_autograd("vit");
}

#[test]
fn shifted_windows_with_padding() {
    agrees_with_autograd("swin");
}

#[test]
fn block_and_grid_attention_by_einsum() {
    agrees_with_autograd("maxvit");
}

#[test]
fn local_response_resizing_and_other_rare_operators() {
    agrees_with_autograd("patchwork");
}
