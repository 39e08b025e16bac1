//! The real EfficientNet-Lite0, built at set-up from its checkpoint without torch, against torch's
//! own answers; `scripts/golden/efficientnet_lite0.py` made the arrays.

use std::sync::LazyLock;

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model, PassRequest};
use camlens::explain::options::{Convention, Method, Options};
use camlens::graph::explain_graph::GradientOf;
use image::RgbImage;
use ndarray::{Array1, Array3, Array4, ArrayD, Axis};

use crate::support::{Golden, difference, fetched, relative_difference};

static MODEL: LazyLock<Model> = LazyLock::new(|| fetched("efficientnet-lite0"));

/// The places of the golden file, by the names of the converted model.
const PLACES: [(&str, &str); 4] = [
    ("block4", "blocks.4"),
    ("block10", "blocks.10"),
    ("block15", "blocks.15"),
    ("last", "conv_head"),
];

fn golden() -> (Golden, Array4<f32>) {
    let mut golden = Golden::open("efficientnet-lite0/chelsea.npz");
    let pixels: Array3<u8> = golden.get("input_u8");
    let (height, width, _) = pixels.dim();
    let raw = pixels.into_raw_vec_and_offset().0;
    let image = RgbImage::from_raw(width as u32, height as u32, raw).expect("an image");
    let input = MODEL.preprocess().normalise(&image);
    (golden, input)
}

#[test]
fn logits_activations_and_gradients_agree_with_torch() {
    let (mut golden, input) = golden();
    for (place, layer) in PLACES {
        let layer = MODEL.layer(Some(layer)).expect("a layer");
        let pass = PassRequest {
            gradient_of: GradientOf::Logit,
            activation: true,
            ..PassRequest::of(input.clone())
        };
        let outcome = MODEL.run(layer, pass, &CancellationToken::default()).expect("a pass");
        let mut holds = |what: &str, found: ArrayD<f32>, key: &str| {
            let difference = relative_difference(&found, &golden.get(key));
            assert!(difference <= 1e-4, "{place}: {what} differs by {difference}");
        };
        holds("the logits", outcome.scores.index_axis(Axis(0), 0).to_owned().into_dyn(), "logits");
        let activation = outcome.activation.expect("asked for");
        holds(
            "the activation",
            activation.index_axis(Axis(0), 0).to_owned().into_dyn(),
            &format!("act|{place}"),
        );
        let gradient = &outcome.gradients[0];
        holds(
            "the gradient",
            gradient.index_axis(Axis(0), 0).to_owned().into_dyn(),
            &format!("grad|{place}"),
        );
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
        let options =
            Options { method, convention, layer: Some(layer.into()), ..Options::default() };
        let found = explain_input(
            &MODEL,
            &input,
            &[method],
            &options,
            &CancellationToken::default(),
            &|_, _| {},
        )
        .unwrap_or_else(|error| panic!("{key}: {error:?}"))
        .remove(0);
        let difference = difference(&found.map.into_dyn(), &golden.get(key));
        assert!(difference <= 1e-4, "{key} differs by {difference}");
    }
}

#[test]
fn it_names_the_cat() {
    let (mut golden, input) = golden();
    let options = Options { method: Method::GradCam, ..Options::default() };
    let found = explain_input(
        &MODEL,
        &input,
        &[Method::GradCam],
        &options,
        &CancellationToken::default(),
        &|_, _| {},
    );
    let found = found.expect("a map").remove(0);
    let target: Array1<i64> = golden.get("target");
    assert_eq!(found.target.index as i64, target[0]);
    let label = found.target.label.expect("a label").to_lowercase();
    assert!(label.contains("cat") || label.contains("tabby"), "{label}");
}
