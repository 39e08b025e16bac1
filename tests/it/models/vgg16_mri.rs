//! The trained VGG16 of `models/vgg16-mri`, compared with three sources: torch autograd and the
//! Score-CAM authors' code for `paper`, the article's own Keras code for `article`, the library for
//! `pytorch-grad-cam`. The arrays were made by `tools golden.vgg16_mri_torch` and
//! `vgg16_mri_article.py`.

use camlens::app::ExplainOptions;
use std::sync::LazyLock;

use camlens::engine::Model;
use camlens::explain::{Convention, Explanation, Method};
use ndarray::Array1;

use super::TOLERANCE;
use crate::support::{self, Golden, difference, fetched};

static MODEL: LazyLock<Model> = LazyLock::new(|| fetched("vgg16-mri"));

fn explain(golden: &mut Golden, options: &ExplainOptions) -> Explanation {
    support::explain(&MODEL, &golden.vgg16_mri_input(), options)
}

fn options(method: Method, convention: Convention) -> ExplainOptions {
    ExplainOptions { method, convention, ..ExplainOptions::default() }
}

fn agrees(golden: &mut Golden, options: &ExplainOptions, key: &str) {
    let found = explain(golden, options);
    let difference = difference(&found.map, &golden.get(key));
    assert!(difference <= TOLERANCE, "{key} differs by {difference}");
}

#[test]
fn grad_cam_agrees_with_autograd_at_every_layer() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        let mut checked = 0;
        for layer in MODEL.layers() {
            let key = format!("gradcam|{}", layer.name);
            if !golden.names().contains(&key) {
                continue;
            }
            let options = ExplainOptions {
                layer: Some(layer.name.clone()),
                ..options(Method::GradCam, Convention::Paper)
            };
            agrees(&mut golden, &options, &key);
            checked += 1;
        }
        // The phantom's golden file omits maps larger than 60 × 60.
        assert_eq!(checked, if image == "chelsea" { 18 } else { 13 }, "layers of {image}");
    }
}

#[test]
fn the_paper_s_grad_cam_plus_plus_agrees_with_autograd() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        let paper = options(Method::GradCamPlusPlus, Convention::Paper);
        agrees(&mut golden, &paper, "gradcam++|block5_conv3");
        let earlier = ExplainOptions { layer: Some("block3_conv3".into()), ..paper.clone() };
        agrees(&mut golden, &earlier, "gradcam++|block3_conv3");
        let target = golden.class("other");
        let other = ExplainOptions { target: target.clone(), ..paper };
        agrees(&mut golden, &other, "gradcam++_other|block5_conv3");
        let grad_cam = ExplainOptions { target, ..options(Method::GradCam, Convention::Paper) };
        agrees(&mut golden, &grad_cam, "gradcam_other|block5_conv3");
    }
}

#[test]
fn the_paper_s_score_cam_agrees_with_its_authors_code() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    agrees(&mut golden, &options(Method::ScoreCam, Convention::Paper), "scorecam|block5_conv3");
}

#[test]
fn the_article_s_grad_cam_agrees_with_its_code() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/article_{image}.npz"));
        let target = golden.class("other");
        let article = options(Method::GradCam, Convention::Article);
        agrees(&mut golden, &article, "gradcam|block5_conv3");
        agrees(&mut golden, &ExplainOptions { target, ..article }, "gradcam_other|block5_conv3");
    }
}

/// The phantom is not compared: there, the article's sum of alphas passes near the pole of
/// 1 / (2 + S·g), where its 32-bit arithmetic is 2e-3 away from exact arithmetic.
#[test]
fn the_article_s_grad_cam_plus_plus_agrees_with_its_code() {
    let mut golden = Golden::open("vgg16-mri/article_chelsea.npz");
    let target = golden.class("other");
    let article = options(Method::GradCamPlusPlus, Convention::Article);
    agrees(&mut golden, &article, "gradcam++|block5_conv3");
    agrees(&mut golden, &ExplainOptions { target, ..article }, "gradcam++_other|block5_conv3");
}

#[test]
fn the_article_s_score_cam_agrees_with_its_code() {
    let mut golden = Golden::open("vgg16-mri/article_chelsea.npz");
    let article = options(Method::ScoreCam, Convention::Article);
    let limited = ExplainOptions { max_channels: Some(64), ..article.clone() };
    agrees(&mut golden, &limited, "scorecam_max64|block5_conv3");
    agrees(&mut golden, &article, "scorecam|block5_conv3");
}

#[test]
fn pytorch_grad_cam_s_gradient_methods_agree_with_the_library() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        for (method, name) in [(Method::GradCam, "gradcam"), (Method::GradCamPlusPlus, "gradcam++")]
        {
            let options = options(method, Convention::PytorchGradCam);
            agrees(&mut golden, &options, &format!("pgc|{name}|layer"));
        }
    }
}

#[test]
fn pytorch_grad_cam_s_score_cam_agrees_with_the_library() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    let found = explain(&mut golden, &options(Method::ScoreCam, Convention::PytorchGradCam));
    let difference = difference(&found.map, &golden.get("pgc|scorecam|layer"));
    assert!(difference <= TOLERANCE, "differs by {difference}");
    // Channels of zeros share one pass.
    assert_eq!(found.passes.masked + found.passes.skipped, 512);
    assert!(found.passes.skipped > 0, "{:?}", found.passes);
}

#[test]
fn predictions_agree_with_torch() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    let options = ExplainOptions { top_k: 4, ..options(Method::GradCam, Convention::Paper) };
    let found = explain(&mut golden, &options);
    let (logits, probabilities): (Array1<f32>, Array1<f32>) =
        (golden.get("logits"), golden.get("probabilities"));
    assert_eq!(found.predictions.len(), 4);
    for prediction in found.predictions {
        assert!((prediction.probability.unwrap() - probabilities[prediction.index]).abs() < 1e-5);
        let logit = prediction.logit.expect("a model with logits");
        assert!((logit - logits[prediction.index]).abs() < 1e-4);
    }
}
