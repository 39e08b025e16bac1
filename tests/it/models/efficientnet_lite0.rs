//! The trained EfficientNet-Lite0, built at set-up from its checkpoint without torch, compared with
//! torch's own results. The arrays were made by `tools golden.efficientnet_lite0`.

use camlens::app::ExplainOptions;
use std::sync::LazyLock;

use camlens::engine::{Model, PassRequest};
use camlens::explain::{Convention, Method};
use ndarray::{Array1, Array4};

use super::TOLERANCE;
use crate::support::{
    Golden, assert_agrees_with_autograd, difference, explain, fetched, logit_gradients, run,
    try_explain,
};

static MODEL: LazyLock<Model> = LazyLock::new(|| fetched("efficientnet-lite0"));

/// Layers by their names in the golden file and in the converted model.
const LAYERS: [(&str, &str); 4] = [
    ("block4", "blocks.4"),
    ("block10", "blocks.10"),
    ("block15", "blocks.15"),
    ("last", "conv_head"),
];

/// The arrays, and the preprocessed photograph of a cat.
fn golden() -> (Golden, Array4<f32>) {
    let mut golden = Golden::open("efficientnet-lite0/chelsea.npz");
    let input = MODEL.preprocess().normalise(&golden.image("input_u8"));
    (golden, input)
}

#[test]
fn logits_activations_and_gradients_agree_with_torch() {
    let (mut golden, input) = golden();
    for (name, layer) in LAYERS {
        let layer = MODEL.layer(Some(layer)).expect("a layer");
        let pass = PassRequest { activation: true, ..logit_gradients(input.clone(), &[]) };
        let output = run(&MODEL, layer, pass);
        assert_agrees_with_autograd(&output, layer, &mut golden, name, TOLERANCE, &layer.name);
    }
}

#[test]
fn maps_agree_with_torch_and_pytorch_grad_cam() {
    let (mut golden, input) = golden();
    let cases = [
        (Method::GradCam, Convention::Paper, "blocks.4", "gradcam|block4"),
        (Method::GradCam, Convention::Paper, "blocks.10", "gradcam|block10"),
        (Method::GradCam, Convention::Paper, "blocks.15", "gradcam|block15"),
        (Method::GradCam, Convention::Paper, "conv_head", "gradcam|last"),
        (Method::GradCamPlusPlus, Convention::Paper, "conv_head", "gradcam++|last"),
        (Method::ScoreCam, Convention::Paper, "conv_head", "scorecam|last"),
        (Method::GradCam, Convention::PytorchGradCam, "conv_head", "pgc|gradcam|layer"),
        (Method::GradCamPlusPlus, Convention::PytorchGradCam, "conv_head", "pgc|gradcam++|layer"),
    ];
    for (method, convention, layer, key) in cases {
        let options = ExplainOptions {
            method,
            convention,
            layer: Some(layer.into()),
            ..ExplainOptions::default()
        };
        let found = try_explain(&MODEL, &input, &options)
            .unwrap_or_else(|error| panic!("{key}: {error:?}"));
        let difference = difference(&found.map, &golden.get(key));
        assert!(difference <= TOLERANCE, "{key} differs by {difference}");
    }
}

#[test]
fn the_cat_is_classified_as_a_cat() {
    let (mut golden, input) = golden();
    let options = ExplainOptions { method: Method::GradCam, ..ExplainOptions::default() };
    let found = explain(&MODEL, &input, &options);
    let target: Array1<i64> = golden.get("target");
    assert_eq!(found.target.index as i64, target[0]);
    let label = found.target.label.expect("a label").to_lowercase();
    assert!(label.contains("cat") || label.contains("tabby"), "{label}");
}
