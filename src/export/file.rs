//! Writes an exported model: one file, or a file and its weights beside it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use onnx_gradient::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto};
use prost::Message;

use crate::error::{Error, Kind, Result};
use crate::model::onnx_file::OnnxFile;

/// Where the weights go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Weights that the model keeps in external data stay there if the exported file is written
    /// beside it, and are copied to `<file>.data` otherwise; all others go into the file.
    #[default]
    Auto,
    /// Into the file.
    Inline,
    /// Into `<file>.data`.
    External,
}

/// Protocol buffers have no messages of 2 GiB or more.
const MAX_MESSAGE_BYTES: usize = (1 << 31) - 1;

/// Smaller tensors stay in the file, because runtimes read shapes from them.
const INLINE_BELOW_BYTES: usize = 1024;

/// External data begins at multiples of this, so that it can be mapped.
const ALIGNMENT: usize = 4096;

/// Writes a model that was derived from `source`. Files are complete or not there at all; returns
/// those that were written.
///
/// # Errors
/// [`Kind::Setup`] with the file's path, when it can't be written or would be too large.
pub fn write(
    path: &Path,
    mut exported: ModelProto,
    source: &OnnxFile,
    weights: Weights,
) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Error::new(Kind::Setup, error.to_string()).at_path(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let data_name = format!("{name}.data");
    let mut data = PartFile::new(folder.join(&data_name));
    let mut written = 0;
    for tensor in exported.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let bytes = tensor.raw_data.as_ref();
        let Some(bytes) = bytes.filter(|bytes| bytes.len() >= INLINE_BELOW_BYTES) else { continue };
        let place = source.external_place(bytes);
        let is_external = match weights {
            Weights::Inline => false,
            Weights::External => true,
            Weights::Auto => place.is_some(),
        };
        let beside = place
            .filter(|_| weights == Weights::Auto)
            .and_then(|(file, at)| Some((file.strip_prefix(&folder).ok()?, at)));
        if let Some((file, at)) = beside {
            refer(tensor, &file.to_string_lossy(), at);
        } else if is_external {
            let at = written_at(written);
            data.append(at - written, bytes).map_err(failed)?;
            written = at + bytes.len();
            refer(tensor, &data_name, at);
        }
    }
    if exported.encoded_len() > MAX_MESSAGE_BYTES {
        let detail = "an ONNX file holds less than 2 GiB; --weights external writes the weights \
                      beside it";
        return Err(Error::new(Kind::Setup, detail).at_path(path));
    }
    let mut model = PartFile::new(folder.join(&name));
    model.append(0, &exported.encode_to_vec()).map_err(failed)?;
    let files = [data.finish(), model.finish()];
    let files = files.into_iter().collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    Ok(files.into_iter().flatten().collect())
}

/// Where the next tensor begins behind `written` bytes.
const fn written_at(written: usize) -> usize {
    written.next_multiple_of(ALIGNMENT)
}

/// Replaces a tensor's data by its place in a file.
fn refer(tensor: &mut TensorProto, location: &str, offset: usize) {
    let length = tensor.raw_data.take().map_or(0, |data| data.len());
    let entry = |(key, value): (&str, String)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    let place = [
        ("location", location.to_owned()),
        ("offset", offset.to_string()),
        ("length", length.to_string()),
    ];
    tensor.data_location = Some(EXTERNAL);
    tensor.external_data = place.map(entry).into();
}

/// A file that appears under its name when it is complete. What was there before stays until then.
struct PartFile {
    path: PathBuf,
    part: PathBuf,
    out: Option<BufWriter<File>>,
}

impl PartFile {
    fn new(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        Self { path, part, out: None }
    }

    fn append(&mut self, zeros: usize, bytes: &[u8]) -> std::io::Result<()> {
        let out = match &mut self.out {
            Some(out) => out,
            None => self.out.insert(BufWriter::new(File::create(&self.part)?)),
        };
        out.write_all(&vec![0; zeros])?;
        out.write_all(bytes)
    }

    /// Gives the file its name. Without content there is none.
    fn finish(mut self) -> std::io::Result<Option<PathBuf>> {
        let Some(mut out) = self.out.take() else { return Ok(None) };
        let named = out.flush().and_then(|()| fs::rename(&self.part, &self.path));
        if named.is_err() {
            let _ = fs::remove_file(&self.part);
        }
        named.map(|()| Some(self.path.clone()))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // Only an unfinished file is still open.
        if self.out.take().is_some() {
            let _ = fs::remove_file(&self.part);
        }
    }
}
