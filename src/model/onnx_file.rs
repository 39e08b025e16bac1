//! An ONNX file on disk: read once, decoded, and passed to the runtime without copying weights.
//!
//! In every graph that camlens derives from a model, [`OnnxFile::encode`] replaces large tensors by
//! references to the memory that the file is held in. A derived graph is a few kilobytes, and all
//! sessions of a model share the pages of one file. The runtime never opens the file.

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::external_data::DataFolders;
use super::folder::dangling_link;
use super::held_file::{Change, HeldFile, WeightStorage};
use super::tensors;
use crate::digest::sha256;
use crate::error::{Error, Kind, Result};
use onnx_gradient::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto, data_type};

/// Smaller tensors stay in the graph, because the runtime folds and inspects small constants.
const INLINE_BELOW_BYTES: usize = 1024;

/// How a model is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions<'a> {
    /// Folders besides the model's own that external data may lie in, relative to the model's.
    pub data_folders: &'a [String],
    /// The SHA-256 that the file must have, in hexadecimal.
    pub sha256: Option<&'a str>,
    /// Where the weights are while the model is served.
    pub storage: WeightStorage,
}

/// A decoded model whose large tensors borrow from the files that it holds.
#[derive(Debug)]
pub struct OnnxFile {
    /// The model as stored, except that external tensors have their data.
    pub model: ModelProto,
    /// The model's own file, then those of external data.
    files: Vec<HeldFile>,
    unknown_bytes: usize,
}

/// A graph without its large tensors.
#[derive(Clone, Debug, Default)]
pub struct EncodedModel {
    /// The graph as protobuf.
    pub bytes: Vec<u8>,
    /// The tensors that it refers to.
    pub weights: Vec<Weight>,
}

/// A large tensor of an [`EncodedModel`].
#[derive(Clone, Debug)]
pub struct Weight {
    /// The name of the initializer.
    pub name: String,
    /// As in `TensorProto.DataType`.
    pub data_type: i32,
    /// The shape.
    pub dims: Vec<i64>,
    /// The values, little-endian. They keep the file's mapping or copy alive.
    pub data: Bytes,
}

impl OnnxFile {
    /// Opens a model whose external data lies beside it.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, OpenOptions::default())
    }

    /// Opens and decodes a model.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the file cannot be read, has another SHA-256, is not an ONNX model,
    /// refers to data that is missing or in another folder, or states impossible shapes.
    pub fn open_with(path: &Path, options: OpenOptions<'_>) -> Result<Self> {
        let setup = |what: String| Error::new(Kind::Setup, what).at_path(path);
        if let Some(error) = dangling_link(path) {
            return Err(error);
        }
        let file = HeldFile::open(path, options.storage)?;
        if let Some(expected) = options.sha256 {
            let found = sha256(file.bytes());
            if !found.eq_ignore_ascii_case(expected) {
                return Err(setup(format!("its SHA-256 is {found}, model.toml says {expected}")));
            }
        }
        let bytes = file.bytes();
        let mut model = decode(bytes.clone())
            .map_err(|error| setup("not an ONNX model".to_owned()).caused_by(error))?;
        let unknown_bytes = bytes.len().saturating_sub(model.encoded_len());
        let folders = DataFolders::new(path, options.data_folders)?;
        let data = folders.resolve(&mut model, options.storage)?;
        for tensor in tensors::all_mut(&mut model) {
            tensors::check(tensor)?;
        }
        tensors::check_declared(&model)?;
        let files = [file].into_iter().chain(data).collect();
        Ok(Self { model, files, unknown_bytes })
    }

    /// The SHA-256 of the model's own file, as it was read.
    #[must_use]
    pub fn sha256(&self) -> String {
        self.files.first().map_or_else(String::new, |file| sha256(file.bytes()))
    }

    /// The first of the model's files that is no longer what was loaded, and how it differs.
    #[must_use]
    pub fn change(&self) -> Option<(&Path, Change)> {
        let changes = self.files.iter().filter_map(|file| Some((file.path(), file.change()?)));
        // An overwritten file is worse than a replaced one.
        changes.min_by_key(|(_, change)| *change != Change::Overwritten)
    }

    /// The file of external data that holds a tensor's data, and where it begins there, in bytes;
    /// `None` for data of the model's own file or of the process.
    #[must_use]
    pub fn external_place(&self, data: &Bytes) -> Option<(&Path, usize)> {
        let range = data.as_ptr_range();
        self.files.iter().skip(1).find_map(|file| {
            let whole = file.bytes().as_ptr_range();
            let is_inside = whole.start <= range.start && range.end <= whole.end;
            is_inside.then(|| (file.path(), range.start.addr() - whole.start.addr()))
        })
    }

    /// The whole file of the model.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.files.first().map_or(&[], |file| file.bytes())
    }

    /// Bytes that belong to fields unknown to this version of the schema. A derived graph loses
    /// them, so loading a model with any logs a warning.
    #[must_use]
    pub const fn unknown_bytes(&self) -> usize {
        self.unknown_bytes
    }

    /// Encodes a graph derived from this model, with large tensors as references to this file.
    #[must_use]
    pub fn encode(&self, mut derived: ModelProto) -> EncodedModel {
        let mut weights = Vec::new();
        for tensor in derived.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if self.is_shared(tensor)
                && let Some(data) = tensor.raw_data.take()
            {
                tensor.data_location = Some(EXTERNAL);
                // ONNX demands a location. Nothing is read there: the runtime is given the values.
                tensor.external_data = vec![
                    entry("location", "held".to_owned()),
                    entry("offset", "0".to_owned()),
                    entry("length", data.len().to_string()),
                ];
                weights.push(Weight {
                    name: tensor.name().to_owned(),
                    data_type: tensor.data_type(),
                    dims: tensor.dims.clone(),
                    data,
                });
            }
        }
        EncodedModel { bytes: derived.encode_to_vec(), weights }
    }

    /// Whether a tensor is large, and its data is that of a file.
    fn is_shared(&self, tensor: &TensorProto) -> bool {
        let Some(data) = tensor.raw_data.as_ref().filter(|data| data.len() >= INLINE_BELOW_BYTES)
        else {
            return false;
        };
        let range = data.as_ptr_range();
        let holds = |file: &HeldFile| {
            let whole = file.bytes().as_ptr_range();
            whole.start <= range.start && range.end <= whole.end
        };
        is_plain(tensor.data_type()) && self.files.iter().any(holds)
    }
}

