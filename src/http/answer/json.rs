//! Answers as JSON, as openapi.yaml describes them.

use bytes::Bytes;
use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Answer, ImageSize, TimingMs, with_facts};
use crate::error::{Error, Result};
use crate::explain::estimate::Confidence;
use crate::explain::options::Choice;
use crate::explain::{Explanation, Passes, Prediction, Predictions};

/// A map as JSON has it: rows of numbers.
struct Rows<'a>(ArrayView2<'a, f32>);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.axis_iter(Axis(0)).map(|row| row.to_vec()))
    }
}

#[derive(Serialize)]
struct Heatmap<'a> {
    shape: [usize; 2],
    data: Rows<'a>,
    max: f32,
    empty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradient: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Confidence>,
}

/// What an answer calls a gradient that is none.
pub(in crate::http) const STRAIGHT_THROUGH: &str = "straight-through";

impl<'a> Heatmap<'a> {
    fn new(explanation: &Explanation, map: &'a Array2<f32>) -> Self {
        let (height, width) = map.dim();
        let Explanation { max, empty, signed, estimated, confidence: estimate, .. } = *explanation;
        let gradient = estimated.then_some(STRAIGHT_THROUGH);
        Self { shape: [height, width], data: Rows(map.view()), max, empty, signed, gradient, estimate }
    }
}

#[derive(Serialize)]
struct ExplanationBody<'a> {
    model: &'a str,
    method: &'a str,
    convention: &'a str,
    layer: &'a str,
    target: &'a Prediction,
    #[serde(skip_serializing_if = "Option::is_none")]
    contrast: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    negate: bool,
    predictions: &'a [Prediction],
    heatmap: Heatmap<'a>,
    image: ImageSize,
    passes: Passes,
    timing_ms: TimingMs,
}

#[derive(Serialize)]
struct ExplanationsBody<'a> {
    model: &'a str,
    method: &'a str,
    convention: &'a str,
    layer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contrast: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    negate: bool,
    predictions: &'a [Prediction],
    image: ImageSize,
    maps: Vec<ClassMap<'a>>,
    passes: Passes,
    timing_ms: TimingMs,
}

/// One class's part of an answer about several.
#[derive(Serialize)]
struct ClassMap<'a> {
    target: &'a Prediction,
    heatmap: Heatmap<'a>,
}

#[derive(Serialize)]
struct PartialBody<'a> {
    partial: bool,
    method: &'a str,
    done: usize,
    total: usize,
    target: &'a Prediction,
    heatmap: Heatmap<'a>,
}

#[derive(Serialize)]
struct ComparisonBody<'a> {
    model: &'a str,
    layer: &'a str,
    convention: &'a str,
    target: &'a Prediction,
    #[serde(skip_serializing_if = "Option::is_none")]
    contrast: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    negate: bool,
    predictions: &'a [Prediction],
    image: ImageSize,
    maps: Maps<'a>,
    timing_ms: TimingMs,
}

/// One member a method, in the order in which they were asked for.
struct Maps<'a>(&'a [Explanation], &'a [Array2<f32>]);

#[derive(Serialize)]
struct ComparedMap<'a> {
    convention: &'a str,
    heatmap: Heatmap<'a>,
    passes: Passes,
}

impl Serialize for Maps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.0.len()))?;
        for (explanation, map) in self.0.iter().zip(self.1) {
            let member = ComparedMap {
                convention: explanation.convention.name(),
                heatmap: Heatmap::new(explanation, map),
                passes: explanation.passes,
            };
            members.serialize_entry(explanation.method.name(), &member)?;
        }
        members.end()
    }
}

#[derive(Serialize)]
struct PredictionsBody<'a> {
    model: &'a str,
    predictions: &'a [Prediction],
    image: ImageSize,
    timing_ms: TimingMs,
}

/// One map, as JSON.
pub(in crate::http) fn explanation_json(
    explanation: &Explanation,
    map: &Array2<f32>,
    image: ImageSize,
    timing: TimingMs,
) -> Result<Answer> {
    let body = json(&ExplanationBody {
        model: &explanation.model,
        method: explanation.method.name(),
        convention: explanation.convention.name(),
        layer: &explanation.layer,
        target: &explanation.target,
        contrast: explanation.contrast.as_ref(),
        negate: explanation.negate,
        predictions: &explanation.predictions,
        heatmap: Heatmap::new(explanation, map),
        image,
        passes: explanation.passes,
        timing_ms: timing.rounded(),
    })?;
    Ok(with_facts("application/json", body, std::slice::from_ref(explanation), timing))
}

/// The maps of several classes, as JSON. There is at least one.
pub(in crate::http) fn explanations_json<'a>(
    explanations: &'a [Explanation],
    maps: &'a [Array2<f32>],
    image: ImageSize,
    timing: TimingMs,
) -> Result<Answer> {
    let first = explanations.first().ok_or_else(|| Error::internal("writing maps", "there is none"))?;
    let of_class = |(one, map): (&'a Explanation, &'a Array2<f32>)| ClassMap {
        target: &one.target,
        heatmap: Heatmap::new(one, map),
    };
    let body = json(&ExplanationsBody {
        model: &first.model,
        method: first.method.name(),
        convention: first.convention.name(),
        layer: &first.layer,
        contrast: first.contrast.as_ref(),
        negate: first.negate,
        predictions: &first.predictions,
        image,
        maps: explanations.iter().zip(maps).map(of_class).collect(),
        passes: first.passes,
        timing_ms: timing.rounded(),
    })?;
    Ok(with_facts("application/json", body, explanations, timing))
}

/// A map that is not finished, after `done` passes of `total`.
pub(in crate::http) fn partial_json(unfinished: &Explanation, done: usize, total: usize) -> Result<Bytes> {
    json(&PartialBody {
        partial: true,
        method: unfinished.method.name(),
        done,
        total,
        target: &unfinished.target,
        heatmap: Heatmap::new(unfinished, &unfinished.map),
    })
}

/// Several maps, as JSON. There is at least one.
pub(in crate::http) fn comparison_json(
    explanations: &[Explanation],
    maps: &[Array2<f32>],
    image: ImageSize,
    timing: TimingMs,
) -> Result<Answer> {
    let first =
        explanations.first().ok_or_else(|| Error::internal("writing a comparison", "no method was run"))?;
    let body = json(&ComparisonBody {
        model: &first.model,
        layer: &first.layer,
        convention: first.convention.name(),
        target: &first.target,
        contrast: first.contrast.as_ref(),
        negate: first.negate,
        predictions: &first.predictions,
        image,
        maps: Maps(explanations, maps),
        timing_ms: timing.rounded(),
    })?;
    Ok(with_facts("application/json", body, explanations, timing))
}

/// Predictions, as JSON.
pub(in crate::http) fn predictions_json(
    predictions: Predictions,
    image: ImageSize,
    timing: TimingMs,
) -> Result<Answer> {
    let body = json(&PredictionsBody {
        model: &predictions.model,
        predictions: &predictions.predictions,
        image,
        timing_ms: timing.rounded(),
    })?;
    Ok(Answer {
        content_type: "application/json",
        body,
        facts: vec![("camlens-model", predictions.model.clone()), ("server-timing", timing.header())],
        model: predictions.model,
        passes: predictions.passes,
    })
}

fn json(body: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(body).map_err(|error| Error::internal("writing JSON", error))?.into())
}
