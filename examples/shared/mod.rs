//! What the examples that hold gradients against a reference have in common.

use std::path::{Path, PathBuf};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The largest of some differences; a NaN, which `max` would pass over, is as wrong as can be.
pub(crate) fn worst(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(
        0.0,
        |worst, difference| {
            if difference.is_nan() { f64::INFINITY } else { difference.max(worst) }
        },
    )
}

/// The folders in a folder, in the order of their names.
pub(crate) fn folders(folder: &Path) -> Fallible<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
