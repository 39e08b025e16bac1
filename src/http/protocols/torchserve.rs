//! TorchServe: `/predictions/{model}`, `/explanations/{model}` and `/ping`.
//!
//! A prediction is `{"label": probability, …}`, most probable first, as its image classifier
//! writes it. An explanation is the JSON of `/v1/explain`: its clients expect whatever the handler
//! gives. Without `target` the predicted class is explained, where TorchServe's own handler takes
//! class 0.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::batch::{self, Batch};
use super::instances::RawInstance;
use super::options;
use super::single::{SingleRequest, preferred_form};
use crate::app::options::Output;
use crate::app::{InstanceContext, Operation};
use crate::error::{Error, Kind, Result};
use crate::explain::Prediction;
use crate::http::handlers::health;
use crate::http::middleware::admission::upload::Upload;
use crate::http::state::AppState;
use crate::picture::decode::Limits;

type Segments = Result<Path<HashMap<String, String>>, PathRejection>;

/// `GET /ping`, which SageMaker asks, too. A failure is a 503 in TorchServe's form.
pub(super) async fn ping(State(state): State<Arc<AppState>>) -> Result<Json<Value>> {
    health::check_ready(&state)?;
    Ok(Json(json!({ "status": "Healthy" })))
}

/// `POST` or `PUT /explanations/{model}`.
pub(super) async fn explain(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    segments: Segments,
    request: Request,
) -> Result<Response> {
    let (batch, _) = read(&state, &upload, segments, Operation::Explain, request).await?;
    let (responses, memory) = batch.execute(&state, upload, Operation::Explain).await?;
    let response = batch::only(responses)?.into_response();
    Ok(memory.until_sent(response))
}

/// `POST` or `PUT /predictions/{model}`.
pub(super) async fn predict(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    segments: Segments,
    request: Request,
) -> Result<Response> {
    let (batch, limits) = read(&state, &upload, segments, Operation::Predict, request).await?;
    let permit = upload.queue(batch.cost(Operation::Predict, limits))?;
    let Batch { model, options, instances } = batch;
    let work = move |cancel: &_| {
        let context = InstanceContext { model: &model, options: &options, limits, cancel };
        let top_k = options.explain.top_k;
        batch::only(batch::each(&instances, |instance| instance.predict(top_k, context))?)
    };
    let (found, memory) = permit.run(work).await?;
    state.metrics.passes(&found.model, found.passes);
    let body = serde_json::to_vec(&ByLabel(&found.predictions))
        .map_err(|error| Error::internal("writing JSON", error))?;
    let response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(memory.until_sent(response))
}

async fn read(
    state: &AppState,
    upload: &Upload,
    segments: Segments,
    operation: Operation,
    request: Request,
) -> Result<(Batch, Limits)> {
    let reading = SingleRequest::read(operation, request, upload.limit_bytes());
    let SingleRequest { parts, image, options: in_body } = upload.read(reading).await?;
    let Path(segments) = segments
        .map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    let name = segments.get("id").map(String::as_str);
    if let Some(version) = segments.get("version").filter(|version| *version != "1.0") {
        let detail = format!("Every model has version 1.0, not {version}.");
        return Err(Error::new(Kind::UnknownModel, detail));
    }
    let mut pairs = options::pairs(name, &parts, Map::new())?;
    pairs.extend(in_body);
    let preferred = match operation {
        Operation::Predict => Output::Json.into(),
        _ => preferred_form(operation, &parts.headers),
    };
    let options = options::parse(operation, &pairs, preferred)?;
    let batch = Batch::new(state, options, vec![RawInstance::Image(image)])?;
    Ok((batch, Limits { max_pixels: state.server.max_pixels }))
}

/// Predictions as one object. A class without a label, or with one that another class has, is
/// named by its index.
struct ByLabel<'a>(&'a [Prediction]);

impl Serialize for ByLabel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut taken = HashSet::new();
        let member = |prediction: &Prediction| {
            let label = prediction.label.clone().filter(|label| taken.insert(label.clone()));
            let name = label.unwrap_or_else(|| prediction.index.to_string());
            (name, prediction.probability.or(prediction.value))
        };
        serializer.collect_map(self.0.iter().map(member))
    }
}
