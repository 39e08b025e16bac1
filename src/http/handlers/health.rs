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
    if state.is_stopping() || state.admission.is_draining() {
        return Err(Error::new(Kind::Draining, "the service is shutting down"));
    }
    if let Some((id, _)) =
        state.models.list().iter().find(|(_, status)| matches!(status, Status::Loading))
    {
        return Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")));
    }
    // Whatever is wrong with the default model, readiness is 503.
    let default = state.models.get(None);
    default
        .map(drop)
        .map_err(|error| Error::new(Kind::NotReady, error.detail().to_owned()).caused_by(error))
}
