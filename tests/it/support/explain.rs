//! Explanations by one method, without cancellation or progress.

use camlens::app;
use camlens::app::ExplainOptions;
use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model};
use camlens::error::Result;
use camlens::explain::Explanation;
use image::RgbImage;
use ndarray::Array4;

/// The explanation of a preprocessed image `[1, …]` by `options.method`.
pub(crate) fn explain(model: &Model, input: &Array4<f32>, options: &ExplainOptions) -> Explanation {
    try_explain(model, input, options).unwrap_or_else(|error| panic!("{options:?}: {error}"))
}

/// Like [`explain`], for options that the model may refuse.
pub(crate) fn try_explain(
    model: &Model,
    input: &Array4<f32>,
    options: &ExplainOptions,
) -> Result<Explanation> {
    let methods = [options.method];
    explain_input(model, input, &methods, options, &CancellationToken::default(), &|_, _| {})
        .map(|mut maps| maps.remove(0))
}

/// The explanation of an image that the model preprocesses itself.
pub(crate) fn explain_photo(
    model: &Model,
    image: &RgbImage,
    options: &ExplainOptions,
) -> Result<Explanation> {
    app::explain(model, image, options, &CancellationToken::default(), &|_, _| {})
        .map(|mut maps| maps.remove(0))
}
