//! The methods that draw random numbers: SmoothGrad-CAM++, Group-CAM and random weights. The arrays
//! were made by `tools golden.samples_torch`.

use camlens::app::ExplainOptions;
use camlens::explain::{Convention, Method, Normalization};
use ndarray::{Array1, Array2};

use super::{TINY, TINY_MIX, TOLERANCE, targets};
use crate::support::{difference, explain, relative_difference};

#[test]
fn random_weights_depend_only_on_the_seed() {
    let (model, input, _) = TINY_MIX.load();
    let map = |seed| -> Array2<f32> {
        explain(
            &model,
            &input,
            &ExplainOptions { method: Method::Random, seed, ..ExplainOptions::default() },
        )
        .map
    };
    assert_eq!(map(1), map(1));
    assert_ne!(map(1), map(2));
}

/// In the script, torch-cam gets the noise that camlens draws from the same seed.
#[test]
fn smooth_grad_cam_plus_plus_agrees_with_torch_cam_given_the_same_noise() {
    for tiny in TINY {
        let (model, input, mut inputs) = tiny.load();
        let mut golden = tiny.samples();
        let (seed, samples): (Array1<i64>, Array1<i64>) =
            (golden.get("seed"), golden.get("samples"));
        let noise: Array1<f32> = golden.get("noise");
        for (suffix, target) in targets(&mut inputs) {
            for (layer, ours) in tiny.layers {
                for convention in [Convention::TorchCam, Convention::Paper] {
                    // torch-cam's own map changes by 1e-4 here between 32 and 64 bits, so the
                    // script leaves it out.
                    if (*layer, suffix, convention)
                        == ("block2_depthwise", "_other", Convention::TorchCam)
                    {
                        continue;
                    }
                    let options = ExplainOptions {
                        method: Method::SmoothGradCamPlusPlus,
                        convention,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        seed: seed[0] as u64,
                        samples: Some(samples[0] as usize),
                        noise: Some(noise[0]),
                        ..ExplainOptions::default()
                    };
                    let found = explain(&model, &input, &options);
                    let key = format!("smoothgradcam++{suffix}|{layer}|{convention}");
                    let off = difference(&found.map, &golden.get(&key));
                    assert!(off <= TOLERANCE, "{}, {key} differs by {off}", tiny.onnx);
                    assert_eq!(
                        (found.passes.forward, found.passes.masked),
                        (1, samples[0] as usize)
                    );
                }
            }
        }
    }
}

#[test]
fn without_noise_smooth_grad_cam_plus_plus_is_grad_cam_plus_plus() {
    let (model, input, _) = TINY_MIX.load();
    let layer = Some("/act/Mul_output_0".to_owned());
    let plain = ExplainOptions {
        method: Method::GradCamPlusPlus,
        layer: layer.clone(),
        ..ExplainOptions::default()
    };
    let smooth = |seed, noise| ExplainOptions {
        method: Method::SmoothGradCamPlusPlus,
        layer: layer.clone(),
        samples: Some(3),
        noise: Some(noise),
        seed,
        ..ExplainOptions::default()
    };
    let expected = explain(&model, &input, &plain).map;
    let off = difference(&explain(&model, &input, &smooth(0, 0.0)).map, &expected);
    assert!(off <= 1e-5, "differs by {off}");
    let [one, same, other] = [1, 1, 2].map(|seed| explain(&model, &input, &smooth(seed, 0.3)).map);
    assert_eq!(one, same);
    assert_ne!(one, other);
}

/// Compares the positive part before normalisation.
#[test]
fn group_cam_agrees_with_its_authors_code() {
    let mut compared = 0;
    for tiny in TINY {
        let (model, input, mut inputs) = tiny.load();
        let mut golden = tiny.samples();
        for (suffix, target) in targets(&mut inputs) {
            for (layer, ours) in tiny.layers {
                let options = ExplainOptions {
                    method: Method::GroupCam,
                    layer: Some((*ours).to_owned()),
                    target: target.clone(),
                    normalize: Some(Normalization::None),
                    ..ExplainOptions::default()
                };
                let found = explain(&model, &input, &options);
                let expected: Array2<f32> = golden.get(&format!("groupcam{suffix}|{layer}|sum"));
                let expected = expected.mapv(|value| value.max(0.0));
                assert!(found.passes.masked > 1, "{:?}", found.passes);
                if expected.iter().all(|&value| value == 0.0) {
                    assert!(found.empty, "{}, {layer}{suffix}", tiny.onnx);
                } else {
                    let off = relative_difference(&found.map, &expected);
                    assert!(off <= TOLERANCE, "{}, {layer}{suffix} differs by {off}", tiny.onnx);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 7, "{compared}");
}
