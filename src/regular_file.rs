//! Opens files that people put into place, where anything may lie: a pipe, a device, a folder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Opens a regular file for reading. The open never waits, as it would for the writer of a pipe.
pub(crate) fn open_regular(path: &Path) -> Result<File> {
    let setup = |reason: String| Error::new(Kind::Setup, reason).at_path(path);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| setup(error.to_string()))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(setup("it is not a regular file".to_owned())),
        Err(error) => Err(setup(error.to_string())),
    }
}
