//! What an explanation consists of.

use std::ops::Add;
use std::time::Instant;

use ndarray::Array2;
use serde::Serialize;

use super::estimate::Confidence;
use super::options::{Convention, Method};

/// A class with its score and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The class.
    pub index: usize,
    /// Its name, where the model has labels.
    pub label: Option<String>,
    /// After the softmax (or sigmoid), 0..1.
    pub probability: f32,
    /// Before it; absent where the model hides it.
    pub logit: Option<f32>,
}

/// How often the model ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passes {
    /// Passes of the image itself.
    pub forward: usize,
    /// Passes of masked or noisy images.
    pub masked: usize,
    /// Passes of changed activations through the part behind the layer.
    pub tail: usize,
    /// Masked and tail passes that were left out: they could not change the map, or their answer
    /// was known.
    pub skipped: usize,
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

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// From picture to input tensor.
    pub preprocess_ms: f64,
    /// The passes of the image itself, waiting for the engine included.
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

/// How long ago that was, in milliseconds.
pub(crate) fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// One map, and all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The model's id.
    pub model: String,
    /// How the map was computed.
    pub method: Method,
    /// Whose arithmetic was followed.
    pub convention: Convention,
    /// The layer's friendly name; of several all of them, with commas between.
    pub layer: String,
    /// The class that is explained.
    pub target: Prediction,
    /// The class that it is explained against.
    pub contrast: Option<Prediction>,
    /// Whether the map shows what speaks against it.
    pub negate: bool,
    /// The top classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// The map `[h, w]` at layer size (of several layers, at the size of the model's input),
    /// normalised as asked; all zeros when `empty`, never NaN.
    pub map: Array2<f32>,
    /// True when the map tells what speaks for the class, above 0, from what speaks against it,
    /// below.
    pub signed: bool,
    /// The map's largest value before normalisation; of a signed one the largest absolute value.
    pub max: f32,
    /// True when nothing in the layer speaks for the class: no value above 0. Of a signed map,
    /// none but 0.
    pub empty: bool,
    /// True when the map comes from a straight-through estimate, since the model rounds to
    /// integers.
    pub estimated: bool,
    /// How far to trust a map that was made from some of its passes; absent where all were run.
    pub confidence: Option<Confidence>,
    /// `[H, W]` of the model's input.
    pub input_size: [usize; 2],
    /// The part of the image that the model saw, in the image's pixels: left, top, width, height.
    pub seen: [f32; 4],
    /// How often the model ran.
    pub passes: Passes,
    /// Where the time went.
    pub timing: Timing,
}

/// The answer to "what is it?": the top classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The model's id.
    pub model: String,
    /// The top classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// How often the model ran.
    pub passes: Passes,
    /// Where the time went.
    pub timing: Timing,
}
