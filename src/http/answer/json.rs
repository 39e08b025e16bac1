//! Answers as JSON, as openapi.yaml describes them.

use bytes::Bytes;
use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Answer, ImageSize, TimingMs, with_facts};
use crate::error::{Error, Result};
use crate::explain::{Choice, Confidence, Explanation, Passes, Prediction, Predictions};

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
        Self {
            shape: [height, width],
            data: Rows(map.view()),
            max,
            empty,
            signed,
            gradient,
            estimate,
        }
    }
}

/// What was asked, by the names that answers use: the first members of every map's answer.
#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    method: &'a str,
    convention: &'a str,
    layer: &'a str,
}

/// What a map is about besides its class.
#[derive(Serialize)]
struct Against<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    contrast: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    negate: bool,
}

/// The same, and what is said of the image besides its maps.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    against: Against<'a>,
    predictions: &'a [Prediction],
}

/// What an answer took: its last members.
#[derive(Serialize)]
struct Took {
    passes: Passes,
    timing_ms: TimingMs,
}

impl<'a> Asked<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        let Explanation { model, method, convention, layer, .. } = explanation;
        Self { model, method: method.name(), convention: convention.name(), layer }
    }
}

impl<'a> Against<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        Self { contrast: explanation.contrast.as_ref(), negate: explanation.negate }
    }
}

impl<'a> Said<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        Self { against: Against::of(explanation), predictions: &explanation.predictions }
    }
}

impl Took {
    fn of(explanation: &Explanation, timing: TimingMs) -> Self {
        Self { passes: explanation.passes, timing_ms: timing.rounded() }
    }
}

#[derive(Serialize)]
struct ExplanationBody<'a> {
    #[serde(flatten)]
    asked: Asked<'a>,
    target: &'a Prediction,
    #[serde(flatten)]
    said: Said<'a>,
    heatmap: Heatmap<'a>,
    image: ImageSize,
    #[serde(flatten)]
    took: Took,
}

#[derive(Serialize)]
struct ExplanationsBody<'a> {
    #[serde(flatten)]
    asked: Asked<'a>,
    #[serde(flatten)]
    said: Said<'a>,
    image: ImageSize,
    maps: Vec<ClassMap<'a>>,
    #[serde(flatten)]
    took: Took,
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
    #[serde(flatten)]
    against: Against<'a>,
    heatmap: Heatmap<'a>,
}

#[derive(Serialize)]
struct ComparisonBody<'a> {
    model: &'a str,
    layer: &'a str,
    convention: &'a str,
    target: &'a Prediction,
    #[serde(flatten)]
    said: Said<'a>,
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
        asked: Asked::of(explanation),
        target: &explanation.target,
        said: Said::of(explanation),
        heatmap: Heatmap::new(explanation, map),
        image,
        took: Took::of(explanation, timing),
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
    let first =
        explanations.first().ok_or_else(|| Error::internal("writing maps", "there is none"))?;
    let of_class = |(one, map): (&'a Explanation, &'a Array2<f32>)| ClassMap {
        target: &one.target,
        heatmap: Heatmap::new(one, map),
    };
    let body = json(&ExplanationsBody {
        asked: Asked::of(first),
        said: Said::of(first),
        image,
        maps: explanations.iter().zip(maps).map(of_class).collect(),
        took: Took::of(first, timing),
    })?;
    Ok(with_facts("application/json", body, explanations, timing))
}

/// A map that is not finished, after `done` passes of `total`.
pub(in crate::http) fn partial_json(
    unfinished: &Explanation,
    done: usize,
    total: usize,
) -> Result<Bytes> {
    json(&PartialBody {
        partial: true,
        method: unfinished.method.name(),
        done,
        total,
        target: &unfinished.target,
        against: Against::of(unfinished),
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
    let first = explanations
        .first()
        .ok_or_else(|| Error::internal("writing a comparison", "no method was run"))?;
    let body = json(&ComparisonBody {
        model: &first.model,
        layer: &first.layer,
        convention: first.convention.name(),
        target: &first.target,
        said: Said::of(first),
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
        facts: vec![
            ("camlens-model", predictions.model.clone()),
            ("server-timing", timing.header()),
        ],
        model: predictions.model,
        passes: predictions.passes,
    })
}

fn json(body: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(body).map_err(|error| Error::internal("writing JSON", error))?.into())
}
