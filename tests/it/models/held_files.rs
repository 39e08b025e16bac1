//! A model is served from what was loaded, whatever happens to its files, and only regular files
//! are read.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

use camlens::engine::{CancellationToken, Model, PassRequest, Settings};
use camlens::model::held_file::WeightStorage;
use ndarray::Array4;
use onnx_gradient::proto::{ModelProto, data_type};
use prost::Message;

use crate::support::{load, repository, settings};

const MANIFEST: &str = "file = \"model.onnx\"\n[input]\nsize = [64, 64]\n";

/// A folder with a tiny VGG16.
fn folder() -> PathBuf {
    let folder = tempfile::tempdir().expect("a folder").keep();
    std::fs::write(folder.join("model.onnx"), bytes()).expect("the model");
    std::fs::write(folder.join("model.toml"), MANIFEST).expect("the manifest");
    folder
}

fn bytes() -> Vec<u8> {
    std::fs::read(repository("tests/golden/dialects/tinyvgg-torchscript.onnx")).expect("the model")
}

/// The same model with other weights.
fn other_bytes() -> Vec<u8> {
    let mut model = ModelProto::decode(bytes().as_slice()).expect("a model");
    for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
        if tensor.data_type() == data_type::FLOAT
            && let Some(data) = &tensor.raw_data
        {
            let halved = data.chunks_exact(4).flat_map(|value| {
                let value = f32::from_le_bytes(value.try_into().expect("four bytes"));
                (value * 0.5).to_le_bytes()
            });
            tensor.raw_data = Some(halved.collect());
        }
    }
    model.encode_to_vec()
}

fn with(weights: WeightStorage) -> Settings {
    Settings { weights, ..settings() }
}

fn image() -> Array4<f32> {
    Array4::from_shape_fn((1, 3, 64, 64), |(_, c, y, x)| ((c * 7 + y * 3 + x * 5) % 11) as f32)
}

/// The scores by the program of a layer, whose session is opened if need be.
fn scores(model: &Model, layer: usize) -> camlens::error::Result<Vec<f32>> {
    let layer = &model.layers()[layer];
    let output = model.run(layer, PassRequest::new(image()), &CancellationToken::default())?;
    Ok(output.scores.iter().copied().collect())
}

/// The programs of two layers round differently.
fn are_close(found: &[f32], expected: &[f32]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3)
}

#[test]
fn sessions_that_are_opened_after_a_replacement_have_the_old_weights() {
    for storage in [WeightStorage::Map, WeightStorage::Copy] {
        let folder = folder();
        let model = load(&folder, &with(storage)).expect("the model");
        let before = scores(&model, 0).expect("scores");
        std::fs::write(folder.join("new"), other_bytes()).expect("another model");
        std::fs::rename(folder.join("new"), folder.join("model.onnx")).expect("a replacement");
        for layer in 1..4 {
            let found = scores(&model, layer).expect("scores");
            assert!(are_close(&found, &before), "{storage:?}, layer {layer}: {found:?}");
        }
        let new = load(&folder, &with(storage)).expect("the new model");
        assert!(!are_close(&scores(&new, 0).expect("scores"), &before));
    }
}

#[test]
fn a_truncated_file_spoils_a_mapped_model_and_no_other() {
    let (folder, healthy) = (folder(), load(&folder(), &settings()).expect("a model"));
    let [mapped, copied] = [WeightStorage::Map, WeightStorage::Copy]
        .map(|storage| load(&folder, &with(storage)).expect("the model"));
    let before = scores(&copied, 0).expect("scores");
    let file = OpenOptions::new().write(true).open(folder.join("model.onnx")).expect("the file");
    file.set_len(100).expect("a shorter file");
    // The open session, and one that is opened now.
    for layer in [mapped.layers().len() - 1, 1] {
        let error = scores(&mapped, layer).expect_err("weights that are gone").to_string();
        assert!(error.contains("was overwritten while it was served"), "{error}");
        assert!(are_close(&scores(&copied, layer).expect("scores"), &before));
        assert!(are_close(&scores(&healthy, layer).expect("scores"), &before));
    }
}

#[test]
fn a_mapped_file_that_is_overwritten_is_told_and_gives_no_scores() {
    let folder = folder();
    let model = load(&folder, &settings()).expect("the model");
    scores(&model, 0).expect("scores");
    // In place, as `cp` does it.
    std::fs::write(folder.join("model.onnx"), other_bytes()).expect("other weights");
    let error = scores(&model, 0).expect_err("weights of two models").to_string();
    assert!(error.contains("was overwritten while it was served"), "{error}");
}

fn pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// Each would wait for a writer for ever.
#[test]
fn a_pipe_in_a_models_folder_is_refused() {
    for name in ["model.onnx", "labels.txt", "model.toml"] {
        let folder = folder();
        pipe(&folder.join(name));
        let error = load(&folder, &settings()).map(|_| ()).expect_err("a pipe").to_string();
        let expected = format!("{name}: it is not a regular file");
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn labels_outside_the_folder_are_refused_unless_the_manifest_lists_their_folder() {
    let folder = folder();
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("names"), "cat\ndog\n").expect("a file");
    let labels = folder.join("labels.txt");
    std::os::unix::fs::symlink(other.path().join("names"), &labels).expect("a link");
    let error = load(&folder, &settings()).map(|_| ()).expect_err("outside").to_string();
    assert!(error.contains("is outside the model's folder"), "{error}");
    let manifest = format!("data_folders = [{:?}]\n{MANIFEST}", other.path());
    std::fs::write(folder.join("model.toml"), manifest).expect("the manifest");
    let model = load(&folder, &settings()).expect("the model");
    assert_eq!(model.labels().get(1), Some("dog"));
}
