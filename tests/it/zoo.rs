//! Tiny models of the architectures that people have, as torch's two exporters write them: the raw
//! gradient of the logit at three layers against autograd in float64. `scripts/conformance/tiny.py`
//! made the files; `make conformance` does the same for the full-size zoo.

use std::path::PathBuf;

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest};
use camlens::explain::options::{Convention, Method, Options};
use camlens::graph::explain_graph::GradientOf;
use camlens::graph::layers::{Layer, Layout};
use camlens::model::ModelFolder;
use ndarray::{Array3, Array4, ArrayD, Axis};

use crate::support::{Golden, as_maps, difference, relative_difference, repository, settings};

const TOLERANCE: f32 = 1e-4;

/// A model of `tests/golden/zoo`, in a folder of its own whose manifest names the tensors.
fn load(name: &str, size: [usize; 2], tensors: &[String]) -> Model {
    let layers: String = tensors
        .iter()
        .enumerate()
        .map(|(index, tensor)| format!("layer{index} = \"{tensor}\"\n"))
        .collect();
    load_with(name, size, &format!("[layers]\n{layers}"))
}

/// A model of `tests/golden/zoo`, whose manifest says this besides its size.
fn load_with(name: &str, size: [usize; 2], manifest: &str) -> Model {
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let file = format!("{name}.onnx");
    std::fs::copy(repository("tests/golden/zoo").join(&file), folder.join(&file)).unwrap();
    let manifest = format!(
        "file = \"{file}\"\n[input]\nsize = {size:?}\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\n\
         std = [1.0, 1.0, 1.0]\n{manifest}"
    );
    std::fs::write(folder.join("model.toml"), manifest).unwrap();
    // The session maps the file: the folder is left to the system's cleaning.
    ModelRegistry::load_one(ModelFolder::read(&folder).unwrap(), &settings())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn agrees_with_autograd(name: &str) {
    for exporter in ["torchscript", "dynamo"] {
        let name = format!("{name}-{exporter}");
        differs_less_than(TOLERANCE, &name, &name);
    }
}

/// Holds a model against the arrays of `golden`.
fn differs_less_than(tolerance: f32, name: &str, golden: &str) {
    let mut golden = Golden::open(&format!("zoo/{golden}.npz"));
    let x: Array4<f32> = golden.get("x");
    let tensors: Vec<String> = (golden.names().iter())
        .filter_map(|name| Some(name.strip_prefix("grad|")?.replace('|', "/")))
        .collect();
    assert!(!tensors.is_empty());
    let model = load(name, [x.shape()[2], x.shape()[3]], &tensors);
    // All of them compute any batch, and so must the backward pass.
    assert!(model.batch() > 1, "{name} runs its images one by one");
    let pass = PassRequest {
        gradient_of: GradientOf::Logit,
        activation: true,
        ..PassRequest::of(x.clone())
    };
    // The layers one by one, and all of them by one program.
    let layers: Vec<&Layer> =
        tensors.iter().map(|tensor| model.layer(Some(tensor)).unwrap()).collect();
    let together = model.run_all(&layers, pass.clone(), &CancellationToken::default()).unwrap();
    for ((tensor, layer), of_all) in tensors.iter().zip(layers).zip(together) {
        assert_eq!(model.gradient_unsupported_reason(layer), None, "{name}");
        let outcome = model.run(layer, pass.clone(), &CancellationToken::default()).unwrap();
        let escaped = tensor.replace('/', "|");
        let mut holds = |what: &str, found: ArrayD<f32>, key: &str| {
            let expected: ArrayD<f32> = golden.get(key);
            let expected = if key == "logits" { expected } else { as_maps(layer, expected) };
            let difference = relative_difference(&found, &expected);
            assert!(difference <= tolerance, "{name}, {tensor}: {what} differs by {difference}");
        };
        for outcome in [outcome, of_all] {
            holds("the scores", outcome.scores.into_dyn(), "logits");
            holds(
                "the activation",
                outcome.activation.unwrap().into_dyn(),
                &format!("act|{escaped}"),
            );
            holds(
                "the gradient",
                outcome.gradients[0].clone().into_dyn(),
                &format!("grad|{escaped}"),
            );
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
fn two_tokens_before_more_rows_than_columns() {
    agrees_with_autograd("deit");
}

#[test]
fn attention_as_one_operator_with_masks_groups_and_an_order() {
    differs_less_than(TOLERANCE, "attention-dynamo", "attention-dynamo");
}

#[test]
fn registers_and_a_mean_over_the_places() {
    agrees_with_autograd("registers");
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

/// A model as somebody brings it: nothing is named.
fn unnamed(name: &str) -> Model {
    unnamed_as(name, name)
}

/// The same with the arrays of another.
fn unnamed_as(name: &str, golden: &str) -> Model {
    let x: Array4<f32> = Golden::open(&format!("zoo/{golden}.npz")).get("x");
    load(name, [x.shape()[2], x.shape()[3]], &[])
}

#[test]
fn grad_cam_at_the_default_layer_is_pytorch_grad_cam_s_with_a_reshape_transform() {
    for name in ["vit", "deit", "swin"] {
        for exporter in ["torchscript", "dynamo"] {
            let name = format!("{name}-{exporter}");
            let model = unnamed(&name);
            let mut golden = Golden::open(&format!("zoo/{name}.npz"));
            let x: Array4<f32> = golden.get("x");
            let key = format!("gradcam|{}", model.default_layer().tensor.replace('/', "|"));
            // The default layer is the one that grad-cam's documentation advises, or there is no
            // such array.
            let expected: Array3<f32> = golden.get(&key);
            let options = Options { convention: Convention::PytorchGradCam, ..Options::default() };
            for (image, expected) in x.axis_chunks_iter(Axis(0), 1).zip(expected.outer_iter()) {
                let image = image.to_owned();
                let cancel = CancellationToken::default();
                let found = explain_input(
                    &model,
                    &image,
                    &[Method::GradCam],
                    &options,
                    &cancel,
                    &|_, _| {},
                )
                .unwrap();
                let difference =
                    difference(&found[0].map.clone().into_dyn(), &expected.to_owned().into_dyn());
                assert!(difference <= TOLERANCE, "{name}: the map differs by {difference}");
            }
        }
    }
}

#[test]
fn behind_the_last_attention_of_a_class_token_there_is_no_gradient_and_that_is_said() {
    let model = unnamed("vit-torchscript");
    let last = model.layers().last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.layout.name(), last.shape),
        ("encoder.ln", "tokens", [16, 4, 4])
    );
    insta::assert_snapshot!(
        model.gradient_unsupported_reason(last).unwrap(),
        @"behind it the score is made of the class token alone, so that its places have no gradient; the last layer that has one is the normalisation before the last attention"
    );
    // Where the score is made of all places, it is there.
    let model = unnamed("registers-torchscript");
    let last = model.layers().last().unwrap();
    assert_eq!((last.name.as_str(), last.shape), ("blocks.1.add_1", [16, 3, 4]));
    assert_eq!(model.gradient_unsupported_reason(last), None);
    assert_eq!(model.default_layer(), last);
}

#[test]
fn a_manifest_can_say_where_the_places_are() {
    let model = load_with("vit-torchscript", [32, 32], "[tokens]\ngrid = [2, 8]\nskip = 1\n");
    let Layout::Tokens(tokens) = model.default_layer().layout else {
        panic!("{:?}", model.default_layer())
    };
    assert_eq!((tokens.skip, tokens.grid), (1, [2, 8]));
    assert_eq!(model.default_layer().shape, [16, 2, 8]);
}

#[test]
fn windows_of_attention_are_no_maps() {
    for exporter in ["torchscript", "dynamo"] {
        let model = unnamed(&format!("maxvit-{exporter}"));
        for layer in model.layers() {
            assert!(layer.shape[1] == layer.shape[2], "{layer:?}");
        }
        assert_eq!(model.default_layer().shape, [16, 4, 4], "{:?}", model.default_layer());
    }
}

/// A float of 16 bits has three digits; these models' sums lose some of the last one: measured, up
/// to 1.8e-3.
const SIXTEEN_BITS: f32 = 2.5e-3;

#[test]
fn a_model_in_16_bits_has_its_gradient_in_32() {
    differs_less_than(SIXTEEN_BITS, "vit-dynamo-half", "vit-dynamo");
    assert!(
        unnamed_as("vit-dynamo-half", "vit-dynamo")
            .layers()
            .iter()
            .all(|layer| !layer.is_estimated)
    );
}

#[test]
fn a_model_in_16_bits_but_for_its_ends() {
    differs_less_than(SIXTEEN_BITS, "convnext-torchscript-half", "convnext-torchscript");
}

#[test]
fn a_quantised_model_is_explained_as_its_training_saw_it() {
    differs_less_than(TOLERANCE, "quantised-torchscript", "quantised-torchscript");
    // What is rounded last is told in floats and averaged: from there on the gradient is exact.
    let model = unnamed("quantised-torchscript");
    let estimated: Vec<bool> = model.layers().iter().map(|layer| layer.is_estimated).collect();
    assert_eq!(estimated, [true, true, false]);
    assert!(unnamed("vit-torchscript").layers().iter().all(|layer| !layer.is_estimated));
}

/// Each layer has a program of its own, in which other convolutions are computed in floats besides.
#[test]
fn a_quantised_model_gives_the_same_scores_for_every_layer() {
    for (name, golden) in [
        ("convnext-qdq", "convnext-torchscript"),
        ("shufflenet-qoperator", "shufflenet-torchscript"),
    ] {
        let model = unnamed_as(name, golden);
        let x: Array4<f32> = Golden::open(&format!("zoo/{golden}.npz")).get("x");
        let scores = |layer: &Layer| {
            let pass = PassRequest {
                targets: vec![3],
                gradient_of: GradientOf::Logit,
                ..PassRequest::of(x.clone())
            };
            model.run(layer, pass, &CancellationToken::default()).unwrap().scores
        };
        let expected = scores(model.default_layer());
        for layer in model.layers() {
            let largest = expected.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
            let apart =
                (&scores(layer) - &expected).iter().fold(0.0_f32, |apart, by| apart.max(by.abs()));
            assert!(apart <= 1e-5 * largest, "{name}, {}: {apart}", layer.name);
        }
    }
}

#[test]
fn a_model_quantised_afterwards_points_where_it_did_before() {
    // Pairs of rounding and telling, operators of integers, and weights of integers under the range
    // of the image.
    for (rounded, golden) in [
        ("convnext-qdq", "convnext-torchscript"),
        ("shufflenet-qoperator", "shufflenet-torchscript"),
        ("vit-dynamic", "vit-torchscript"),
    ] {
        let (plain, rounded) = (unnamed(golden), unnamed_as(rounded, golden));
        let x: Array4<f32> = Golden::open(&format!("zoo/{golden}.npz")).get("x");
        let gradient = |model: &Model| {
            let layer = model.default_layer();
            assert_eq!(model.gradient_unsupported_reason(layer), None);
            let pass = PassRequest {
                targets: vec![3],
                gradient_of: GradientOf::Logit,
                ..PassRequest::of(x.clone())
            };
            model.run(layer, pass, &CancellationToken::default()).unwrap().gradients.remove(0)
        };
        assert_eq!(rounded.default_layer().shape, plain.default_layer().shape);
        assert!(rounded.layers().iter().all(|layer| layer.is_estimated));
        let (a, b) = (gradient(&plain), gradient(&rounded));
        let cosine = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert!(cosine > 0.95, "{golden}: {cosine}");
    }
}
