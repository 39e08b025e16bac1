//! Converts an [`Error`] to RFC 9457 `application/problem+json`.
//!
//! [`problem_type`] is the table of statuses, types and titles. A handler's error becomes an empty
//! response with its status that carries the error; the layer `middleware/problems.rs`, which knows
//! the request's id and path, writes the body. So the text of every problem is written here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::allowed_methods::allow;
use super::extensions::{ErrorExtension, RequestId};
use crate::error::{Error, Kind};
use crate::text::shortened;

/// The start of a problem's `type`: the section of the documentation page that explains it.
pub const TYPE_PREFIX: &str = "/docs#problem-";

/// How one [`Kind`] looks over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct ProblemType {
    /// The HTTP status.
    pub status: StatusCode,
    /// The last part of the problem's `type`, stable for programs.
    pub slug: &'static str,
    /// The problem's `title`, the same for every problem of the type.
    pub title: &'static str,
}

/// nginx's "client closed request": logged and counted, never received.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The table of statuses, problem types and titles.
#[must_use]
pub fn problem_type(kind: Kind) -> ProblemType {
    use StatusCode as S;
    let (status, title) = match kind {
        Kind::Malformed => (S::BAD_REQUEST, "The request could not be read"),
        Kind::Option => (S::BAD_REQUEST, "An option is not valid"),
        Kind::NotFound => (S::NOT_FOUND, "There is nothing at this path"),
        Kind::Unauthorized => (S::UNAUTHORIZED, "An API key is needed"),
        Kind::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "The path does not take this method"),
        Kind::UnknownModel => (S::NOT_FOUND, "There is no such model"),
        Kind::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The request body is too large"),
        Kind::ImageTooLarge => (S::PAYLOAD_TOO_LARGE, "The image has too many pixels"),
        Kind::UnsupportedEncoding => {
            (S::UNSUPPORTED_MEDIA_TYPE, "The body's encoding is not accepted")
        }
        Kind::UnsupportedImage => (S::UNSUPPORTED_MEDIA_TYPE, "The image type is not accepted"),
        Kind::CorruptImage => (S::UNPROCESSABLE_ENTITY, "The image could not be decoded"),
        Kind::UnknownClass => (S::UNPROCESSABLE_ENTITY, "The model has no such class"),
        Kind::UnknownLayer => (S::UNPROCESSABLE_ENTITY, "The model has no such layer"),
        Kind::Impossible => (S::UNPROCESSABLE_ENTITY, "The model does not allow this explanation"),
        Kind::NotANumber => (S::UNPROCESSABLE_ENTITY, "The model's scores are not finite"),
        Kind::HeadTooLarge => {
            (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large")
        }
        Kind::UriTooLong => (S::URI_TOO_LONG, "The request's path is too long"),
        Kind::UnknownExpectation => (S::EXPECTATION_FAILED, "The expectation can't be met"),
        Kind::OverBudget => (S::PAYLOAD_TOO_LARGE, "The request needs too much memory"),
        Kind::Busy => (S::SERVICE_UNAVAILABLE, "The service is busy"),
        Kind::Draining => (S::SERVICE_UNAVAILABLE, "The service is shutting down"),
        Kind::NotReady => (S::SERVICE_UNAVAILABLE, "The model is not ready"),
        Kind::ModelFailed => (S::FAILED_DEPENDENCY, "The model could not be loaded"),
        Kind::SlowRequest => (S::REQUEST_TIMEOUT, "The request arrived too slowly"),
        Kind::Deadline => (S::GATEWAY_TIMEOUT, "The request took too long"),
        Kind::Cancelled => {
            let status = S::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(S::BAD_REQUEST);
            (status, "The client disconnected")
        }
        Kind::Setup => (S::INTERNAL_SERVER_ERROR, "The service is not set up correctly"),
        Kind::Internal => (S::INTERNAL_SERVER_ERROR, "Internal error"),
    };
    ProblemType { status, slug: kind.slug(), title }
}

