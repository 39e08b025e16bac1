//! An ONNX file on disk: memory-mapped, decoded, and passed to the runtime without copying weights.
//!
//! An ONNX tensor can state that its data lies in another file, at an offset, and the runtime maps
//! such files. [`OnnxFile::reference_weights`] uses that: in every graph that camlens derives from
//! a model, large tensors refer to the model file itself. A derived graph is a few kilobytes, and
//! all sessions of a model share the pages of one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Kind, Result};
use onnx_gradient::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto};

/// Smaller tensors stay in the graph, because the runtime folds and inspects small constants.
const INLINE_BELOW_BYTES: usize = 1024;

/// A decoded model whose large tensors borrow from its mapped file.
#[derive(Debug)]
pub struct OnnxFile {
    /// The model as stored, except that small external tensors have been read in.
    pub model: ModelProto,
    path: PathBuf,
    bytes: Bytes,
}

impl OnnxFile {
    /// Maps and decodes a model.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the file cannot be read, is not an ONNX model, or refers to weights
    /// outside its folder.
    pub fn open(path: &Path) -> Result<Self> {
        let setup = |what: &str| Error::new(Kind::Setup, what.to_owned()).at_path(path);
        // References to weights must not leave the folder, so a symbolic link is resolved first.
        let path = &path.canonicalize().map_err(|error| setup(&error.to_string()))?;
        let file = File::open(path).map_err(|error| setup(&error.to_string()))?;
        // SAFETY: the mapping is read-only. A model folder must not be modified while it is served;
        // if the file is truncated, access faults as in any program that maps files.
        let mapping =
            unsafe { memmap2::Mmap::map(&file) }.map_err(|error| setup(&error.to_string()))?;
        let bytes = Bytes::from_owner(mapping);
        let mut model =
            decode(bytes.clone()).map_err(|error| setup("not an ONNX model").caused_by(error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if tensor.is_external() {
                read_small_external(tensor, folder)?;
            }
        }
        Ok(Self { model, path: path.to_owned(), bytes })
    }

    /// The folder that references to weights are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The whole mapped file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that belong to fields unknown to this version of the schema. A derived graph loses
    /// them, so loading a model with any logs a warning.
    #[must_use]
    pub fn unknown_bytes(&self) -> usize {
        let inlined: usize = self
            .model
            .graph
            .iter()
            .flat_map(|graph| &graph.initializer)
            .filter(|t| t.is_external())
            .count();
        if inlined > 0 { 0 } else { self.bytes.len().saturating_sub(self.model.encoded_len()) }
    }

    /// Encodes a graph derived from this model, with large tensors as references into the model's
    /// file.
    #[must_use]
    pub fn reference_weights(&self, mut derived: ModelProto) -> Vec<u8> {
        let file_name = self.path.file_name().unwrap_or_default().to_string_lossy();
        for tensor in derived.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if let Some((offset, length)) = self.window(tensor) {
                tensor.raw_data = None;
                tensor.data_location = Some(EXTERNAL);
                tensor.external_data = vec![
                    entry("location", file_name.to_string()),
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

/// Reads small external tensors in: shapes and axes are constants that differentiation and constant
/// folding must see.
fn read_small_external(tensor: &mut TensorProto, folder: &Path) -> Result<()> {
    let name = tensor.name().to_owned();
    let setup = move |what: &str| {
        Error::new(Kind::Setup, format!("the external data of tensor '{name}' {what}"))
    };
    let location = tensor.external("location").unwrap_or_default();
    let inside = !location.is_empty()
        && Path::new(location)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(setup("is outside the model's folder"));
    }
    let number = |key: &str| tensor.external(key).map(str::parse::<u64>).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        return Err(setup("has a malformed offset or length"));
    };
    let path = folder.join(location);
    let mut file = File::open(&path)
        .map_err(|_| setup(&format!("can't be read: {} is missing", path.display())))?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let offset = offset.unwrap_or(0);
    let length = length.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(setup(&format!("ends beyond the end of {}", path.display())));
    }
    if length < INLINE_BELOW_BYTES as u64 {
        let mut data = vec![0; length as usize];
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut data))
            .map_err(|error| setup("can't be read").caused_by(error))?;
        tensor.raw_data = Some(data.into());
        tensor.data_location = None;
        tensor.external_data.clear();
    }
    Ok(())
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

    #[test]
    fn weights_outside_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let mut escaping = model(1000);
        let weight = &mut escaping.graph.as_mut().unwrap().initializer[0];
        weight.raw_data = None;
        weight.data_location = Some(EXTERNAL);
        weight.external_data = vec![entry("location", "../secret".into())];
        std::fs::write(&path, escaping.encode_to_vec()).unwrap();
        let error = OnnxFile::open(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the external data of tensor 'w' is outside the model's folder"
        );
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
