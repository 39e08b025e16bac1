//! Where `make install` puts what belongs to the binary: `../lib/camlens` and `../share/camlens`,
//! seen from the binary's folder. So the command works from any folder, and an installation can be
//! moved as a whole.

use std::path::{Path, PathBuf};

/// The folder of ONNX Runtime's library.
#[must_use]
pub(crate) fn library_folder() -> Option<PathBuf> {
    Some(prefix()?.join("lib/camlens"))
}

/// The models folder, if the binary is installed and has one.
#[must_use]
pub(crate) fn models_folder() -> Option<PathBuf> {
    Some(prefix()?.join("share/camlens/models")).filter(|folder| folder.is_dir())
}

/// The folder that contains `bin`, through a link to the binary, too.
fn prefix() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?;
    let binary = binary.canonicalize().unwrap_or(binary);
    binary.parent().and_then(Path::parent).map(Path::to_owned)
}
