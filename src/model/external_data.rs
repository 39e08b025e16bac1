//! Finds the files that hold a model's external data, and decides which of them may be read.
//!
//! A tensor names its file relative to the model's folder. In a download cache such as Hugging
//! Face's, the model and its data are links into another folder, under names that nobody wrote into
//! the model. So a file is looked for beside the model as it was named, and then beside the file
//! that the model's link leads to.
//!
//! What is found must lie in one of these two folders, with all links resolved, or in a folder
//! that the manifest lists. Otherwise a model of unknown origin could read any file of this machine.
//! This holds for tensors of every size. The runtime receives data, never a path.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::folder::dangling_link;
use super::held_file::{HeldFile, WeightStorage};
use super::tensors;
use crate::error::{Error, Kind, Result};
use onnx_gradient::proto::{ModelProto, TensorProto};

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
        let parent = |path: &Path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self::with_own([canonical(&parent(path))?, parent(&canonical(path)?)], listed)
    }

    fn with_own(own: [PathBuf; 2], listed: &[String]) -> Result<Self> {
        let listed =
            listed.iter().map(|folder| canonical(&own[0].join(folder))).collect::<Result<_>>()?;
        Ok(Self { own, listed })
    }

    /// The folders for the labels of the model that a folder's manifest names: those of external
    /// data, and the folder itself. The model's file may be missing.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_folder(folder: &Path, file: &str, listed: &[String]) -> Result<Self> {
        let (path, folder) = (folder.join(file), canonical(folder)?);
        let mut folders = match path.exists() {
            true => Self::new(&path, listed)?,
            false => Self::with_own([folder.clone(), folder.clone()], listed)?,
        };
        folders.listed.push(folder);
        Ok(folders)
    }

    /// Whether a file, without links, lies in one of the folders.
    pub(super) fn contain(&self, file: &Path) -> bool {
        self.own.iter().chain(&self.listed).any(|folder| file.starts_with(folder))
    }

    /// Gives each external tensor of a model its data, and returns the files that hold it. The
    /// tensors share their memory.
    ///
    /// # Errors
    /// [`Kind::Setup`] that names the tensor, when its data is missing, outside all folders, or not
    /// where the tensor says.
    pub(super) fn resolve(
        &self,
        model: &mut ModelProto,
        storage: WeightStorage,
    ) -> Result<Vec<HeldFile>> {
        let mut files: HashMap<String, HeldFile> = HashMap::new();
        for tensor in tensors::all_mut(model).into_iter().filter(|tensor| tensor.is_external()) {
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
                Some(known) => known,
                None => {
                    let found = self.find(&location, storage).map_err(failed)?;
                    files.entry(location).or_insert(found)
                }
            };
            take_data(tensor, file).map_err(failed)?;
        }
        Ok(files.into_values().collect())
    }

    /// The file at a location.
    fn find(&self, location: &str, storage: WeightStorage) -> Result<HeldFile> {
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
            let what = format!(
                "is missing: '{location}' is a symbolic link to a file that does not exist"
            );
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
                return Err(refuse(OUTSIDE));
            }
        }
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(refuse(&format!("is not in a file: '{location}' is something else")));
        }
        HeldFile::open(&path, storage).map_err(|error| refuse("can't be read").caused_by(error))
    }
}

/// The reason for a file outside all folders.
pub(super) const OUTSIDE: &str = "is outside the model's folder; data_folders in model.toml lists \
                                  folders that it may lie in";
const LISTED: &str = "data_folders in model.toml lists folders that it may lie in";

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| Error::new(Kind::Setup, error.to_string()).at_path(path))
}

/// Whether a relative path never leads above the folder that it starts from.
pub(super) fn stays_inside(path: &Path) -> bool {
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

/// Takes a tensor's data from its file.
fn take_data(tensor: &mut TensorProto, file: &HeldFile) -> Result<()> {
    let refuse = |reason: String| Error::new(Kind::Setup, reason);
    let number = |key: &str| tensor.external(key).map(str::parse::<usize>).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        return Err(refuse("has a malformed offset or length".to_owned()));
    };
    let size = file.bytes().len();
    let offset = offset.unwrap_or(0);
    let length = length.unwrap_or(size.saturating_sub(offset));
    let end = offset.checked_add(length).filter(|end| *end <= size).ok_or_else(|| {
        refuse(format!("ends beyond the end of its file: {length} bytes at {offset}, of {size}"))
    })?;
    tensor.raw_data = Some(file.bytes().slice(offset..end));
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{
        AttributeProto, EXTERNAL, GraphProto, NodeProto, StringStringEntryProto,
    };

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
        let folders = DataFolders::new(&path, &[]).unwrap();
        let files = folders.resolve(&mut model, WeightStorage::Map).unwrap();
        assert_eq!(files.len(), 1);
        let tensors = tensors::all_mut(&mut model);
        let lengths: Vec<_> = tensors
            .iter()
            .map(|tensor| (tensor.is_external(), tensor.raw_data.as_deref().map(<[u8]>::len)))
            .collect();
        assert_eq!(lengths, [(false, Some(4)), (false, Some(4)), (false, Some(64))]);
        assert!(tensors.iter().all(|tensor| tensor.raw_data.iter().flatten().all(|x| *x == 7)));
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
