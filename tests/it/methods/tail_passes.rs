//! The part of a model behind a layer, run on its own, gives the whole model's scores: for every
//! layer of every tiny model.

use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest, TailRunner};
use camlens::model::ModelFolder;
use ndarray::{Array4, ArrayD, Axis, s};

use crate::support::{Golden, relative_difference, repository, settings};

fn load(folder: &str, name: &str, size: [usize; 2]) -> Model {
    let temporary = tempfile::tempdir().unwrap().keep();
    for file in [format!("{name}.onnx"), format!("{name}.onnx.data")] {
        let source = repository(&format!("tests/golden/{folder}/{file}"));
        if source.is_file() {
            std::fs::copy(source, temporary.join(file)).unwrap();
        }
    }
    let manifest = format!(
        "file = \"{name}.onnx\"\n[input]\nsize = {size:?}\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
    );
    std::fs::write(temporary.join("model.toml"), manifest).unwrap();
    ModelRegistry::load_one(ModelFolder::read(&temporary).unwrap(), &settings()).unwrap()
}

/// Runs three copies of the image's activation in one batch, with one of zeros between them, and
/// expects the image's scores three times. Returns the number of layers, and how many of their
/// tails read more than the activation.
fn check(folder: &str, name: &str) -> (usize, usize) {
    check_within(1e-5, folder, name, name)
}

fn check_within(tolerance: f32, folder: &str, name: &str, golden: &str) -> (usize, usize) {
    let mut golden = Golden::open(&format!("{folder}/{golden}.npz"));
    let x: Array4<f32> = golden.get("x");
    let x = x.slice(s![..1, .., .., ..]).to_owned();
    let size =
        if x.shape()[3] == 3 { [x.shape()[1], x.shape()[2]] } else { [x.shape()[2], x.shape()[3]] };
    let model = load(folder, name, size);
    assert!(model.batch() >= 4, "{name} does not run batches");
    let (mut layers, mut with_side_inputs) = (0, 0);
    for layer in model.layers() {
        assert_eq!(model.tail_unsupported_reason(layer), None, "{name}, {}", layer.name);
        let pass = PassRequest { activation: true, carry: true, ..PassRequest::of(x.clone()) };
        let cancel = CancellationToken::default();
        let outcome = model.run(layer, pass, &cancel).unwrap();
        let activation = outcome.activation.unwrap();
        let tail = TailRunner::new(&model, layer, &outcome.side_inputs).unwrap();
        let change = |k: usize, mut out: ndarray::ArrayViewMut3<'_, f32>| {
            if k != 1 {
                out.assign(&activation.index_axis(Axis(0), 0));
            }
        };
        let answers = tail.passes(4, change, &cancel, &|_, _| Ok(())).unwrap();
        let expected: ArrayD<f32> = outcome.scores.into_dyn();
        for pass in [0, 2, 3] {
            let found = answers.scores.slice(s![pass..=pass, ..]).to_owned().into_dyn();
            let off = relative_difference(&found, &expected);
            assert!(off <= tolerance, "{name}, {}: pass {pass} differs by {off}", layer.name);
        }
        layers += 1;
        with_side_inputs += usize::from(!outcome.side_inputs.is_empty());
    }
    (layers, with_side_inputs)
}

#[test]
fn tails_give_the_scores_in_every_dialect() {
    for name in [
        "tinyvgg-torchscript",
        "tinyvgg-dynamo",
        "tinyvgg-opset7",
        "tinyvgg-external",
        "tinyvgg-batch1",
        "tinyvgg-keras",
    ] {
        assert_eq!(check("dialects", name).1, 0, "a chain has no side inputs");
    }
    for name in ["tinylite", "tinymix"] {
        let (layers, with_side_inputs) = check("dialects", name);
        let is_some = 0 < with_side_inputs && with_side_inputs < layers;
        assert!(is_some, "{name}: {with_side_inputs} of {layers}");
    }
}

#[test]
fn tails_give_the_scores_in_every_architecture() {
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
            assert!(check("zoo", &format!("{name}-{exporter}")).0 > 0);
        }
    }
}

/// The resolution of 16-bit floats is 1e-3; a quantised score changes in whole steps.
#[test]
fn tails_give_the_scores_in_reduced_precision() {
    assert!(check_within(5e-3, "zoo", "convnext-torchscript-half", "convnext-torchscript").0 > 0);
    assert!(check_within(5e-2, "zoo", "convnext-qdq", "convnext-torchscript").0 > 0);
    assert!(check_within(5e-2, "zoo", "shufflenet-qoperator", "shufflenet-torchscript").0 > 0);
}
