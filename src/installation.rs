//! Where `make install` puts what belongs to the binary: `../lib/camlens` and `../share/camlens`,
//! seen from the binary's folder. So the command works from any folder, and an installation can be
//! moved as a whole.

use std::path::{Path, PathBuf};

/// The folder of ONNX Runtime's library.
#[must_use]
pub(crate) fn library_folder() -> Option<PathBuf> {
    Some(prefix()?.join("lib/camlens"))
}

/// ONNX Runtime's library in the `onnxruntime` package, if `pip` installed both into one
/// environment. Its name ends with its version.
#[must_use]
pub(crate) fn library_of_python() -> Option<PathBuf> {
    library_of_python_in(&prefix()?)
}

fn library_of_python_in(prefix: &Path) -> Option<PathBuf> {
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let starts = |path: &Path, with: &str| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(with.as_bytes()))
    };
    let pythons = files(&prefix.join("lib")).into_iter().filter(|path| starts(path, "python3"));
    // Debian's own Python has another name for the folder.
    let packages =
        pythons.flat_map(|python| ["site-packages", "dist-packages"].map(|p| python.join(p)));
    packages
        .flat_map(|packages| files(&packages.join("onnxruntime/capi")))
        .find(|path| starts(path, "libonnxruntime.so"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_the_python_package_is_found() {
        let prefix = tempfile::tempdir().unwrap();
        assert_eq!(library_of_python_in(prefix.path()), None);
        let folder = prefix.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["libonnxruntime_providers_shared.so", "onnxruntime_pybind11_state.so"] {
            std::fs::write(folder.join(name), b"").unwrap();
        }
        assert_eq!(library_of_python_in(prefix.path()), None);
        let library = folder.join("libonnxruntime.so.1.32.0");
        std::fs::write(&library, b"").unwrap();
        assert_eq!(library_of_python_in(prefix.path()), Some(library));
    }
}