/// Whether the elements are numbers of whole bytes, which the runtime takes as they are.
fn is_plain(kind: i32) -> bool {
    (data_type::FLOAT..=data_type::BFLOAT16).contains(&kind) && kind != data_type::STRING
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
        let encoded = file.encode(file.model.clone());
        assert!(encoded.bytes.len() < 500);
        let derived = decode(encoded.bytes.into()).unwrap();
        let tensor = &derived.graph.unwrap().initializer[0];
        assert!(tensor.is_external());
        let place: Vec<(&str, &str)> =
            tensor.external_data.iter().map(|entry| (entry.key(), entry.value())).collect();
        assert_eq!(place, [("location", "held"), ("offset", "0"), ("length", "4000")]);
        let [weight] = &encoded.weights[..] else { panic!("one weight") };
        assert_eq!(
            (weight.name.as_str(), weight.data_type, &weight.dims[..]),
            ("w", 1, &[1000][..])
        );
        assert_eq!(weight.data[..4], 1.5f32.to_le_bytes());
        assert!(file.bytes().as_ptr_range().contains(&weight.data.as_ptr()));
        assert_eq!(file.unknown_bytes(), 0);
    }

    #[test]
    fn external_data_has_a_place_and_other_data_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let mut outside = model(1000);
        let tensor = &mut outside.graph.as_mut().unwrap().initializer[0];
        let data: Vec<u8> = [1.5_f32; 1000].iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.path().join("w.bin"), [vec![0; 64], data].concat()).unwrap();
        tensor.float_data.clear();
        tensor.raw_data = None;
        tensor.data_location = Some(EXTERNAL);
        tensor.external_data = vec![
            entry("location", "w.bin".to_owned()),
            entry("offset", "64".to_owned()),
            entry("length", "4000".to_owned()),
        ];
        std::fs::write(&path, outside.encode_to_vec()).unwrap();
        let file = OnnxFile::open(&path).unwrap();
        let held = file.model.graph.as_ref().unwrap().initializer[0].raw_data.clone().unwrap();
        let (found, at) = file.external_place(&held).unwrap();
        assert_eq!((found.file_name().unwrap().to_str().unwrap(), at), ("w.bin", 64));
        for other in [Bytes::from(vec![0; 4]), Bytes::copy_from_slice(&held)] {
            assert_eq!(file.external_place(&other), None);
        }
    }

    #[test]
    fn small_weights_stay_in_the_graph() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model(3).encode_to_vec()).unwrap();
        let file = OnnxFile::open(&path).unwrap();
        let encoded = file.encode(file.model.clone());
        assert!(encoded.weights.is_empty());
        let derived = decode(encoded.bytes.into()).unwrap();
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
        assert_eq!(file.encode(file.model.clone()).weights.len(), 1);
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
