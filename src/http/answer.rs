//! The bytes and headers of an answer, ready to be sent or written to a file.
//!
//! JSON is written as openapi.yaml describes it; a picture or an array carries the same
//! facts in its headers. All of it happens on the worker's thread: fifty megapixels as
//! text take longer than the threads of the network may be held.

mod json;

use std::io::Cursor;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ndarray::{Array, Dimension};
use ndarray_npy::WriteNpyExt;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::explain::{Choice, Explanation, Passes};
pub(super) use json::{
    STRAIGHT_THROUGH, comparison_json, explanation_json, explanations_json, partial_json,
    predictions_json,
};

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
        let parts = [
            ("decode", Some(decode)),
            ("forward", Some(forward)),
            ("explain", explain),
            ("render", render),
        ];
        let part = |(name, ms): (&str, Option<f64>)| ms.map(|ms| format!("{name};dur={ms}"));
        parts.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
    }
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

/// What is true of all explanations, and of several classes each one's own facts, in the order in
/// which they were asked for. Of several methods only what they share.
fn with_facts(
    content_type: &'static str,
    body: Bytes,
    explanations: &[Explanation],
    timing: TimingMs,
) -> Answer {
    let mut answer = Answer {
        content_type,
        body,
        facts: Vec::new(),
        model: String::new(),
        passes: Passes::default(),
    };
    if let Some(first) = explanations.first() {
        let is_one_method = explanations.iter().all(|one| one.method == first.method);
        let classes = if is_one_method { explanations } else { &explanations[..1] };
        let each = |fact: &dyn Fn(&Explanation) -> String| {
            classes.iter().map(fact).collect::<Vec<_>>().join(",")
        };
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
                one.confidence
                    .map_or(String::new(), |estimate| format!("{:.4}", estimate.correlation))
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
