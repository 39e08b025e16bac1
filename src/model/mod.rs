//! Model folders: manifest, class labels and preprocessing.
//!
//! `models/<id>/` contains an ONNX file, usually a `model.toml` that describes it, and optionally
//! `labels.txt` with the class names. A folder with nothing but an `.onnx` file works too: it gets
//! default preprocessing and a warning that says so.

mod external_data;
pub mod folder;
pub mod held_file;
pub mod labels;
pub mod manifest;
mod mapping_faults;
pub mod onnx_file;
pub mod preprocess;
mod tensors;

pub use folder::ModelFolder;
pub use labels::Labels;
pub use manifest::Manifest;
