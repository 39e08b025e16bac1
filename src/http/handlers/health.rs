//! `GET /health/live` and `GET /health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::models::summaries;
use crate::error::{Error, Kind, Result};
use crate::http::state::AppState;

/// The process responds. No model is touched.
pub(in crate::http) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The service accepts work: the default model is ready and its files are what was loaded, and no
/// shutdown has begun. Other models may still be loading.
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
    // Whatever is wrong with the default model, readiness is 503.
    let default = state.models.get(None).and_then(|model| model.check_files());
    default.map_err(|error| Error::new(Kind::NotReady, error.detail().to_owned()).caused_by(error))
}
