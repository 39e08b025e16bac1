//! `GET /health/live` and `GET /health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::models::summaries;
use crate::engine::Status;
use crate::error::{Error, Kind, Result};

/// The process answers. No model is touched.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Work is taken: nothing loads any more, the default model answers, nobody shuts us down.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>> {
    if app.admission.is_draining() {
        return Err(Error::new(Kind::Draining, "the service is shutting down"));
    }
    if let Some((id, _)) =
        app.models.list().iter().find(|(_, status)| matches!(status, Status::Loading))
    {
        return Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")));
    }
    app.models.get(None)?;
    Ok(Json(json!({ "status": "ready", "models": summaries(&app) })))
}
