//! The header `traceparent`, and a line with `tracestate`.

use axum::http::{HeaderMap, HeaderValue};
use camlens::http::fuzzing::client_span;

use crate::memory;
use crate::request::line;

/// A trace is continued if and only if the header is valid by W3C Trace Context, section 3.2, with
/// the ids that stand in it. An invalid `tracestate` changes nothing.
pub fn run(bytes: &[u8]) {
    let (parent, state) = line(bytes);
    let mut headers = HeaderMap::new();
    for (name, value) in [("traceparent", parent), ("tracestate", state)] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.insert(name, value);
    }
    let found = memory::within(16 * bytes.len() + (16 << 10), || client_span(&headers));
    assert_eq!(found, ids(parent), "{}", String::from_utf8_lossy(parent));
}

/// The ids of the trace and of the parent in a valid header.
fn ids(header: &[u8]) -> Option<[String; 2]> {
    let text = std::str::from_utf8(header).ok()?;
    let is_hexadecimal =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let fields: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, ..] = fields[..] else { return None };
    let has_length = [(version, 2), (trace, 32), (parent, 16), (flags, 2)]
        .iter()
        .all(|(field, length)| field.len() == *length && is_hexadecimal(field));
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    // Later versions may append fields.
    let is_known = version != "ff" && (version != "00" || fields.len() == 4);
    (has_length && is_known && !is_zero(trace) && !is_zero(parent))
        .then(|| [trace.to_owned(), parent.to_owned()])
}
