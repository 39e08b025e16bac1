//! JSON bodies, as `openapi.yaml` describes them.

use bytes::Bytes;
use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::facts::{STRAIGHT_THROUGH, all_warnings};
use super::{ExplainResponse, Facts, ImageSize, TimingMs};
use crate::error::{Error, Result};
use crate::explain::{Choice, Confidence, Explanation, Passes, Prediction, Predictions};
use crate::warning::Warning;

/// A map `[h, w]` as a list of rows.
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

/// What made the map: the first members of every body with one method.
#[derive(Serialize)]
struct Origin<'a> {
    model: &'a str,
    method: &'a str,
    convention: &'a str,
    layer: &'a str,
}

/// How the explained score differs from the target's.
#[derive(Serialize)]
struct ContrastFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    contrast: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    negate: bool,
}

/// The contrast, and the predictions for the image.
#[derive(Serialize)]
struct PredictionFields<'a> {
    #[serde(flatten)]
    contrast: ContrastFields<'a>,
    predictions: &'a [Prediction],
}

/// What the maps cost: the last members.
#[derive(Serialize)]
struct Cost {
    passes: Passes,
    timing_ms: TimingMs,
}

impl<'a> Origin<'a> {
    fn new(explanation: &'a Explanation) -> Self {
        let Explanation { model, method, convention, layer, .. } = explanation;
        Self { model, method: method.name(), convention: convention.name(), layer }
    }
}

impl<'a> ContrastFields<'a> {
    fn new(explanation: &'a Explanation) -> Self {
        Self { contrast: explanation.contrast.as_ref(), negate: explanation.negate }
    }
}

impl<'a> PredictionFields<'a> {
    fn new(explanation: &'a Explanation) -> Self {
        Self { contrast: ContrastFields::new(explanation), predictions: &explanation.predictions }
    }
}

impl Cost {
    fn new(explanation: &Explanation, timing: TimingMs) -> Self {
        Self { passes: explanation.passes, timing_ms: timing.rounded() }
    }
}

#[derive(Serialize)]
struct ExplanationBody<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    target: &'a Prediction,
    #[serde(flatten)]
    predictions: PredictionFields<'a>,
    heatmap: Heatmap<'a>,
    warnings: &'a [Warning],
    image: ImageSize,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Serialize)]
struct ExplanationsBody<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    #[serde(flatten)]
    predictions: PredictionFields<'a>,
    warnings: &'a [Warning],
    image: ImageSize,
    maps: Vec<ClassMap<'a>>,
    #[serde(flatten)]
    cost: Cost,
}

/// One class's part of a body with several.
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
    contrast: ContrastFields<'a>,
    heatmap: Heatmap<'a>,
}

#[derive(Serialize)]
struct ComparisonBody<'a> {
    model: &'a str,
    layer: &'a str,
    convention: &'a str,
    target: &'a Prediction,
    #[serde(flatten)]
    predictions: PredictionFields<'a>,
    warnings: &'a [Warning],
    image: ImageSize,
    maps: Maps<'a>,
    timing_ms: TimingMs,
}

/// One member per method, in the order of the request.
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
    warnings: &'a [Warning],
    image: ImageSize,
    timing_ms: TimingMs,
}

/// The body for one map `[h, w]`.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if writing JSON fails.
pub fn explanation(
    explanation: &Explanation,
    map: &Array2<f32>,
    image: ImageSize,
    timing: TimingMs,
) -> Result<ExplainResponse> {
    let body = json(&ExplanationBody {
        origin: Origin::new(explanation),
        target: &explanation.target,
        predictions: PredictionFields::new(explanation),
        heatmap: Heatmap::new(explanation, map),
        warnings: &explanation.warnings,
        image,
        cost: Cost::new(explanation, timing),
    })?;
    Ok(response(body, Facts::from_explanations(std::slice::from_ref(explanation)), timing))
}

/// The body for maps of several classes, each `[h, w]`.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if there is no map or writing JSON fails.
pub fn explanations<'a>(
    explanations: &'a [Explanation],
    maps: &'a [Array2<f32>],
    image: ImageSize,
    timing: TimingMs,
) -> Result<ExplainResponse> {
    let first =
        explanations.first().ok_or_else(|| Error::internal("writing maps", "there is none"))?;
    let of_class = |(one, map): (&'a Explanation, &'a Array2<f32>)| ClassMap {
        target: &one.target,
        heatmap: Heatmap::new(one, map),
    };
    let body = json(&ExplanationsBody {
        origin: Origin::new(first),
        predictions: PredictionFields::new(first),
        warnings: &all_warnings(explanations),
        image,
        maps: explanations.iter().zip(maps).map(of_class).collect(),
        cost: Cost::new(first, timing),
    })?;
    Ok(response(body, Facts::from_explanations(explanations), timing))
}

/// The body for an unfinished map, after `done` of `total` passes.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if writing JSON fails.
pub fn partial(unfinished: &Explanation, done: usize, total: usize) -> Result<Bytes> {
    json(&PartialBody {
        partial: true,
        method: unfinished.method.name(),
        done,
        total,
        target: &unfinished.target,
        contrast: ContrastFields::new(unfinished),
        heatmap: Heatmap::new(unfinished, &unfinished.map),
    })
}

/// The body for maps of several methods, each `[h, w]`.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if there is no map or writing JSON fails.
pub fn comparison(
    explanations: &[Explanation],
    maps: &[Array2<f32>],
    image: ImageSize,
    timing: TimingMs,
) -> Result<ExplainResponse> {
    let first = explanations
        .first()
        .ok_or_else(|| Error::internal("writing a comparison", "no method was run"))?;
    let body = json(&ComparisonBody {
        model: &first.model,
        layer: &first.layer,
        convention: first.convention.name(),
        target: &first.target,
        predictions: PredictionFields::new(first),
        warnings: &all_warnings(explanations),
        image,
        maps: Maps(explanations, maps),
        timing_ms: timing.rounded(),
    })?;
    Ok(response(body, Facts::from_explanations(explanations), timing))
}

/// The body for predictions.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if writing JSON fails.
pub fn predictions(
    predictions: Predictions,
    image: ImageSize,
    timing: TimingMs,
) -> Result<ExplainResponse> {
    let body = json(&PredictionsBody {
        model: &predictions.model,
        predictions: &predictions.predictions,
        warnings: &predictions.warnings,
        image,
        timing_ms: timing.rounded(),
    })?;
    let Predictions { model, passes, warnings, .. } = predictions;
    let facts = Facts { model, passes, maps: None, warnings };
    Ok(response(body, facts, timing))
}

fn response(body: Bytes, facts: Facts, timing: TimingMs) -> ExplainResponse {
    ExplainResponse { content_type: "application/json", body, facts, timing }
}

fn json(body: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(body).map_err(|error| Error::internal("writing JSON", error))?.into())
}
