//! The real VGG16 of `models/vgg16-mri` against three sources: torch autograd and the Score-CAM
//! authors' code for `paper`, the article's own Keras code for `article`, the library for
//! `pytorch-grad-cam`. `scripts/golden/vgg16_mri_torch.py` and `vgg16_mri_article.py` made the
//! arrays.

use std::sync::LazyLock;

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model};
use camlens::explain::Explanation;
use camlens::explain::options::{Convention, Method, Options};
use ndarray::{Array1, Array3, Array4, ArrayD, Axis};

use crate::support::{Golden, difference, fetched};

const TOLERANCE: f32 = 1e-4;

static MODEL: LazyLock<Model> = LazyLock::new(|| fetched("vgg16-mri"));

fn explain(golden: &mut Golden, options: Options) -> Explanation {
    let pixels: Array3<u8> = golden.get("input_u8");
    let input: Array4<f32> = pixels.mapv(|value| f32::from(value) / 255.0).insert_axis(Axis(0));
    let methods = [options.method];
    let mut maps = explain_input(
        &MODEL,
        &input,
        &methods,
        &options,
        &CancellationToken::default(),
        &|_, _| {},
    )
    .expect("a map");
    maps.remove(0)
}

fn options(method: Method, convention: Convention) -> Options {
    Options { method, convention, ..Options::default() }
}

fn agrees(golden: &mut Golden, options: Options, key: &str) {
    let found = explain(golden, options);
    let expected: ArrayD<f32> = golden.get(key);
    let difference = difference(&found.map.into_dyn(), &expected);
    assert!(difference <= TOLERANCE, "{key} differs by {difference}");
}

fn other(golden: &mut Golden) -> Option<String> {
    let class: Array1<i64> = golden.get("other");
    Some(class[0].to_string())
}

#[test]
fn all_layers_agree_with_autograd() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        let mut checked = 0;
        for layer in MODEL.layers() {
            let key = format!("gradcam|{}", layer.name);
            if !golden.names().contains(&key) {
                continue;
            }
            let options = Options {
                layer: Some(layer.name.clone()),
                ..options(Method::GradCam, Convention::Paper)
            };
            agrees(&mut golden, options, &key);
            checked += 1;
        }
        // The phantom's file leaves out the maps larger than 60 × 60.
        assert_eq!(checked, if image == "chelsea" { 18 } else { 13 }, "layers of {image}");
    }
}

#[test]
fn the_paper_s_grad_cam_plus_plus_agrees_with_autograd() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        let paper = options(Method::GradCamPlusPlus, Convention::Paper);
        agrees(&mut golden, paper.clone(), "gradcam++|block5_conv3");
        let earlier = Options { layer: Some("block3_conv3".into()), ..paper.clone() };
        agrees(&mut golden, earlier, "gradcam++|block3_conv3");
        let target = other(&mut golden);
        agrees(
            &mut golden,
            Options { target: target.clone(), ..paper },
            "gradcam++_other|block5_conv3",
        );
        let grad_cam = Options { target, ..options(Method::GradCam, Convention::Paper) };
        agrees(&mut golden, grad_cam, "gradcam_other|block5_conv3");
    }
}

#[test]
fn the_paper_s_score_cam_agrees_with_its_authors_code() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    agrees(&mut golden, options(Method::ScoreCam, Convention::Paper), "scorecam|block5_conv3");
}

#[test]
fn the_article_s_grad_cam_agrees_with_its_code() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/article_{image}.npz"));
        let target = other(&mut golden);
        let article = options(Method::GradCam, Convention::Article);
        agrees(&mut golden, article.clone(), "gradcam|block5_conv3");
        agrees(&mut golden, Options { target, ..article }, "gradcam_other|block5_conv3");
    }
}

/// On the phantom the article's sum of alphas passes near the pole of 1 / (2 + S·g), where its
/// 32-bit arithmetic is 2e-3 away from exact arithmetic: no figure to hold anybody to.
#[test]
fn the_article_s_grad_cam_plus_plus_agrees_with_its_code() {
    let mut golden = Golden::open("vgg16-mri/article_chelsea.npz");
    let target = other(&mut golden);
    let article = options(Method::GradCamPlusPlus, Convention::Article);
    agrees(&mut golden, article.clone(), "gradcam++|block5_conv3");
    agrees(&mut golden, Options { target, ..article }, "gradcam++_other|block5_conv3");
}

#[test]
fn the_article_s_score_cam_agrees_with_its_code() {
    let mut golden = Golden::open("vgg16-mri/article_chelsea.npz");
    let article = options(Method::ScoreCam, Convention::Article);
    let some = Options { max_channels: Some(64), ..article.clone() };
    agrees(&mut golden, some, "scorecam_max64|block5_conv3");
    agrees(&mut golden, article, "scorecam|block5_conv3");
}

#[test]
fn pytorch_grad_cam_s_gradient_methods_agree_with_the_library() {
    for image in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{image}.npz"));
        for (method, name) in [(Method::GradCam, "gradcam"), (Method::GradCamPlusPlus, "gradcam++")]
        {
            agrees(
                &mut golden,
                options(method, Convention::PytorchGradCam),
                &format!("pgc|{name}|layer"),
            );
        }
    }
}

#[test]
fn pytorch_grad_cam_s_score_cam_agrees_with_the_library() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    let found = explain(&mut golden, options(Method::ScoreCam, Convention::PytorchGradCam));
    let difference = difference(&found.map.into_dyn(), &golden.get("pgc|scorecam|layer"));
    assert!(difference <= TOLERANCE, "differs by {difference}");
    // Channels of zeros share one pass.
    assert_eq!(found.passes.masked + found.passes.skipped, 512);
    assert!(found.passes.skipped > 0, "{:?}", found.passes);
}

#[test]
fn predictions_agree() {
    let mut golden = Golden::open("vgg16-mri/torch_chelsea.npz");
    let found =
        explain(&mut golden, Options { top_k: 4, ..options(Method::GradCam, Convention::Paper) });
    let (logits, probabilities): (Array1<f32>, Array1<f32>) =
        (golden.get("logits"), golden.get("probabilities"));
    assert_eq!(found.predictions.len(), 4);
    for prediction in found.predictions {
        assert!((prediction.probability - probabilities[prediction.index]).abs() < 1e-5);
        let logit = prediction.logit.expect("a model with logits");
        assert!((logit - logits[prediction.index]).abs() < 1e-4);
    }
}
