//! Every request has an id: the client's `x-request-id` if it is valid, else a new one.

use axum::extract::Request;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::extensions::RequestId;
use crate::http::response_headers;

const REQUEST_ID: HeaderName = HeaderName::from_static(response_headers::REQUEST_ID);

/// Sets the id in the request's extensions and in the response's headers.
pub(super) async fn set(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    // An id consists of characters that a header may hold.
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("invalid"));
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

/// The client's id if it can be logged and sent back unchanged, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_valid = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_valid);
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}
