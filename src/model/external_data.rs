//! Finds the files that hold a model's external data, and decides which of them may be read.
//!
//! A tensor names its file relative to the model's folder. In a download cache such as Hugging
//! Face's, the model and its data are links into another folder, under names that nobody wrote into
//! the model. So a file is looked for beside the model as it was named, and then beside the file
//! that the model's link leads to.
//!
//! What is found must lie in one of these two folders, with all links resolved, or in a folder
//! that the manifest lists. Otherwise a model of unknown origin could read any file of this machine.
//! This is decided here; the runtime then receives paths without links.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::folder::dangling_link;
use crate::error::{Error, Kind, Result};
use onnx_gradient::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};

/// A file with external data.
#[derive(Clone)]
struct DataFile {
    /// Without links.
    path: PathBuf,
    size_bytes: u64,
}

/// The folders that external data may lie in.
pub(super) struct DataFolders {
    /// The folder of the model as it was named, and that of the file itself, without links.
    own: [PathBuf; 2],
    /// Those that the manifest lists, without links.
    listed: Vec<PathBuf>,
}

impl DataFolders {
    /// The folders for the model at `path`. `listed` are the manifest's, relative to the model's
    /// folder.
    ///
    /// # Errors
    /// [`Kind::Setup`] when one of them does not exist.
    pub(super) fn new(path: &Path, listed: &[String]) -> Result<Self> {
        let canonical = |path: &Path| {
            path.canonicalize()
                .map_err(|error| Error::new(Kind::Setup, error.to_string()).at_path(path))
        };
        let parent = |path: &Path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let own = [canonical(&parent(path))?, parent(&canonical(path)?)];
        let listed =
            listed.iter().map(|folder| canonical(&own[0].join(folder))).collect::<Result<_>>()?;
        Ok(Self { own, listed })
    }

    /// Reads the small external tensors of a model in, and makes the locations of all others
    /// relative to a folder, which is returned. That folder holds the model's file as well.
    ///
    /// Small tensors are shapes and axes: constants that differentiation and constant folding must
    /// see.
    ///
    /// # Errors
    /// [`Kind::Setup`] that names the tensor, when its data is missing, outside all folders, or not
    /// where the tensor says.
    pub(super) fn resolve(&self, model: &mut ModelProto, inline_below: u64) -> Result<PathBuf> {
        let mut files: HashMap<String, DataFile> = HashMap::new();
        for tensor in external_tensors(model) {
            let location = tensor.external("location").unwrap_or_default().to_owned();
            let name = tensor.name().to_owned();
            let failed = |error: Error| {
                let detail = format!("the external data of tensor '{name}' {}", error.detail());
                let mut located = Error::new(Kind::Setup, detail);
                if let (Some(link), Some(target)) = (error.path(), error.link_target()) {
                    located = located.at_path(link).at_link_to(target);
                }
                located.caused_by(error)
            };
            let file = match files.get(&location) {
                Some(known) => known.clone(),
                None => self.find(&location).map_err(failed)?,
            };
            read_small(tensor, &file, inline_below).map_err(failed)?;
            files.insert(location, file);
        }
        let root = files.values().fold(self.own[1].clone(), |root, file| {
            let is_shared = |folder: &&Path| file.path.starts_with(folder);
            root.ancestors().find(is_shared).unwrap_or(Path::new("/")).to_owned()
        });
        for tensor in external_tensors(model) {
            for entry in &mut tensor.external_data {
                if entry.key() == "location"
                    && let Some(file) = files.get(entry.value())
                {
                    *entry = location_entry(&root, &file.path);
                }
            }
        }
        Ok(root)
    }

    /// The file at a location.
    fn find(&self, location: &str) -> Result<DataFile> {
        let refuse = |reason: &str| Error::new(Kind::Setup, reason.to_owned());
        if location.is_empty() {
            return Err(refuse("names no file"));
        }
        let candidates = self.own.iter().map(|folder| folder.join(location));
        let found = candidates.clone().filter_map(|path| path.canonicalize().ok()).next();
        let path = found.ok_or_else(|| {
            let mut links = candidates.filter_map(|path| dangling_link(&path));
            let Some(link) = links.next() else {
                return refuse(&format!("is missing: there is no '{location}'"));
            };
            let what = format!("is missing: '{location}' is a link, and {}", link.detail());
            let (path, target) = (link.path(), link.link_target());
            let (path, target) = (path.unwrap_or(Path::new("")), target.unwrap_or(Path::new("")));
            refuse(&what).at_path(path).at_link_to(target)
        })?;
        let is_in = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        if !is_in(&self.listed) {
            // ONNX's own rule, whatever the path leads back to: where a location leads depends on
            // the folder's name, which its writer can't know.
            if !stays_inside(Path::new(location)) {
                return Err(refuse(&format!(
                    "has the location '{location}', which does not stay inside the model's \
                     folder, as ONNX demands; {LISTED}"
                )));
            }
            if !is_in(&self.own) {
                return Err(refuse(&format!("is outside the model's folder; {LISTED}")));
            }
        }
        let metadata = path.metadata().map_err(|error| refuse("can't be read").caused_by(error))?;
        if !metadata.is_file() {
            return Err(refuse(&format!("is not in a file: '{location}' is something else")));
        }
        Ok(DataFile { path, size_bytes: metadata.len() })
    }
}

