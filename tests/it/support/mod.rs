//! What tests share: the runtime and the models that `make setup` fetched, and golden arrays.

use std::fs::File;
use std::path::{Path, PathBuf};

use camlens::engine::{Model, ModelRegistry, Settings};
use camlens::error::Result;
use camlens::graph::layers::{Layer, Layout, Tokens};
use camlens::model::ModelFolder;
use ndarray::{Array, ArrayD, Dimension, OwnedRepr, s};
use ndarray_npy::{NpzReader, ReadableElement};
use onnx_gradient::proto::ModelProto;
use prost::Message;

/// A path below the repository's root.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The engine as tests run it.
pub(crate) fn settings() -> Settings {
    Settings { runtime: Some(repository("runtime/libonnxruntime.so")), ..Settings::default() }
}

/// A model that `make setup` fetched.
pub(crate) fn fetched(id: &str) -> Model {
    let folder = ModelFolder::read(&repository("models").join(id)).expect("the model's folder");
    ModelRegistry::load_one(folder, &settings()).expect("the model; `make setup` fetches it")
}

/// A tiny model of `tests/golden/dialects`, in a folder of its own whose manifest changes no
/// number.
pub(crate) fn dialect(name: &str, size: [usize; 2]) -> Model {
    dialect_with(name, size, &settings())
}

/// The same under other settings.
pub(crate) fn dialect_with(name: &str, size: [usize; 2], settings: &Settings) -> Model {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let source = repository("tests/golden/dialects");
    for file in [format!("{name}.onnx"), format!("{name}.onnx.data")] {
        if source.join(&file).is_file() {
            std::fs::copy(source.join(&file), temporary.path().join(&file))
                .expect("the golden model");
        }
    }
    let manifest = format!(
        "file = \"{name}.onnx\"\n[input]\nsize = {size:?}\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
    );
    std::fs::write(temporary.path().join("model.toml"), manifest).expect("a manifest");
    let folder = ModelFolder::read(temporary.path()).expect("the model's folder");
    // The session maps the file: it must outlive the model, so the folder is left to the system's
    // cleaning.
    let _ = temporary.keep();
    ModelRegistry::load_one(folder, settings).expect("the model")
}

/// A model that a test has written, in a folder of its own whose manifest says this besides its
/// name.
pub(crate) fn written(model: &ModelProto, manifest: &str) -> Result<Model> {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    std::fs::write(folder.join("m.onnx"), model.encode_to_vec()).expect("the model");
    std::fs::write(folder.join("model.toml"), format!("file = \"m.onnx\"\n{manifest}"))
        .expect("a manifest");
    ModelRegistry::load_one(ModelFolder::read(&folder)?, &settings())
}

/// Golden arrays of one file.
pub(crate) struct Golden(NpzReader<File>);

impl Golden {
    /// Opens `tests/golden/<path>`.
    pub(crate) fn open(path: &str) -> Self {
        let file = File::open(repository("tests/golden").join(path)).expect("the golden file");
        Self(NpzReader::new(file).expect("an npz file"))
    }

    /// The array of this name.
    pub(crate) fn get<T: ReadableElement, D: Dimension>(&mut self, name: &str) -> Array<T, D> {
        self.0
            .by_name::<OwnedRepr<T>, D>(&format!("{name}.npy"))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of all arrays.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let names = self.0.names().expect("names");
        names.into_iter().map(|name| name.trim_end_matches(".npy").to_owned()).collect()
    }
}

/// An array in a layer's own layout as the engine gives it: `[N, C, h, w]`.
pub(crate) fn as_maps(layer: &Layer, array: ArrayD<f32>) -> ArrayD<f32> {
    match layer.layout {
        Layout::Maps => array,
        Layout::ChannelsLast => array.permuted_axes(vec![0, 3, 1, 2]),
        Layout::Tokens(Tokens { skip, grid: [rows, columns] }) => {
            let places =
                array.slice(s![.., skip..skip + rows * columns, ..]).permuted_axes([0, 2, 1]);
            let [images, channels, _] = places.shape().try_into().expect("three axes");
            let maps = places.as_standard_layout().into_owned();
            maps.into_shape_with_order((images, channels, rows, columns))
                .expect("a grid")
                .into_dyn()
        }
    }
}

/// The largest absolute difference, as a part of the largest absolute value expected.
pub(crate) fn relative_difference(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "the golden array is all zeros");
    difference(found, expected) / largest
}

/// The largest absolute difference.
pub(crate) fn difference(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    found.iter().zip(expected).fold(0.0_f32, |largest, (a, b)| {
        let difference = (a - b).abs();
        // max() would pass over a NaN.
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    })
}
