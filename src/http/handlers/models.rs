//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::describe;
use crate::engine::Status;
use crate::error::{Error, Kind, Result};
use crate::http::state::AppState;

/// One line of the list.
#[derive(Serialize)]
pub(super) struct Summary {
    id: String,
    ready: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every model with its status.
pub(super) fn summaries(state: &AppState) -> Vec<Summary> {
    let summary = |(id, status): (String, Status)| {
        let (ready, status, error) = match status {
            Status::Ready(_) => (true, "ready", None),
            Status::Loading => (false, "loading", None),
            Status::Failed(error) => (false, "failed", Some(reason(&error, &id))),
        };
        Summary { id, ready, status, error }
    };
    state.models.list().into_iter().map(summary).collect()
}

/// Why a model failed to load. Its files are named relative to the models folder, whose own path is
/// not sent.
fn reason(error: &Error, id: &str) -> String {
    let detail = error.detail();
    let Some(path) = error.path() else { return detail.to_owned() };
    let in_folder: PathBuf = path.iter().skip_while(|part| *part != id).collect();
    match in_folder.as_os_str().is_empty() {
        true => detail.to_owned(),
        false => format!("{}: {detail}", in_folder.display()),
    }
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
) -> Result<Json<Value>> {
    let Path(id) =
        id.map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    let mut description = describe(&*state.model(Some(&id))?);
    // KServe's clients compare it with the name that they asked for.
    description["name"] = json!(id);
    Ok(Json(description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_relative_to_the_models_folder() {
        let error = |path: &str| Error::new(Kind::Setup, "no file").at_path(path);
        assert_eq!(reason(&error("/srv/models/a/model.onnx"), "a"), "a/model.onnx: no file");
        assert_eq!(reason(&error("a/model.toml"), "a"), "a/model.toml: no file");
        assert_eq!(reason(&error("/srv/libonnxruntime.so"), "a"), "no file");
        assert_eq!(reason(&Error::new(Kind::Setup, "line 1"), "a"), "line 1");
    }
}