const LISTED: &str = "data_folders in model.toml lists folders that it may lie in";

/// Whether a relative path never leads above the folder that it starts from.
fn stays_inside(path: &Path) -> bool {
    let mut depth = 0_usize;
    path.components().all(|part| match part {
        Component::CurDir => true,
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::ParentDir => {
            let above = depth.checked_sub(1);
            depth = above.unwrap_or(0);
            above.is_some()
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}

/// A location entry for a file below a folder.
pub(super) fn location_entry(root: &Path, path: &Path) -> StringStringEntryProto {
    let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    StringStringEntryProto { key: Some("location".to_owned()), value: Some(relative) }
}

/// Checks where a tensor's data lies in its file, and reads it if it is small.
fn read_small(tensor: &mut TensorProto, file: &DataFile, inline_below: u64) -> Result<()> {
    let refuse = |reason: String| Error::new(Kind::Setup, reason);
    let number = |key: &str| tensor.external(key).map(str::parse::<u64>).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        return Err(refuse("has a malformed offset or length".to_owned()));
    };
    let offset = offset.unwrap_or(0);
    let length = length.unwrap_or(file.size_bytes.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > file.size_bytes) {
        return Err(refuse(format!(
            "ends beyond the end of its file: {length} bytes at {offset}, of {}",
            file.size_bytes
        )));
    }
    if length < inline_below {
        let mut data = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = File::open(&file.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut data)
        });
        read.map_err(|error| refuse("can't be read".to_owned()).caused_by(error))?;
        tensor.raw_data = Some(data.into());
        tensor.data_location = None;
        tensor.external_data.clear();
    }
    Ok(())
}

/// All external tensors of a model, those of its branches, loops and functions included.
fn external_tensors(model: &mut ModelProto) -> Vec<&mut TensorProto> {
    let mut found = Vec::new();
    model.graph.iter_mut().for_each(|graph| of_graph(graph, &mut found));
    model.functions.iter_mut().for_each(|function| of_nodes(&mut function.node, &mut found));
    found.retain(|tensor| tensor.is_external());
    found
}

fn of_graph<'a>(graph: &'a mut GraphProto, found: &mut Vec<&'a mut TensorProto>) {
    found.extend(&mut graph.initializer);
    for sparse in &mut graph.sparse_initializer {
        found.extend(sparse.values.iter_mut().chain(&mut sparse.indices));
    }
    of_nodes(&mut graph.node, found);
}

fn of_nodes<'a>(nodes: &'a mut [NodeProto], found: &mut Vec<&'a mut TensorProto>) {
    for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
        let AttributeProto { t, tensors, g, graphs, sparse_tensor, sparse_tensors, .. } = attribute;
        found.extend(t.iter_mut().chain(tensors));
        for sparse in sparse_tensor.iter_mut().chain(sparse_tensors) {
            found.extend(sparse.values.iter_mut().chain(&mut sparse.indices));
        }
        g.iter_mut().chain(graphs).for_each(|graph| of_graph(graph, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::EXTERNAL;

    fn external(name: &str, length: usize) -> TensorProto {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        };
        TensorProto {
            name: Some(name.to_owned()),
            raw_data: None,
            data_location: Some(EXTERNAL),
            external_data: vec![
                entry("location", "./data"),
                entry("offset", "8"),
                entry("length", &length.to_string()),
            ],
            ..TensorProto::float32(name, &[], &[])
        }
    }

    /// Constants and branches hold external tensors, too.
    #[test]
    fn tensors_are_found_wherever_they_are() {
        let constant = AttributeProto { t: Some(external("t", 4)), ..Default::default() };
        let inner = GraphProto { initializer: vec![external("large", 64)], ..Default::default() };
        let branch = AttributeProto { g: Some(inner), ..Default::default() };
        let nodes = [constant, branch].map(|attribute| NodeProto {
            attribute: vec![attribute],
            ..NodeProto::new("If", &[], &["y"])
        });
        let graph = GraphProto {
            node: nodes.into(),
            initializer: vec![external("small", 4)],
            ..Default::default()
        };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, b"").unwrap();
        std::fs::write(folder.path().join("data"), [7; 72]).unwrap();
        let root = DataFolders::new(&path, &[]).unwrap().resolve(&mut model, 16).unwrap();
        assert_eq!(root, folder.path().canonicalize().unwrap());
        let left = external_tensors(&mut model);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].name(), left[0].external("location")), ("large", Some("data")));
        let graph = model.graph.unwrap();
        assert_eq!(graph.initializer[0].raw_data.as_deref(), Some(&[7; 4][..]));
        assert!(graph.node[0].attribute[0].t.as_ref().unwrap().raw_data.is_some());
    }

    #[test]
    fn a_path_stays_inside_unless_it_leads_above_its_start() {
        for inside in ["data", "a/b", "a/../b", "./a/./b/../../c", "..data/x"] {
            assert!(stays_inside(Path::new(inside)), "{inside}");
        }
        for outside in ["..", "../data", "a/../../b", "/data", "a/../../a/b"] {
            assert!(!stays_inside(Path::new(outside)), "{outside}");
        }
    }
}