/// The status of an error.
pub(super) fn status(error: &Error) -> StatusCode {
    problem_type(error.kind()).status
}

/// What a problem says about its request.
pub(super) struct ProblemContext {
    path: String,
    request_id: String,
}

impl ProblemContext {
    pub(super) fn new(request: &Request) -> Self {
        let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
        Self {
            path: shortened(request.uri().path()).into_owned(),
            request_id: id.unwrap_or_default(),
        }
    }

    /// The path of the request.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The id of the request.
    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<&'a str>,
    request_id: &'a str,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = status(&self).into_response();
        response.extensions_mut().insert(ErrorExtension(Arc::new(self)));
        response
    }
}

/// The problem as JSON.
pub(super) fn body(error: &Error, context: &ProblemContext) -> Vec<u8> {
    let ProblemType { status, slug, title } = problem_type(error.kind());
    let problem = Problem {
        r#type: format!("{TYPE_PREFIX}{slug}"),
        title,
        status: status.as_u16(),
        detail: detail(error),
        instance: &context.path,
        option: option(error),
        request_id: &context.request_id,
    };
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// The problem as a whole HTTP/1 response that ends its connection, for an error that occurs before
/// there is a request.
pub(super) fn raw_response(error: &Error) -> Vec<u8> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let context = ProblemContext { path: String::new(), request_id };
    let body = body(error, &context);
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         connection: close\r\nx-request-id: {}\r\ncontent-length: {}\r\n\r\n",
        status(error),
        context.request_id,
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Writes the problem into a response that reports an error.
pub(super) fn write(response: &mut Response, error: &Error, context: &ProblemContext) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after_s) = error.retry_s().or(retry_after_s(error.kind())) {
        headers.insert(RETRY_AFTER, HeaderValue::from(after_s));
    }
    // RFC 9110, 12.5.3: such a 415 says which encodings would do.
    if error.kind() == Kind::UnsupportedEncoding {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    // RFC 9110, 15.5.9: the rest of the request is not waited for.
    if error.kind() == Kind::SlowRequest {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // RFC 9110, 15.5.2: a 401 says how to authenticate.
    if error.kind() == Kind::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"camlens\""));
    }
    // RFC 9110, 15.5.6: a 405 says which methods would do. The router says so for most paths.
    if error.kind() == Kind::MethodNotAllowed
        && let Some(methods) = allow(&context.path)
    {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    headers.remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(body(error, context));
}

/// The message that the client receives. An internal error has none: its details are in the log,
/// under the request's id. The message never contains the path of a file on this machine.
pub(super) fn detail(error: &Error) -> Option<String> {
    let detail = error.detail();
    if status(error) == StatusCode::INTERNAL_SERVER_ERROR || detail.is_empty() {
        return None;
    }
    Some(match (error.kind(), error.model()) {
        (Kind::UnknownLayer, Some(id)) => format!("{detail}; GET /v1/models/{id} lists all"),
        _ => detail.to_owned(),
    })
}

/// The message for protocols whose errors are one sentence.
pub(super) fn message(error: &Error) -> String {
    detail(error).unwrap_or_else(|| problem_type(error.kind()).title.to_owned())
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

/// When it is worth trying again.
const fn retry_after_s(kind: Kind) -> Option<u16> {
    match kind {
        Kind::Busy => Some(1),
        Kind::NotReady => Some(2),
        // By then another instance listens at this address.
        Kind::Draining => Some(5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn problem_types_are_distinct() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| problem_type(*kind).slug).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn a_path_on_disk_and_a_fault_of_ours_are_not_sent() {
        let error = Error::new(Kind::NotReady, "not an ONNX model").at_path("/srv/models/a.onnx");
        assert_eq!(detail(&error).as_deref(), Some("not an ONNX model"));
        assert_eq!(detail(&Error::internal("adding", "overflow")), None);
    }
}
