//! Contrast with another class, negation, and signed maps. The arrays were made by
//! `tools golden.methods_torch`.

use camlens::app::ExplainOptions;
use camlens::engine::PassRequest;
use camlens::error::Kind;
use camlens::explain::{Convention, Method, Normalization};
use camlens::graph::program_io::GradientOf;
use ndarray::{Array2, Array4};

use super::{TINY, TINY_MIX, TOLERANCE};
use crate::support::{
    Golden, difference, explain, max_abs, relative_difference, run_default, try_explain,
};

/// HiResCAM's sum is linear in the score, so the expected maps of contrast and negation follow from
/// the library's own maps.
#[test]
fn contrast_subtracts_scores_and_negation_flips_their_sign() {
    let mut compared = 0;
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        let (target, other) = (golden.class("target"), golden.class("other"));
        for (layer, ours) in tiny.layers {
            let raw: Array2<f32> = golden.get(&format!("hirescam|{layer}|raw"));
            let of_other: Array2<f32> = golden.get(&format!("hirescam_other|{layer}|raw"));
            let options = |contrast: Option<String>, negate| ExplainOptions {
                method: Method::HiResCam,
                layer: Some((*ours).to_owned()),
                target: target.clone(),
                contrast,
                negate,
                normalize: Some(Normalization::None),
                ..ExplainOptions::default()
            };
            let compare = |options: &ExplainOptions, expected: Array2<f32>| {
                let found = explain(&model, &input, options);
                let expected = expected.mapv(|value| value.max(0.0));
                if expected.iter().all(|&value| value == 0.0) {
                    assert!(found.empty, "{}, {layer}", tiny.onnx);
                    return 0;
                }
                let off = relative_difference(&found.map, &expected);
                assert!(off <= TOLERANCE, "{}, {layer}: differs by {off}", tiny.onnx);
                1
            };
            compared += compare(&options(None, true), -&raw);
            compared += compare(&options(other.clone(), false), &raw - &of_other);
            compared += compare(&options(other.clone(), true), &of_other - &raw);
        }
    }
    // Some maps are empty, because nothing in the layer opposes the class.
    assert!(compared >= 14, "{compared}");
}

/// Compares with the library's sums before its ReLU.
#[test]
fn a_signed_map_is_the_sum_before_the_relu() {
    let mut below = 0;
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        let target = golden.class("target");
        for (layer, ours) in tiny.layers {
            for method in [Method::HiResCam, Method::XGradCam] {
                let raw: Array2<f32> = golden.get(&format!("{method}|{layer}|raw"));
                let options = |normalize| ExplainOptions {
                    method,
                    convention: Convention::PytorchGradCam,
                    layer: Some((*ours).to_owned()),
                    target: target.clone(),
                    signed: true,
                    normalize,
                    ..ExplainOptions::default()
                };
                let context = format!("{}, {layer}, {method}", tiny.onnx);
                let found = explain(&model, &input, &options(Some(Normalization::None)));
                let off = relative_difference(&found.map, &raw);
                assert!(off <= TOLERANCE, "{context} differs by {off}");
                let largest = max_abs(&raw);
                assert!((found.max / largest - 1.0).abs() <= TOLERANCE);
                let found = explain(&model, &input, &options(None)).map;
                let off = difference(&found, &raw.mapv(|value| value / largest));
                assert!(off <= TOLERANCE, "{context} differs by {off} after normalisation");
                below += usize::from(found.iter().any(|&value| value < -0.05));
            }
        }
    }
    assert!(below >= 8, "{below}");
}

#[test]
fn contrast_and_negation_are_refused_where_a_method_cannot_explain_them() {
    let (model, input, _) = TINY_MIX.load();
    let ask = |method, contrast: Option<&str>, negate| {
        let contrast = contrast.map(str::to_owned);
        let options = ExplainOptions {
            method,
            target: Some("1".into()),
            contrast,
            negate,
            ..ExplainOptions::default()
        };
        try_explain(&model, &input, &options)
            .map(|explanation| explanation.empty)
            .map_err(|error| (error.kind(), error.option().map(str::to_owned)))
    };
    let refused = |option: &str| Err((Kind::Impossible, Some(option.to_owned())));
    assert_eq!(ask(Method::EigenCam, Some("2"), false), refused("contrast"));
    assert_eq!(ask(Method::Random, None, true), refused("negate"));
    assert_eq!(ask(Method::ScoreCam, None, true), refused("negate"));
    assert_eq!(ask(Method::ReciproCam, None, true), refused("negate"));
    assert_eq!(ask(Method::GradCam, Some("1"), false), refused("contrast"));
    assert_eq!(
        ask(Method::GradCam, Some("99"), false),
        Err((Kind::UnknownClass, Some("contrast".into())))
    );
    for method in [Method::GradCam, Method::ScoreCam, Method::AblationCam, Method::ReciproCam] {
        assert!(ask(method, Some("2"), false).is_ok(), "{method}");
    }
    assert_eq!(ask(Method::AblationCam, None, true).map(drop), Ok(()));
}

/// ONNX Runtime's gradient for a contrast, of logits and of probabilities, for one image and for a
/// batch.
#[test]
fn the_gradient_of_a_contrast_is_the_difference_of_gradients() {
    let (model, _, _) = TINY_MIX.load();
    let x: Array4<f32> = Golden::open("dialects/tinymix.npz").get("x");
    for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
        let gradient = |target, contrast| {
            let pass = PassRequest {
                targets: vec![target],
                contrast,
                gradient_of,
                ..PassRequest::new(x.clone())
            };
            run_default(&model, pass).gradients.remove(0)
        };
        let off =
            relative_difference(&gradient(1, Some(4)), &(gradient(1, None) - gradient(4, None)));
        assert!(off <= 1e-5, "{gradient_of:?} differs by {off}");
    }
}
