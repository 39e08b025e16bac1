//! An ONNX file on disk: memory-mapped, decoded, and passed to the runtime without copying weights.
//!
//! An ONNX tensor can state that its data lies in another file, at an offset, and the runtime maps
//! such files. [`OnnxFile::reference_weights`] uses that: in every graph that camlens derives from
//! a model, large tensors refer to the model file itself. A derived graph is a few kilobytes, and
//! all sessions of a model share the pages of one file.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use super::external_data::{DataFolders, location_entry};
use super::folder::dangling_link;
use crate::error::{Error, Kind, Result};
use onnx_gradient::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto};

/// Smaller tensors stay in the graph, because the runtime folds and inspects small constants.
const INLINE_BELOW_BYTES: usize = 1024;

/// A decoded model whose large tensors borrow from its mapped file.
#[derive(Debug)]
pub struct OnnxFile {
    /// The model as stored, except that small external tensors have been read in, and that the
    /// locations of the others are relative to [`Self::folder`].
    pub model: ModelProto,
    path: PathBuf,
    folder: PathBuf,
    bytes: Bytes,
    unknown_bytes: usize,
}

impl OnnxFile {
    /// Maps and decodes a model whose external data lies beside it.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &[])
    }

    /// Maps and decodes a model whose external data lies beside it or in `data_folders`, which are
    /// relative to the model's folder.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the file cannot be read, is not an ONNX model, or refers to data that
    /// is missing or in another folder.
    pub fn open_with(path: &Path, data_folders: &[String]) -> Result<Self> {
        let setup = |what: &str| Error::new(Kind::Setup, what.to_owned()).at_path(path);
        if let Some(error) = dangling_link(path) {
            return Err(error);
        }
        let named = path;
        let path = &path.canonicalize().map_err(|error| setup(&error.to_string()))?;
        let file = File::open(path).map_err(|error| setup(&error.to_string()))?;
        // SAFETY: the mapping is read-only. A model folder must not be modified while it is served;
        // if the file is truncated, access faults as in any program that maps files.
        let mapping =
            unsafe { memmap2::Mmap::map(&file) }.map_err(|error| setup(&error.to_string()))?;
        let bytes = Bytes::from_owner(mapping);
        let mut model =
            decode(bytes.clone()).map_err(|error| setup("not an ONNX model").caused_by(error))?;
        let unknown_bytes = bytes.len().saturating_sub(model.encoded_len());
        let folder = DataFolders::new(named, data_folders)?
            .resolve(&mut model, INLINE_BELOW_BYTES as u64)?;
        Ok(Self { model, path: path.to_owned(), folder, bytes, unknown_bytes })
    }

    /// The folder that references to weights are relative to: the model's own, or one above it if
    /// some data lies elsewhere.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The whole mapped file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that belong to fields unknown to this version of the schema. A derived graph loses
    /// them, so loading a model with any logs a warning.
    #[must_use]
    pub const fn unknown_bytes(&self) -> usize {
        self.unknown_bytes
    }

    /// Encodes a graph derived from this model, with large tensors as references into the model's
    /// file.
    #[must_use]
    pub fn reference_weights(&self, mut derived: ModelProto) -> Vec<u8> {
        for tensor in derived.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if let Some((offset, length)) = self.window(tensor) {
                tensor.raw_data = None;
                tensor.data_location = Some(EXTERNAL);
                tensor.external_data = vec![
                    location_entry(&self.folder, &self.path),
                    entry("offset", offset.to_string()),
                    entry("length", length.to_string()),
                ];
            }
        }
        derived.encode_to_vec()
    }

    /// Offset and length of a tensor's data in the file, if it is a large tensor that borrows from
    /// it.
    fn window(&self, tensor: &TensorProto) -> Option<(usize, usize)> {
        let data = tensor.raw_data.as_ref().filter(|data| data.len() >= INLINE_BELOW_BYTES)?;
        let offset = (data.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        (offset + data.len() <= self.bytes.len()).then_some((offset, data.len()))
    }
}

/// Decodes a model. Large tensors share the buffer.
///
/// # Errors
/// When the bytes are not a protobuf of the ONNX schema, or contain no graph.
pub fn decode(bytes: Bytes) -> Result<ModelProto, Box<dyn std::error::Error + Send + Sync>> {
    let model = ModelProto::decode(bytes)?;
    match &model.graph {
        Some(graph) if !graph.node.is_empty() => Ok(model),
        _ => Err("the file contains no graph".into()),
    }
}

fn entry(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{GraphProto, NodeProto};

    fn model(weights: usize) -> ModelProto {
        ModelProto {
            graph: Some(GraphProto {
                node: vec![NodeProto::new("Add", &["x", "w"], &["y"])],
                initializer: vec![TensorProto::float32(
                    "w",
                    &[weights as i64],
                    &vec![1.5; weights],
                )],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn large_weights_become_references_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model(1000).encode_to_vec()).unwrap();
        let file = OnnxFile::open(&path).unwrap();
        let derived = decode(file.reference_weights(file.model.clone()).into()).unwrap();
        let weight = &derived.graph.unwrap().initializer[0];
        let offset: usize = weight.external("offset").unwrap().parse().unwrap();
        assert_eq!(weight.external("location"), Some("m.onnx"));
        assert_eq!(file.bytes()[offset..offset + 4], 1.5f32.to_le_bytes());
        assert_eq!(file.unknown_bytes(), 0);
    }

    #[test]
    fn small_weights_stay_in_the_graph() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model(3).encode_to_vec()).unwrap();
        let file = OnnxFile::open(&path).unwrap();
        let derived = decode(file.reference_weights(file.model.clone()).into()).unwrap();
        assert!(!derived.graph.unwrap().initializer[0].is_external());
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_to_a_model_is_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("real.onnx");
        std::fs::write(&target, model(1000).encode_to_vec()).unwrap();
        let link = folder.path().join("model.onnx");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let file = OnnxFile::open(&link).unwrap();
        assert_eq!(file.folder(), elsewhere.path().canonicalize().unwrap());
        let derived = decode(file.reference_weights(file.model.clone()).into()).unwrap();
        assert_eq!(derived.graph.unwrap().initializer[0].external("location"), Some("real.onnx"));
    }

    #[test]
    fn a_file_that_is_no_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, b"GIF89a, or so it says").unwrap();
        assert!(
            OnnxFile::open(&path).unwrap_err().to_string().ends_with("m.onnx: not an ONNX model")
        );
    }
}
