//! The methods, each in a file named after it: pure maths on arrays.
//!
//! [`explain`], [`compare`] and [`predict`] run one request from picture to map:
//! they prepare the input, ask the engine for a forward pass with activation and
//! gradient, and hand the arrays to the method. They block; the edge calls them
//! from threads that may.

pub mod options;
pub mod result;

use image::RgbImage;

use crate::engine::{Cancel, Model};
use crate::error::Result;
use options::{Method, Options};
pub use result::{Explanation, Passes, Prediction, Predictions, Timing};

/// Told after each step of a long method: steps done, steps in all.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Explains one image with one method.
///
/// # Errors
/// Those of the contract's table that concern classes, layers, methods and the engine.
pub fn explain(
    model: &Model,
    image: &RgbImage,
    options: &Options,
    cancel: &Cancel,
    progress: Progress<'_>,
) -> Result<Explanation> {
    unimplemented!()
}

/// Explains one image with several methods; they share one forward pass of the image.
///
/// # Errors
/// As [`explain`].
pub fn compare(
    model: &Model,
    image: &RgbImage,
    methods: &[Method],
    options: &Options,
    cancel: &Cancel,
    progress: Progress<'_>,
) -> Result<Vec<Explanation>> {
    unimplemented!()
}

/// Names the most probable classes.
///
/// # Errors
/// As [`explain`].
pub fn predict(model: &Model, image: &RgbImage, top_k: usize, cancel: &Cancel) -> Result<Predictions> {
    unimplemented!()
}
