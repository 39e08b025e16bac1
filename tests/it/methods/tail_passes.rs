//! The part of a model after a layer, run on its own, gives the whole model's scores: for every
//! layer of every tiny model. AblationCAM and Recipro-CAM depend on it.

use camlens::engine::{CancellationToken, PassRequest, TailRunner};
use ndarray::{Array4, ArrayViewMut3, Axis, s};

use crate::support::{Golden, golden_model, image_size, relative_difference, run, settings};

/// Runs the image's activation three times in one batch, with zeros as the second of four, and
/// expects the image's scores three times. Returns the number of layers, and how many of their
/// tails read other tensors besides the activation.
fn check(path: &str) -> (usize, usize) {
    check_within(1e-5, path, path)
}

/// Compares `tests/golden/<path>.onnx` on the input in `tests/golden/<golden>.npz`.
fn check_within(tolerance: f32, path: &str, golden: &str) -> (usize, usize) {
    let x: Array4<f32> = Golden::open(&format!("{golden}.npz")).get("x");
    let x = x.slice(s![..1, .., .., ..]).to_owned();
    let model = golden_model(path, image_size(&x), "", &settings());
    assert!(model.batch() >= 4, "{path} does not run batches");
    let (mut layers, mut with_side_inputs) = (0, 0);
    for layer in model.layers() {
        assert_eq!(model.tail_unsupported_reason(layer), None, "{path}, {}", layer.name);
        let pass =
            PassRequest { activation: true, side_inputs: true, ..PassRequest::new(x.clone()) };
        let output = run(&model, layer, pass);
        let activation = output.activation.unwrap();
        let tail = TailRunner::new(&model, layer, &output.side_inputs).unwrap();
        let fill = |k: usize, mut out: ArrayViewMut3<'_, f32>| {
            if k != 1 {
                out.assign(&activation.index_axis(Axis(0), 0));
            }
        };
        let cancel = CancellationToken::default();
        let scores = tail.passes(4, fill, &cancel, &|_, _| Ok(())).unwrap().scores;
        for pass in [0, 2, 3] {
            let found = scores.slice(s![pass..=pass, ..]).to_owned();
            let off = relative_difference(&found, &output.scores);
            assert!(off <= tolerance, "{path}, {}: pass {pass} differs by {off}", layer.name);
        }
        layers += 1;
        with_side_inputs += usize::from(!output.side_inputs.is_empty());
    }
    (layers, with_side_inputs)
}

#[test]
fn tails_give_the_model_s_scores_for_every_exporter() {
    for name in [
        "tinyvgg-torchscript",
        "tinyvgg-dynamo",
        "tinyvgg-opset7",
        "tinyvgg-external",
        "tinyvgg-batch1",
        "tinyvgg-keras",
    ] {
        assert_eq!(check(&format!("dialects/{name}")).1, 0, "a chain has no side inputs");
    }
    for name in ["tinylite", "tinymix"] {
        let (layers, with_side_inputs) = check(&format!("dialects/{name}"));
        let some_have = 0 < with_side_inputs && with_side_inputs < layers;
        assert!(some_have, "{name}: {with_side_inputs} of {layers}");
    }
}

#[test]
fn tails_give_the_model_s_scores_for_every_architecture() {
    for name in [
        "convnext",
        "deit",
        "densenet",
        "maxvit",
        "patchwork",
        "registers",
        "shufflenet",
        "swin",
        "vit",
    ] {
        for exporter in ["torchscript", "dynamo"] {
            assert!(check(&format!("zoo/{name}-{exporter}")).0 > 0);
        }
    }
}

/// The resolution of 16-bit floats is 1e-3; a quantised score changes in whole steps.
#[test]
fn tails_give_the_model_s_scores_in_reduced_precision() {
    for (tolerance, name, golden) in [
        (5e-3, "convnext-torchscript-half", "convnext-torchscript"),
        (5e-2, "convnext-qdq", "convnext-torchscript"),
        (5e-2, "shufflenet-qoperator", "shufflenet-torchscript"),
    ] {
        let (layers, _) = check_within(tolerance, &format!("zoo/{name}"), &format!("zoo/{golden}"));
        assert!(layers > 0);
    }
}
