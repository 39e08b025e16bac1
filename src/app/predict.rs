//! Predictions: the most probable classes of an image.

use std::time::Instant;

use image::RgbImage;
use ndarray::Array4;

use crate::engine::{CancellationToken, Model, PassOutput};
use crate::error::Result;
use crate::explain::result::{Passes, Prediction, Predictions, Timing, ms_since};
use crate::graph::head::OutputActivation;
use crate::telemetry::stage;

/// Predicts the most probable classes of an image.
///
/// # Errors
/// Those of the engine.
pub fn predict(
    model: &Model,
    image: &RgbImage,
    top_k: usize,
    cancel: &CancellationToken,
) -> Result<Predictions> {
    let started = Instant::now();
    let input = model.preprocess().tensor(image);
    let preprocess_ms = ms_since(started);
    let mut predictions = predict_tensor(model, input, top_k, cancel)?;
    predictions.timing.preprocess_ms = preprocess_ms;
    Ok(predictions)
}

/// Predicts the most probable classes of an input tensor, `[1, C, H, W]` or `[1, H, W, C]`.
///
/// # Errors
/// Those of the engine.
pub(super) fn predict_tensor(
    model: &Model,
    input: Array4<f32>,
    top_k: usize,
    cancel: &CancellationToken,
) -> Result<Predictions> {
    let started = Instant::now();
    let outcome = stage("forward").in_scope(|| model.forward(input, cancel))?;
    Ok(Predictions {
        model: model.id().to_owned(),
        predictions: top(model, &outcome, top_k),
        passes: Passes { forward: usize::from(!outcome.from_cache), ..Passes::default() },
        timing: Timing { forward_ms: ms_since(started), ..Timing::default() },
        warnings: model.warnings().to_vec(),
    })
}

/// The `count` most probable classes of a pass's first image, most probable first. Quantities are
/// in the order of the model's output.
pub(super) fn top(model: &Model, outcome: &PassOutput, count: usize) -> Vec<Prediction> {
    let scores = outcome.scores.row(0);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if model.output_activation() != OutputActivation::Identity {
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    }
    order.into_iter().take(count).map(|class| prediction(model, outcome, class)).collect()
}

/// One class's scores for a pass's first image.
pub(super) fn prediction(model: &Model, outcome: &PassOutput, class: usize) -> Prediction {
    let activation = model.output_activation();
    let is_quantity = activation == OutputActivation::Identity;
    let score = outcome.scores[[0, class]];
    let has_logit = !is_quantity && activation != OutputActivation::Unknown;
    Prediction {
        index: class,
        label: model.labels().get(class).map(str::to_owned),
        probability: (!is_quantity).then(|| outcome.probabilities[[0, class]]),
        logit: has_logit.then_some(score),
        value: is_quantity.then_some(score),
    }
}
