//! From an [`Error`] to RFC 9457 `application/problem+json`.
//!
//! Two steps. Where an error is returned it becomes a bare answer with its status and the
//! error as an extension; at the outermost layer, where the request's id and path are known,
//! [`write`] gives it its body. So there is one place that words problems, whoever refused.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::{Error, Kind};

/// What the problem's `type` begins with: the place on the documentation page that explains it.
pub const TYPE_PREFIX: &str = "/docs#problem-";

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<&'a str>,
    request_id: &'a str,
}

/// An error on its way to the outermost layer.
#[derive(Clone)]
pub(super) struct Refused(pub(super) Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = status(self.kind());
        let mut response = status.into_response();
        response.extensions_mut().insert(Refused(Arc::new(self)));
        response
    }
}

/// The problem as JSON.
pub(super) fn body(error: &Error, path: &str, request_id: &str) -> Vec<u8> {
    let row = error.kind().row();
    // What is ours to know alone stays out: the log has it under the request's id.
    let detail = (row.status != 500 && !error.detail().is_empty()).then(|| error.detail());
    let problem = Problem {
        r#type: format!("{TYPE_PREFIX}{}", row.slug),
        title: row.title,
        status: row.status,
        detail,
        instance: path,
        option: option(error),
        request_id,
    };
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// Writes the problem into an answer that carries an error.
pub(super) fn write(response: &mut Response, error: &Error, path: &str, request_id: &str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after_s) = retry_after_s(error.kind()) {
        headers.insert(RETRY_AFTER, HeaderValue::from(after_s));
    }
    headers.remove(axum::http::header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body(error, path, request_id));
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The option at fault; some kinds of error can have only one.
fn option(error: &Error) -> Option<&str> {
    error.option().or(match error.kind() {
        Kind::UnknownModel => Some("model"),
        Kind::UnknownClass => Some("target"),
        Kind::UnknownLayer => Some("layer"),
        _ => None,
    })
}

/// When it is worth asking again.
const fn retry_after_s(kind: Kind) -> Option<u16> {
    match kind {
        Kind::Busy => Some(1),
        Kind::NotReady => Some(2),
        // By then another instance answers at this address.
        Kind::Draining => Some(5),
        _ => None,
    }
}
