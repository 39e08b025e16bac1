//! The bytes and headers of an answer, ready to be sent or written to a file.
//!
//! JSON is written as openapi.yaml describes it; a picture or an array carries the same
//! facts in its headers. All of it happens on the worker's thread: fifty megapixels as
//! text take longer than the threads of the network may be held.

use std::io::Cursor;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ndarray::{Array, Array2, ArrayView2, Axis, Dimension};
use ndarray_npy::WriteNpyExt;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::error::{Error, Result};
use crate::explain::estimate::Confidence;
use crate::explain::options::Choice;
use crate::explain::{Explanation, Passes, Prediction, Predictions};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its media type.
    pub content_type: &'static str,
    /// Its body.
    pub body: Bytes,
    /// What its headers say besides: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// The model that was asked.
    pub model: String,
    /// How often it ran.
    pub passes: Passes,
}

/// The size of an image.
#[derive(Clone, Copy, Serialize)]
pub(super) struct ImageSize {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Serialize)]
pub(super) struct TimingMs {
    pub(super) decode: f64,
    pub(super) forward: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explain: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) render: Option<f64>,
}

impl TimingMs {
    /// To the microsecond: more digits would say nothing.
    fn rounded(self) -> Self {
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        let Self { decode, forward, explain, render } = self;
        Self {
            decode: round(decode),
            forward: round(forward),
            explain: explain.map(round),
            render: render.map(round),
        }
    }

    /// As the header `server-timing` has it.
    fn header(self) -> String {
        let Self { decode, forward, explain, render } = self.rounded();
        let parts =
            [("decode", Some(decode)), ("forward", Some(forward)), ("explain", explain), ("render", render)];
        let part = |(name, ms): (&str, Option<f64>)| ms.map(|ms| format!("{name};dur={ms}"));
        parts.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
    }
}

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
pub(super) const STRAIGHT_THROUGH: &str = "straight-through";

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
pub(super) fn explanation_json(
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
pub(super) fn explanations_json<'a>(
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
pub(super) fn partial_json(unfinished: &Explanation, done: usize, total: usize) -> Result<Bytes> {
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
pub(super) fn comparison_json(
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
pub(super) fn predictions_json(
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

/// A picture of one map or of several.
pub(super) fn picture(png: Vec<u8>, explanations: &[Explanation], timing: TimingMs) -> Answer {
    with_facts("image/png", png.into(), explanations, timing)
}

/// Maps as a NumPy file: float32, `[h, w]`, or of several classes `[K, h, w]`.
pub(super) fn array<D: Dimension>(
    maps: &Array<f32, D>,
    explanations: &[Explanation],
    timing: TimingMs,
) -> Result<Answer> {
    let mut file = Cursor::new(Vec::with_capacity(maps.len() * 4 + 128));
    maps.write_npy(&mut file).map_err(|error| Error::internal("writing a NumPy array", error))?;
    Ok(with_facts("application/x-npy", file.into_inner().into(), explanations, timing))
}

fn json(body: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(body).map_err(|error| Error::internal("writing JSON", error))?.into())
}

/// What is true of all explanations, and of several classes each one's own facts, in the order in which they were
/// asked for. Of several methods only what they share.
fn with_facts(
    content_type: &'static str,
    body: Bytes,
    explanations: &[Explanation],
    timing: TimingMs,
) -> Answer {
    let mut answer =
        Answer { content_type, body, facts: Vec::new(), model: String::new(), passes: Passes::default() };
    if let Some(first) = explanations.first() {
        let is_one_method = explanations.iter().all(|one| one.method == first.method);
        let classes = if is_one_method { explanations } else { &explanations[..1] };
        let each =
            |fact: &dyn Fn(&Explanation) -> String| classes.iter().map(fact).collect::<Vec<_>>().join(",");
        answer.model.clone_from(&first.model);
        answer.facts = vec![
            ("camlens-model", first.model.clone()),
            ("camlens-layer", first.layer.clone()),
            ("camlens-target", each(&|one| one.target.index.to_string())),
            ("camlens-probability", each(&|one| one.target.probability.to_string())),
        ];
        if let Some(contrast) = &first.contrast {
            answer.facts.push(("camlens-contrast", contrast.index.to_string()));
        }
        if first.signed {
            answer.facts.push(("camlens-signed", first.signed.to_string()));
        }
        if first.negate {
            answer.facts.push(("camlens-negate", first.negate.to_string()));
        }
        if is_one_method {
            answer.facts.push(("camlens-method", first.method.name().to_owned()));
            answer.facts.push(("camlens-empty", each(&|one| one.empty.to_string())));
            let correlation = |one: &Explanation| {
                one.confidence.map_or(String::new(), |estimate| format!("{:.4}", estimate.correlation))
            };
            if first.confidence.is_some() {
                answer.facts.push(("camlens-correlation", each(&correlation)));
            }
            if first.estimated {
                answer.facts.push(("camlens-gradient", STRAIGHT_THROUGH.to_owned()));
            }
        }
        answer.passes = passes(if is_one_method { &explanations[..1] } else { explanations });
    }
    answer.facts.push(("server-timing", timing.header()));
    answer
}

/// The passes of several methods. They share those of the image itself.
fn passes(methods: &[Explanation]) -> Passes {
    let sum = |count: fn(&Passes) -> usize| methods.iter().map(|one| count(&one.passes)).sum();
    Passes {
        forward: methods.iter().map(|one| one.passes.forward).max().unwrap_or(0),
        masked: sum(|passes| passes.masked),
        tail: sum(|passes| passes.tail),
        skipped: sum(|passes| passes.skipped),
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.facts {
            if let Ok(value) = HeaderValue::from_str(&percent_encoded(&value)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// A layer may have any name; a header takes visible ASCII.
fn percent_encoded(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    text.bytes()
        .map(|byte| match byte {
            b'!'..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_takes_any_name() {
        assert_eq!(percent_encoded("block5_conv3/Relu:0 100%"), "block5_conv3/Relu:0 100%");
        assert_eq!(percent_encoded("слой\n1%"), "%D1%81%D0%BB%D0%BE%D0%B9%0A1%25");
        assert!(HeaderValue::from_str(&percent_encoded("\u{0}\u{7f}é")).is_ok());
    }
}
