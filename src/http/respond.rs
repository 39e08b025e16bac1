//! Writes an [`ExplainResponse`] as HTTP: the body, and the facts in headers.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};

use super::extensions::ResponseFacts;
use super::response_headers::{
    CONTRAST, CORRELATION, EMPTY, GRADIENT, LAYER, METHOD, MODEL, NEGATE, PROBABILITY,
    SERVER_TIMING, SIGNED, TARGET, VALUE, WARNINGS,
};
use crate::app::ExplainResponse;
use crate::app::response::{EachMap, Facts, STRAIGHT_THROUGH, TargetFacts, TimingMs};

impl IntoResponse for ExplainResponse {
    fn into_response(self) -> Response {
        let facts = ResponseFacts::of(&self);
        let mut response = self.body.into_response();
        response.extensions_mut().insert(facts);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let mut pairs = fact_headers(&self.facts);
        pairs.push((SERVER_TIMING, server_timing(self.timing)));
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_str(&percent_encoded(&value)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// The facts as pairs of name and value. A header lists one value for each class, method or map.
fn fact_headers(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut headers = vec![(MODEL, facts.model.clone())];
    if !facts.warnings.is_empty() {
        let codes = facts.warnings.iter().map(|warning| warning.code.name());
        headers.push((WARNINGS, codes.collect::<Vec<_>>().join(",")));
    }
    let Some(maps) = &facts.maps else { return headers };
    headers.push((LAYER, maps.layer.clone()));
    headers.push((TARGET, joined(&maps.targets, |target| target.index.to_string())));
    for (name, of) in [
        (PROBABILITY, (|target| target.probability) as fn(&TargetFacts) -> Option<f32>),
        (VALUE, |target| target.value),
    ] {
        let values: Vec<String> =
            maps.targets.iter().filter_map(of).map(|value| value.to_string()).collect();
        if !values.is_empty() {
            headers.push((name, values.join(",")));
        }
    }
    if let Some(contrast) = maps.contrast {
        headers.push((CONTRAST, contrast.to_string()));
    }
    if maps.signed {
        headers.push((SIGNED, "true".to_owned()));
    }
    if maps.negate {
        headers.push((NEGATE, "true".to_owned()));
    }
    headers.push((METHOD, joined(&maps.methods, |method| method.name.to_owned())));
    headers.push((EMPTY, joined(&maps.each, |map| map.is_empty.to_string())));
    if maps.each.iter().any(|map| map.correlation.is_some()) {
        let of = |map: &EachMap| map.correlation.map(|value| format!("{value:.4}"));
        headers.push((CORRELATION, joined(&maps.each, |map| of(map).unwrap_or_default())));
    }
    if maps.methods.iter().any(|method| method.is_estimated) {
        headers.push((GRADIENT, STRAIGHT_THROUGH.to_owned()));
    }
    headers
}

fn joined<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The value of the header `server-timing`.
fn server_timing(timing: TimingMs) -> String {
    let stages = timing.rounded().stages().map(|(name, ms)| format!("{name};dur={ms}"));
    stages.collect::<Vec<_>>().join(", ")
}

/// A layer may have any name; a header holds visible ASCII.
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
    fn a_header_holds_any_name() {
        assert_eq!(percent_encoded("block5_conv3/Relu:0 100%"), "block5_conv3/Relu:0 100%");
        assert_eq!(percent_encoded("слой\n1%"), "%D1%81%D0%BB%D0%BE%D0%B9%0A1%25");
        assert!(HeaderValue::from_str(&percent_encoded("\u{0}\u{7f}é")).is_ok());
    }
}
