//! Options: lines `name=value`, given as a query, as JSON and as a form.

use axum::extract::Request;
use camlens::app::Operation;
use camlens::app::options::has_plus_signs;
use camlens::error::{Error, Kind};
use camlens::http::fuzzing::{Reading, native};
use serde_json::value::to_value;

use crate::request::{LIMIT_BYTES, check, request};

/// The largest number of options. More of them only repeat.
const MAX_OPTIONS: usize = 30;

/// The same names and texts are the same options, or the same refusal, wherever they are.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > 4096 || text.contains(['\0', '\u{feff}', '\r', '"', '\\', '%']) {
        // They have meanings of their own in forms and JSON.
        return;
    }
    let pairs: Vec<(&str, &str)> =
        text.lines().take(MAX_OPTIONS).filter_map(|line| line.split_once('=')).collect();
    // A query has plus signs where these have spaces at the end, and `image` is no option.
    let is_ambiguous = |(name, value): &(&str, &str)| {
        let ends_in_space = value.split(',').any(|name| name.ends_with(' '));
        *name == "image" || name.is_empty() || has_plus_signs(name) && ends_in_space
    };
    if pairs.iter().any(is_ambiguous) {
        return;
    }
    for operation in [Operation::Explain, Operation::Compare, Operation::Predict] {
        let results = [query, json, form].map(|write| {
            // Percent signs make three bytes of one.
            let read = |request| native(operation, request, LIMIT_BYTES);
            check(4 * bytes.len(), || write(&pairs), read).map(summary)
        });
        let given: Vec<_> = results.iter().flatten().collect();
        assert!(given.windows(2).all(|pair| pair[0] == pair[1]), "{results:#?}");
    }
}

/// The options, or what a refusal is about: a body's names are checked before its values, so the
/// first fault may be another one.
fn summary(result: Result<Reading, Error>) -> Result<String, Kind> {
    result.map(|reading| format!("{:?}", reading.options)).map_err(|error| error.kind())
}

fn query(pairs: &[(&str, &str)]) -> Option<Request> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    request(query.as_bytes(), &[("content-type", b"image/png")], b"image")
}

fn json(pairs: &[(&str, &str)]) -> Option<Request> {
    let member = |(name, value): &(&str, &str)| {
        let text = |text: &str| to_value(text).map(|value| value.to_string()).ok();
        Some(format!(",{}:{}", text(name)?, text(value)?))
    };
    let members = pairs.iter().map(member).collect::<Option<String>>()?;
    let body = format!("{{\"image\":\"aW1hZ2U=\"{members}}}");
    request(b"", &[("content-type", b"application/json")], body.as_bytes())
}

fn form(pairs: &[(&str, &str)]) -> Option<Request> {
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = pairs.iter().chain(&[("image", "image")]).map(part).collect();
    let headers: [(&str, &[u8]); 1] = [("content-type", b"multipart/form-data; boundary=b")];
    request(b"", &headers, format!("{parts}--b--\r\n").as_bytes())
}
