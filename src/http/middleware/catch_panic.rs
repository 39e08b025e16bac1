//! A handler that panics becomes a 500 with its own log line, not a dropped connection.

use std::any::Any;

use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::Error;

/// The layer.
pub(super) fn layer() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response> {
    CatchPanicLayer::custom(respond)
}

fn respond(payload: Box<dyn Any + Send>) -> Response {
    let message = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
    Error::internal("a handler panicked", message.unwrap_or_default()).into_response()
}
