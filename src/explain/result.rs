//! Results: maps, explanations, predictions, and what they cost.

use std::ops::Add;
use std::time::Instant;

use ndarray::Array2;
use serde::Serialize;

use super::math::gaussian_process::Confidence;
use super::method::Method;
use super::normalise::Normalizer;
use super::parameters::{Convention, Normalization};
use crate::engine::PassScores;
use crate::picture::resize::{upsample, upsample_smooth};
use crate::text::per_cent;
use crate::warning::Warning;

/// A method's map of one target, before normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetMap {
    /// `[h, w]` at the layer's size.
    pub map: Array2<f32>,
    /// The estimated agreement with the exact map; absent for an exact map.
    pub confidence: Option<Confidence>,
}

impl From<Array2<f32>> for TargetMap {
    fn from(map: Array2<f32>) -> Self {
        Self { map, confidence: None }
    }
}

/// A class with its probability and logit, or a quantity with its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The class index, or that of the quantity.
    pub index: usize,
    /// The class label, if the model has labels.
    pub label: Option<String>,
    /// The probability, 0..1, as the model gives it; absent for a quantity.
    pub probability: Option<f32>,
    /// The score before it; absent if the model does not expose it.
    pub logit: Option<f32>,
    /// The value of a quantity; absent for a class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f32>,
}

impl Prediction {
    /// The probability in per cent, or the value of a quantity.
    #[must_use]
    pub fn amount(&self) -> String {
        match (self.value, self.probability) {
            (Some(value), _) => value.to_string(),
            (None, Some(probability)) => per_cent(probability.into()),
            (None, None) => String::new(),
        }
    }
}

/// The number of passes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passes {
    /// Passes of the image itself.
    pub forward: usize,
    /// Passes of masked or noisy images.
    pub masked: usize,
    /// Passes of changed activations through the part of the model after the layer.
    pub tail: usize,
    /// Masked and tail passes that did not run: they could not change the map, or their scores
    /// were cached.
    pub skipped: usize,
}

impl Passes {
    /// Adds masked passes: those that ran as masked, cached ones as skipped.
    pub fn add_masked(&mut self, scores: &PassScores) {
        self.masked += scores.ran;
        self.skipped += scores.cached();
    }
}

impl Add for Passes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            forward: self.forward + other.forward,
            masked: self.masked + other.masked,
            tail: self.tail + other.tail,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// The time that each stage took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// From image to input tensor.
    pub preprocess_ms: f64,
    /// The passes of the image itself, including the wait for the engine.
    pub forward_ms: f64,
    /// The method: maths and masked passes.
    pub explain_ms: f64,
}

impl Add for Timing {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            preprocess_ms: self.preprocess_ms + other.preprocess_ms,
            forward_ms: self.forward_ms + other.forward_ms,
            explain_ms: self.explain_ms + other.explain_ms,
        }
    }
}

/// The time since `started`, in milliseconds.
pub(crate) fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// One map with its context.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The model's id.
    pub model: String,
    /// How the map was computed.
    pub method: Method,
    /// The convention that was followed.
    pub convention: Convention,
    /// The layer's friendly name; for several layers, all names separated by commas.
    pub layer: String,
    /// The class that is explained.
    pub target: Prediction,
    /// The class that the target is contrasted with.
    pub contrast: Option<Prediction>,
    /// Whether the negated score is explained.
    pub negate: bool,
    /// The top classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// The normalised map `[h, w]` at the layer's size (for several layers, at the size of the
    /// model's input); all zeros when `empty`, never NaN.
    pub map: Array2<f32>,
    /// How the map was normalised.
    pub normalizer: Normalizer,
    /// True if positive values are evidence for the class and negative ones against it.
    pub signed: bool,
    /// The largest value before normalisation; of a signed map the largest absolute value.
    pub max: f32,
    /// True if no value is above 0, so nothing in the layer supports the class; for a signed map,
    /// if all values are 0.
    pub empty: bool,
    /// True if the gradient is a straight-through estimate, because the model rounds to integers.
    pub estimated: bool,
    /// The estimated agreement with the map of all passes; absent if all passes ran.
    pub confidence: Option<Confidence>,
    /// `[H, W]` of the model's input.
    pub input_size: [usize; 2],
    /// The part of the image that the model saw, in pixels of the image: left, top, width, height.
    pub visible_rect: [f32; 4],
    /// The passes that were run.
    pub passes: Passes,
    /// The time that each stage took.
    pub timing: Timing,
    /// What a reader of the map must know to judge it.
    pub warnings: Vec<Warning>,
}

impl Explanation {
    /// The map at another size, `[height, width]`: bilinear, with half-pixel centres.
    ///
    /// Interpolation lowers the largest value and raises the smallest. A convention whose source
    /// then stretches the map to 0..1 once more, as pytorch-grad-cam does at the input's size, gets
    /// that here for every size but the map's own.
    #[must_use]
    pub fn resized(&self, height: usize, width: usize) -> Array2<f32> {
        self.stretched(upsample(self.map.view(), height, width))
    }

    /// The map at another size for [`emphasize`](crate::picture::overlay::emphasize): cubic, so
    /// that the steep sigmoid cuts no polygons out of it. The article's is bilinear here, too.
    #[must_use]
    pub fn resized_smoothly(&self, height: usize, width: usize) -> Array2<f32> {
        if self.convention == Convention::Article {
            return self.resized(height, width);
        }
        let (low, high) = if self.signed { (-1.0, 1.0) } else { (0.0, 1.0) };
        let smooth = upsample_smooth(self.map.view(), height, width);
        self.stretched(smooth.mapv(|value| value.clamp(low, high)))
    }

    /// Normalises a resized map once more where the convention does so.
    fn stretched(&self, resized: Array2<f32>) -> Array2<f32> {
        let is_stretched = self.convention.normalizes_resized()
            && self.normalizer.normalization == Normalization::MinMax
            && !self.signed
            && !self.empty;
        if is_stretched { self.normalizer.apply(resized).map } else { resized }
    }
}

/// The top classes of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The model's id.
    pub model: String,
    /// The top classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// The passes that were run.
    pub passes: Passes,
    /// The time that each stage took.
    pub timing: Timing,
    /// What a reader of the predictions must know to judge them.
    pub warnings: Vec<Warning>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_passes_add_up_by_stage() {
        let time =
            |of: f64| Timing { preprocess_ms: of, forward_ms: 2.0 * of, explain_ms: 3.0 * of };
        assert_eq!(time(1.0) + time(10.0), time(11.0));
        let passes = |of| Passes { forward: of, masked: 2 * of, tail: 3 * of, skipped: 4 * of };
        assert_eq!(passes(1) + passes(10), passes(11));
    }
}
