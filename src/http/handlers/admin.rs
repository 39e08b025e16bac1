//! `POST /v1/models/reload`, `/v1/models/{id}/load` and `/v1/models/{id}/unload`: models that
//! changed on disk, without a restart. They exist only where `server.admin` is set.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::engine::{ModelRegistry, ReloadReport, failure};
use crate::error::{Error, Kind, Result};
use crate::http::state::AppState;

type Id = Result<Path<String>, PathRejection>;

/// Takes in what changed in the models folder.
pub(in crate::http) async fn reload(State(state): State<Arc<AppState>>) -> Result<Json<Value>> {
    let report = with_models(state, ModelRegistry::reload).await?;
    let ReloadReport { loaded, unchanged, removed, failed } = report;
    let failed: Vec<Value> = failed
        .into_iter()
        .map(|(id, error)| json!({ "error": failure(&error, &id), "id": id }))
        .collect();
    Ok(Json(json!({
        "loaded": loaded, "unchanged": unchanged, "removed": removed, "failed": failed
    })))
}

/// Loads a model, changed or not.
pub(in crate::http) async fn load(
    State(state): State<Arc<AppState>>,
    id: Id,
) -> Result<Json<Value>> {
    let id = text(id)?;
    let outcome = json!({ "id": id, "status": "ready" });
    with_models(state, move |models| models.load(&id)).await?;
    Ok(Json(outcome))
}

/// Stops serving a model.
pub(in crate::http) async fn unload(
    State(state): State<Arc<AppState>>,
    id: Id,
) -> Result<Json<Value>> {
    let id = text(id)?;
    let outcome = json!({ "id": id, "status": "unloaded" });
    with_models(state, move |models| models.unload(&id)).await?;
    Ok(Json(outcome))
}

fn text(id: Id) -> Result<String> {
    let malformed = |error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error);
    id.map(|Path(id)| id).map_err(malformed)
}

/// Asks the loader on a thread that may wait for it.
async fn with_models<T: Send + 'static>(
    state: Arc<AppState>,
    ask: impl FnOnce(&ModelRegistry) -> Result<T> + Send + 'static,
) -> Result<T> {
    if !state.server.admin {
        let detail = "this service takes no changes of its models; server.admin allows them";
        return Err(Error::new(Kind::NotFound, detail));
    }
    let asked = tokio::task::spawn_blocking(move || ask(&state.models)).await;
    asked.map_err(|error| Error::internal("asking the loader", error))?
}
