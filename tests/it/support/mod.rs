//! What the tests share: models, images, golden arrays, comparisons of arrays, and short forms of
//! the library's calls for tests in which cancellation and progress play no part.

mod arrays;
mod explain;
mod golden;
mod images;
mod models;
mod passes;

use std::path::{Path, PathBuf};

pub(crate) use arrays::{as_maps, difference, max_abs, relative_difference};
pub(crate) use explain::{explain, explain_photo, try_explain};
pub(crate) use golden::Golden;
pub(crate) use images::{modular_pattern, photo, sine_pattern};
pub(crate) use models::{
    dialect, dialect_with, fetched, fetched_with, golden_model, image_size, load, settings, write,
    written,
};
pub(crate) use passes::{assert_agrees_with_autograd, logit_gradients, run, run_default};

/// A path below the repository's root.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
