//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::describe;
use crate::engine::{Status, failure};
use crate::error::{Error, Kind, Result};
use crate::http::allowed_methods::{has_verb, not_allowed};
use crate::http::state::AppState;

/// One line of the list.
#[derive(Serialize)]
pub(super) struct Summary {
    id: String,
    ready: bool,
    status: &'static str,
    /// From the manifest of a loaded model, as the next three.
    title: Option<String>,
    description: Option<String>,
    domain: Option<String>,
    notice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every model with its status.
pub(super) fn summaries(state: &AppState) -> Vec<Summary> {
    let summary = |(id, status): (String, Status)| {
        let (name, error) = match &status {
            Status::Ready(model) => match model.check_files() {
                Ok(()) => ("ready", state.models.problem(&id)),
                Err(error) => ("failed", Some(Arc::new(error))),
            },
            Status::Loading => ("loading", None),
            Status::Failed(error) => ("failed", Some(error.clone())),
        };
        let manifest = match &status {
            Status::Ready(model) => Some(&model.folder().manifest),
            Status::Loading | Status::Failed(_) => None,
        };
        Summary {
            ready: name == "ready",
            status: name,
            title: manifest.and_then(|manifest| manifest.title.clone()),
            description: manifest.and_then(|manifest| manifest.description.clone()),
            domain: manifest.and_then(|manifest| manifest.domain.clone()),
            notice: manifest.and_then(|manifest| manifest.notice.clone()),
            error: error.map(|error| failure(&error, &id)),
            id,
        }
    };
    state.models.list().into_iter().map(summary).collect()
}

/// The names by which models can be requested.
pub(in crate::http) fn names(state: &AppState) -> Vec<String> {
    let mut names: Vec<String> = state.models.list().into_iter().map(|(id, _)| id).collect();
    let other = state.server.model_name.iter().filter(|name| !names.contains(name)).cloned();
    names.extend(other.collect::<Vec<_>>());
    names
}

/// All models: first their names, as KServe's clients read them, then what is known about each.
pub(in crate::http) async fn list(State(state): State<Arc<AppState>>) -> Json<Value> {
    Json(json!({
        "models": names(&state),
        "default": state.models.default_id(),
        "details": summaries(&state),
    }))
}

/// One model's description.
pub(in crate::http) async fn one(
    State(state): State<Arc<AppState>>,
    id: Result<Path<String>, PathRejection>,
    method: Method,
    uri: Uri,
) -> Result<Json<Value>> {
    let Path(id) =
        id.map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    if has_verb(&id) {
        return Err(not_allowed(&method, uri.path()));
    }
    let mut description = describe(&*state.model(Some(&id))?);
    // KServe's clients compare it with the name that they asked for.
    description["name"] = json!(id);
    if let Some(error) = state.models.problem(&id) {
        description["reload_error"] = failure(&error, &id).into();
    }
    Ok(Json(description))
}
