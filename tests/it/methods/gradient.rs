//! The gradient methods other than Grad-CAM and Grad-CAM++, and Eigen-CAM, compared with
//! pytorch-grad-cam. The arrays were made by `tools golden.methods_torch`.

use camlens::app::ExplainOptions;
use camlens::app::explain_input;
use camlens::engine::CancellationToken;
use camlens::explain::{Convention, Method, Normalization};
use ndarray::{Array2, ArrayD};

use super::{TINY, TOLERANCE, targets};
use crate::support::{Golden, difference, explain, fetched, relative_difference};

const GRADIENT_METHODS: [Method; 6] = [
    Method::LayerCam,
    Method::HiResCam,
    Method::XGradCam,
    Method::GradCamElementWise,
    Method::EigenCam,
    Method::EigenGradCam,
];

#[test]
fn gradient_methods_agree_with_pytorch_grad_cam() {
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        for (suffix, target) in targets(&mut golden) {
            for (layer, ours) in tiny.layers {
                for method in GRADIENT_METHODS {
                    let options = ExplainOptions {
                        method,
                        convention: Convention::PytorchGradCam,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        ..ExplainOptions::default()
                    };
                    let key = format!("{method}{suffix}|{layer}");
                    let found = explain(&model, &input, &options).map;
                    let scaled = difference(&found, &golden.get(&format!("{key}|pgc")));
                    assert!(scaled <= TOLERANCE, "{}, {key} differs by {scaled}", tiny.onnx);
                    // The positive part agrees before normalisation, too.
                    let raw = ExplainOptions { normalize: Some(Normalization::None), ..options };
                    let found = explain(&model, &input, &raw).map;
                    let expected: Array2<f32> = golden.get(&format!("{key}|raw"));
                    let raw = relative_difference(&found, &expected.mapv(|value| value.max(0.0)));
                    assert!(
                        raw <= TOLERANCE,
                        "{}, {key} differs by {raw} before normalisation",
                        tiny.onnx
                    );
                }
            }
        }
    }
}

#[test]
fn paper_conventions_differ_from_the_library_only_as_documented() {
    let papers = [Method::LayerCam, Method::HiResCam, Method::XGradCam];
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        for (layer, ours) in tiny.layers {
            let options = |method| ExplainOptions {
                method,
                layer: Some((*ours).to_owned()),
                target: None,
                ..ExplainOptions::default()
            };
            // The sums are equal, but the library adds 1e-7 to XGrad-CAM's denominators.
            for method in papers {
                let raw: ArrayD<f32> = golden.get(&format!("{method}|{layer}|raw"));
                let found = explain(&model, &input, &options(method));
                let largest = raw.iter().copied().fold(0.0, f32::max);
                let expected = raw.mapv(|value| value.max(0.0) / largest);
                let off = difference(&found.map.into_dyn(), &expected);
                assert!(off <= TOLERANCE, "{}, {layer}, {method} differs by {off}", tiny.onnx);
                assert!((found.max / largest - 1.0).abs() <= TOLERANCE);
            }
            // Eigen-CAM without centring the channels.
            let found = explain(&model, &input, &options(Method::EigenCam)).map;
            let off = difference(&found, &golden.get(&format!("eigencam|{layer}|paper")));
            assert!(off <= TOLERANCE, "{}, {layer}, eigencam differs by {off}", tiny.onnx);
        }
    }
}

#[test]
fn gradient_methods_agree_with_pytorch_grad_cam_on_trained_weights() {
    let mut golden = Golden::open("methods/vgg16-mri.npz");
    let model = fetched("vgg16-mri");
    let input = golden.vgg16_mri_input();
    let options =
        ExplainOptions { convention: Convention::PytorchGradCam, ..ExplainOptions::default() };
    let cancel = CancellationToken::default();
    let maps = explain_input(&model, &input, &GRADIENT_METHODS, &options, &cancel, &|_, _| {})
        .expect("maps");
    for explanation in maps {
        let key = format!("{}|block5_conv3|pgc", explanation.method);
        let off = difference(&explanation.map, &golden.get(&key));
        assert!(off <= TOLERANCE, "{key} differs by {off}");
    }
}
