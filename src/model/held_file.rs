//! The files of a model, held from the moment they are read.
//!
//! A model is read once. All sessions, including those that are opened hours later, take its
//! weights from the mapping or the copy that is held here, and never find a file by its path again.
//! So a model that is replaced on disk is served whole as it was, until it is loaded again.
//!
//! Only regular files are opened, and without waiting: a pipe in a model's folder is an error, not
//! a loader that hangs.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::mapping_faults::GuardedMapping;
use crate::error::{Error, Kind, Result};
use crate::regular_file::open_regular;

/// Where the weights of a model are while it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightStorage {
    /// In the pages of the file, which the system shares and can drop and read again. Whoever
    /// writes into the file in place spoils the model that is served.
    #[default]
    Map,
    /// In memory of the process. Nothing that happens to the file matters any more.
    Copy,
}

/// A file with its content, or what is mapped of it.
#[derive(Clone, Debug)]
pub struct HeldFile {
    path: PathBuf,
    bytes: Bytes,
    identity: Identity,
    /// The file that is mapped. Its name may lead elsewhere by now.
    mapped: Option<Arc<File>>,
}

/// What tells one content of a path from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// How a held file differs from what its path leads to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another file has taken its place, or it was removed. What is held is whole.
    Replaced,
    /// It was written to in place, and mapped weights are no longer those that were loaded.
    Overwritten,
}

impl HeldFile {
    /// Opens a regular file and maps it, or reads it.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the path when it is no regular file, can't be read, or changes while it
    /// is read.
    pub fn open(path: &Path, storage: WeightStorage) -> Result<Self> {
        let setup = |reason: String| Error::new(Kind::Setup, reason).at_path(path);
        let failed = |error: std::io::Error| setup(error.to_string());
        let path = path.canonicalize().map_err(failed)?;
        let file = open_regular(&path)?;
        let identity = Identity::of(&file.metadata().map_err(failed)?);
        let bytes = match storage {
            _ if identity.size_bytes == 0 => Bytes::new(),
            WeightStorage::Map => map(&file).map_err(failed)?,
            WeightStorage::Copy => read_all(&file, identity.size_bytes).map_err(failed)?,
        };
        let after = Identity::of(&file.metadata().map_err(failed)?);
        if after != identity {
            return Err(setup("the file changed while it was read".to_owned()));
        }
        let mapped = (storage == WeightStorage::Map).then(|| Arc::new(file));
        Ok(Self { path, bytes, identity, mapped })
    }

    /// The path, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether what is held was spoiled, or the path leads to something else. The mapped file itself
    /// is asked, because it stays spoiled when another one takes its name.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        let is_as_loaded = |metadata: std::io::Result<Metadata>| {
            metadata.is_ok_and(|m| Identity::of(&m) == self.identity)
        };
        if self.mapped.as_ref().is_some_and(|file| !is_as_loaded(file.metadata())) {
            return Some(Change::Overwritten);
        }
        (!is_as_loaded(self.path.metadata())).then_some(Change::Replaced)
    }
}

fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the mapping is read-only, and nothing here writes to the file. Others may; `change`
    // tells that, and the guard keeps a shortened file from ending the process.
    let mapping = unsafe { memmap2::Mmap::map(file) }?;
    let size_bytes = mapping.len() as u64;
    match GuardedMapping::new(mapping) {
        Some(guarded) => Ok(Bytes::from_owner(guarded)),
        None => read_all(file, size_bytes),
    }
}

/// Reads exactly this many bytes.
fn read_all(mut file: &File, size_bytes: u64) -> std::io::Result<Bytes> {
    let size = usize::try_from(size_bytes).map_err(std::io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(std::io::Error::other)?;
    file.by_ref().take(size_bytes).read_to_end(&mut bytes)?;
    if bytes.len() == size {
        Ok(bytes.into())
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(storage: WeightStorage) -> (tempfile::TempDir, PathBuf, HeldFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, b"old weights").unwrap();
        let held = HeldFile::open(&path, storage).unwrap();
        (folder, path, held)
    }

    #[test]
    fn a_file_that_is_replaced_is_held_whole() {
        for storage in [WeightStorage::Map, WeightStorage::Copy] {
            let (folder, path, held) = held(storage);
            assert_eq!(held.change(), None);
            let new = folder.path().join("new");
            std::fs::write(&new, b"new").unwrap();
            std::fs::rename(&new, &path).unwrap();
            assert_eq!(held.change(), Some(Change::Replaced));
            assert_eq!(held.bytes(), &b"old weights"[..]);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(held.change(), Some(Change::Replaced));
        }
    }

    #[test]
    fn a_copy_outlives_a_truncation_and_a_mapping_tells_of_it() {
        for (storage, change) in
            [(WeightStorage::Map, Change::Overwritten), (WeightStorage::Copy, Change::Replaced)]
        {
            let (_folder, path, held) = held(storage);
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
            assert_eq!(held.change(), Some(change));
            if storage == WeightStorage::Copy {
                assert_eq!(held.bytes(), &b"old weights"[..]);
            }
        }
    }

    /// The repair of a file that was cut, by renaming, does not repair what is mapped.
    #[test]
    fn a_spoiled_mapping_stays_spoiled_whatever_its_name_leads_to() {
        let (folder, path, held) = held(WeightStorage::Map);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
        let new = folder.path().join("new");
        std::fs::write(&new, b"old weights").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(held.change(), Some(Change::Overwritten));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(held.change(), Some(Change::Overwritten));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/null")] {
            let error = HeldFile::open(path, WeightStorage::Map).unwrap_err().to_string();
            assert!(error.ends_with("it is not a regular file"), "{error}");
        }
    }
}
