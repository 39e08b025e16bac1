//! Helpers of the examples that compare gradients with a reference.

use std::path::{Path, PathBuf};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The largest difference; infinity if any is NaN, which `max` would ignore.
pub(crate) fn worst(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(
        0.0,
        |worst, difference| {
            if difference.is_nan() { f64::INFINITY } else { difference.max(worst) }
        },
    )
}

/// The folders in a folder, sorted by name.
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
