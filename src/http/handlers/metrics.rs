//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::error::Result;
use crate::http::state::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// Metrics in Prometheus' text format.
pub(in crate::http) async fn metrics(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
) -> Result<Response> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let content_type = if accept.contains(OPEN_METRICS) {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        // The same text is valid in the older format, which takes OpenMetrics' additions for
        // comments.
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let text = state.metrics.text(&state.models, &state.admission)?;
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}
