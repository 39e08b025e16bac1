//! Loading models: those that `make setup` fetched, the golden ones, and those that a test builds.

use std::path::Path;

use camlens::engine::{Model, ModelRegistry, Settings};
use camlens::error::Result;
use camlens::model::ModelFolder;
use ndarray::Array4;
use onnx_gradient::proto::ModelProto;
use prost::Message;

use super::repository;

/// The engine's settings in tests.
pub(crate) fn settings() -> Settings {
    Settings { runtime: Some(repository("runtime/libonnxruntime.so")), ..Settings::default() }
}

/// Loads the model in a folder.
pub(crate) fn load(folder: &Path, settings: &Settings) -> Result<Model> {
    ModelRegistry::load_one(ModelFolder::read(folder)?, settings)
}

/// A model that `make setup` fetched into `models/`.
pub(crate) fn fetched(id: &str) -> Model {
    fetched_with(id, &settings())
}

/// Like [`fetched`], with other settings.
pub(crate) fn fetched_with(id: &str, settings: &Settings) -> Model {
    load(&repository("models").join(id), settings).expect("the model; `make setup` fetches it")
}

/// The model `tests/golden/<path>.onnx`, whose preprocessing leaves pixel values as they are.
/// `manifest` is appended to its manifest.
pub(crate) fn golden_model(
    path: &str,
    size: [usize; 2],
    manifest: &str,
    settings: &Settings,
) -> Model {
    // The session maps the weights' file, so the folder must outlive the model: it is not deleted.
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let source = repository("tests/golden").join(path);
    let name = source.file_name().and_then(|name| name.to_str()).expect("a file name");
    for extension in ["onnx", "onnx.data"] {
        let file = source.with_file_name(format!("{name}.{extension}"));
        if file.is_file() {
            std::fs::copy(file, folder.join(format!("{name}.{extension}"))).expect("a copy");
        }
    }
    let manifest = format!(
        "file = \"{name}.onnx\"\n[input]\nsize = {size:?}\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\n\
         std = [1.0, 1.0, 1.0]\n{manifest}"
    );
    std::fs::write(folder.join("model.toml"), manifest).expect("the manifest");
    load(&folder, settings).unwrap_or_else(|error| panic!("{path}: {error:?}"))
}

/// A tiny model of `tests/golden/dialects`.
pub(crate) fn dialect(name: &str, size: [usize; 2]) -> Model {
    dialect_with(name, size, &settings())
}

/// Like [`dialect`], with other settings.
pub(crate) fn dialect_with(name: &str, size: [usize; 2], settings: &Settings) -> Model {
    golden_model(&format!("dialects/{name}"), size, "", settings)
}

/// Height and width of an input, `[N, 3, H, W]` or `[N, H, W, 3]`.
pub(crate) fn image_size(input: &Array4<f32>) -> [usize; 2] {
    match *input.shape() {
        [_, height, width, 3] | [_, _, height, width] => [height, width],
        _ => unreachable!("an array of four axes"),
    }
}

/// Writes a model that a test has built and its manifest into a folder.
pub(crate) fn write(folder: &Path, model: &ModelProto, manifest: &str) {
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).expect("the model");
    std::fs::write(folder.join("model.toml"), format!("file = \"model.onnx\"\n{manifest}"))
        .expect("the manifest");
}

/// Loads a model that a test has built, from a folder of its own.
pub(crate) fn written(model: &ModelProto, manifest: &str) -> Result<Model> {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    write(&folder, model, manifest);
    load(&folder, &settings())
}
