//! What a model folder says: manifest, labels, preprocessing.
//!
//! `models/<id>/` holds `model.toml`, an ONNX file and, if there are names for the
//! classes, `labels.txt`. A folder with nothing but an `.onnx` file works too, with
//! the usual preprocessing and a warning that says so.

pub mod folder;
pub mod labels;
pub mod manifest;
pub mod onnx_file;
pub mod preprocess;

pub use folder::ModelFolder;
pub use labels::Labels;
pub use manifest::Manifest;
