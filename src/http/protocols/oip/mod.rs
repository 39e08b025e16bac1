//! The Open Inference Protocol v2 over HTTP, with Triton's extension for binary tensors.
//!
//! A model takes either images (`image`, BYTES) or its own input tensor (FP32). Its outputs are
//! `heatmap`, `target` and `probabilities` (`values` for a model of quantities), and `explanation`,
//! the JSON of `/v1/explain` as a text, which is what MLServer's explainers give. Options are the
//! request's `parameters`.

mod infer;
pub(in crate::http) mod request;
mod response;
mod tensor;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::batch;
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::graph::head::OutputActivation;
use crate::http::handlers::{health, models};
use crate::http::state::AppState;

pub(super) use infer::{infer, legacy_explain};

/// Every model has this one version.
const VERSION: &str = "1";

/// `{model}-explainer` names a model's explainer, as MLServer's explainers are models themselves.
const EXPLAINER: &str = "-explainer";

type Segments = Result<Path<HashMap<String, String>>, PathRejection>;

/// `GET /v2`.
pub(super) async fn server() -> Json<Value> {
    Json(json!({
        "name": "camlens",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    }))
}

/// `GET /v2/health/live`.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// `GET /v2/health/ready`: both members, because clients read either.
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> Result<Json<Value>> {
    health::check_ready(&state)?;
    Ok(Json(json!({ "ready": true, "live": true })))
}

/// `GET /v2/models`.
pub(super) async fn models(State(state): State<Arc<AppState>>) -> Json<Value> {
    Json(json!({ "models": models::names(&state) }))
}

/// `GET /v2/models/{id}`.
pub(super) async fn model(
    State(state): State<Arc<AppState>>,
    segments: Segments,
) -> Result<Json<Value>> {
    let Served { name, model, is_explainer } = served(&state, segments)?;
    let [first, second, third] = model.preprocess().shape();
    let outputs = if is_explainer {
        vec![json!({ "name": "explanation", "datatype": "BYTES", "shape": [-1, 1] })]
    } else {
        let (scores, classes) = (scores_name(&model), model.classes());
        vec![
            json!({ "name": "heatmap", "datatype": "FP32", "shape": [-1, -1, -1] }),
            json!({ "name": "target", "datatype": "INT64", "shape": [-1] }),
            json!({ "name": scores, "datatype": "FP32", "shape": [-1, classes] }),
            json!({ "name": "explanation", "datatype": "BYTES", "shape": [-1, 1] }),
        ]
    };
    Ok(Json(json!({
        "name": name,
        "versions": [VERSION],
        "platform": "onnx_onnxv1",
        "inputs": [
            { "name": "image", "datatype": "BYTES", "shape": [-1, 1] },
            {
                "name": model.input_name(),
                "datatype": "FP32",
                "shape": [-1, first, second, third],
            },
        ],
        "outputs": outputs,
    })))
}

/// `GET /v2/models/{id}/ready`.
pub(super) async fn model_ready(
    State(state): State<Arc<AppState>>,
    segments: Segments,
) -> Result<Json<Value>> {
    let Served { name, model, .. } = served(&state, segments)?;
    let detail = |error| {
        Error::new(Kind::NotReady, format!("Model with name {name} is not ready.")).caused_by(error)
    };
    model.check_files().map_err(detail)?;
    Ok(Json(json!({ "name": name, "ready": true })))
}

/// A model under the name by which it was requested.
struct Served {
    name: String,
    model: Arc<Model>,
    is_explainer: bool,
}

/// The model of a path.
fn served(state: &AppState, segments: Segments) -> Result<Served> {
    let Path(mut segments) = segments
        .map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    let name = segments.remove("id").unwrap_or_default();
    let version = segments.get("version").map_or(VERSION, String::as_str);
    let model = batch::model(state, Some(&name));
    let (model, is_explainer) = match (model, name.strip_suffix(EXPLAINER)) {
        (Err(error), Some(explained)) if error.kind() == Kind::UnknownModel => {
            (batch::model(state, Some(explained)).map_err(|_| error)?, true)
        }
        (model, _) => (model?, false),
    };
    if version != VERSION {
        let detail = format!("Model with name {name} has version {VERSION}, not {version}.");
        return Err(Error::new(Kind::UnknownModel, detail));
    }
    Ok(Served { name, model, is_explainer })
}

/// The name of the output that holds the scores of all classes.
fn scores_name(model: &Model) -> &'static str {
    match model.output_activation() {
        OutputActivation::Identity => "values",
        _ => "probabilities",
    }
}
