//! What tells the versions of a model's folder apart, without reading its files.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files of a folder with what tells their versions apart.
#[derive(PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Option<[i64; 7]>)>);

impl Fingerprint {
    pub(super) fn of(folder: &Path) -> Self {
        let paths = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let stat = |path: &Path| {
            let found = path.metadata().ok()?;
            let (device, inode, size) = (found.dev(), found.ino(), found.size());
            let [device, inode, size] = [device, inode, size].map(u64::cast_signed);
            // A tool that restores the time of modification can't restore that of the change.
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            let [modified, modified_ns, changed, changed_ns] = times;
            Some([device, inode, size, modified, modified_ns, changed, changed_ns])
        };
        let mut files: Vec<_> =
            paths.map(|entry| entry.path()).map(|path| (path.clone(), stat(&path))).collect();
        files.sort();
        Self(files)
    }
}
