//! `GET /health/live` and `GET /health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::models::summaries;
use crate::engine::Status;
use crate::error::{Error, Kind, Result};
use crate::http::state::AppState;

/// The process responds. No model is touched.
pub(in crate::http) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The service accepts work: no model is loading, the default model is ready, no shutdown.
pub(in crate::http) async fn ready(State(state): State<Arc<AppState>>) -> Result<Json<Value>> {
    check_ready(&state)?;
    Ok(Json(json!({ "status": "ready", "models": summaries(&state) })))
}

/// Whether the service accepts work.
///
/// # Errors
/// [`Kind::Draining`] or [`Kind::NotReady`].
pub(in crate::http) fn check_ready(state: &AppState) -> Result<()> {
    if state.admission.is_draining() {
        return Err(Error::new(Kind::Draining, "the service is shutting down"));
    }
    if let Some((id, _)) =
        state.models.list().iter().find(|(_, status)| matches!(status, Status::Loading))
    {
        return Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")));
    }
    state.models.get(None).map(drop)
}
