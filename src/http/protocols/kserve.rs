//! KServe v1: `POST /v1/models/{model}:predict` and `:explain`.
//!
//! The body is `{"instances": […]}` or one image file. The verb is part of the last segment of the
//! path, so the route is that of one model, and the name ends at the last colon. `GET /v1/models`
//! and `GET /v1/models/{model}` are camlens's own, with the members that KServe's clients read.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::batch::{self, Batch};
use super::instances::InstancesRequest;
use super::options;
use crate::app::Operation;
use crate::error::{Error, Kind, Result};
use crate::http::allowed_methods::not_allowed;
use crate::http::middleware::admission::upload::Upload;
use crate::http::state::AppState;

/// One response per instance.
pub(super) async fn verb(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response> {
    let (method, uri) = (request.method().clone(), request.uri().path().to_owned());
    let reading = InstancesRequest::read(request, upload.limit_bytes());
    let (parts, InstancesRequest { instances, parameters }) = upload.read(reading).await?;
    let Path(segment) = path
        .map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    let (name, operation, list) = match segment.rsplit_once(':') {
        Some((name, "predict")) => (name, Operation::Predict, "predictions"),
        Some((name, "explain")) => (name, Operation::Explain, "explanations"),
        // The path of a model.
        None => return Err(not_allowed(&method, &uri)),
        Some(_) => {
            let detail =
                format!("there is nothing at {uri}; a model has ':predict' and ':explain'");
            return Err(Error::new(Kind::NotFound, detail));
        }
    };
    let pairs = options::pairs(Some(name), &parts, parameters)?;
    let batch = Batch::new(&state, options::parse_for_json(operation, &pairs)?, instances)?;
    let (responses, memory) = batch.execute(&state, upload, operation).await?;
    let body = batch::list(list, &responses);
    let response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(memory.until_sent(response))
}
