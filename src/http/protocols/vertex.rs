//! Vertex AI: `{"instances": […], "parameters": {…}}` gives `{"predictions": […]}`.
//!
//! The paths are not fixed: Vertex AI tells them to the container in `AIP_HEALTH_ROUTE` and
//! `AIP_PREDICT_ROUTE`. Each prediction is the JSON of `/v1/explain`, which has the most probable
//! classes, too. A body that is an image itself, as `rawPredict` passes it on, is one instance.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::batch::{self, Batch};
use super::instances::InstancesRequest;
use super::options;
use crate::app::Operation;
use crate::config::{Server, VertexRoutes};
use crate::error::Result;
use crate::http::handlers::health;
use crate::http::middleware::admission::upload::Upload;
use crate::http::router::paths;
use crate::http::state::AppState;

/// The path of health checks, if there is one.
pub(super) fn health_route(server: &Server) -> Option<&str> {
    server.vertex.health_route.as_deref()
}

/// The path of predictions, if there is one.
pub(super) fn predict_route(server: &Server) -> Option<&str> {
    server.vertex.predict_route.as_deref()
}

/// Forgets paths that are camlens's own already: those go on meaning what they mean.
pub(in crate::http) fn keep_foreign_routes(server: &mut Server) {
    let own = paths();
    let is_foreign = |path: &String| !own.contains(path);
    let VertexRoutes { health_route, predict_route } = &mut server.vertex;
    for (name, route) in [("AIP_HEALTH_ROUTE", health_route), ("AIP_PREDICT_ROUTE", predict_route)]
    {
        if let Some(path) = route.take_if(|path| !is_foreign(path)) {
            tracing::warn!(name, path, "camlens has this path already, and keeps its meaning");
        }
    }
}

/// 200 when the service accepts work.
pub(super) async fn health(State(state): State<Arc<AppState>>) -> Result<Json<Value>> {
    health::check_ready(&state)?;
    Ok(Json(json!({})))
}

/// One prediction per instance.
pub(super) async fn predict(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    let reading = InstancesRequest::read(request, upload.limit_bytes());
    let (parts, InstancesRequest { instances, parameters }) = upload.read(reading).await?;
    let pairs = options::pairs(None, &parts, parameters)?;
    let options = options::parse_for_json(Operation::Explain, &pairs)?;
    let batch = Batch::new(&state, options, instances)?;
    let (responses, memory) = batch.execute(&state, upload, Operation::Explain).await?;
    let body = batch::list("predictions", &responses);
    let response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(memory.until_sent(response))
}
