//! `POST /v1/explain`, `/v1/compare` and `/v1/predict`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::app::{self, Cost, Operation};
use crate::engine::CancellationToken;
use crate::error::Result;
use crate::explain::ProgressObserver;
use crate::http::extract::ExtractedRequest;
use crate::http::middleware::admission::upload::Upload;
use crate::http::problem::ProblemContext;
use crate::http::sse;
use crate::http::state::AppState;
use crate::picture::decode::Limits;

/// One image, one method, one or several classes.
pub(in crate::http) async fn explain(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    run(state, upload, Operation::Explain, request).await
}

/// One image, several methods, one class.
pub(in crate::http) async fn compare(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    run(state, upload, Operation::Compare, request).await
}

/// The most probable classes.
pub(in crate::http) async fn predict(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    run(state, upload, Operation::Predict, request).await
}

/// Extracts the request, runs it on a worker, and responds or streams events.
async fn run(
    state: Arc<AppState>,
    upload: Upload,
    operation: Operation,
    request: Request,
) -> Result<Response> {
    let context = ProblemContext::new(&request);
    let extracting = ExtractedRequest::read(operation, request, upload.limit_bytes());
    let ExtractedRequest { request, is_streamed } = upload.read(extracting).await?;
    let model = state.model(request.options.model.as_deref())?;
    let limits = Limits { max_pixels: state.server.max_pixels };
    let permit = upload.queue(Cost::estimate(&model, &request, limits))?;
    let work = move |cancel: &CancellationToken, observer: &dyn ProgressObserver| {
        app::execute(&model, &request, limits, cancel, observer)
    };
    if is_streamed {
        return sse::respond(state, permit, context, work).await;
    }
    let (response, memory) = permit.run(move |cancel| work(cancel, &|_, _| ())).await?;
    state.metrics.passes(&response.facts.model, response.facts.passes);
    Ok(memory.until_sent(response.into_response()))
}
