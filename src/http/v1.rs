//! `POST /v1/explain`, `/v1/compare` and `/v1/predict`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::App;
use super::options::Endpoint;
use super::request::Asked;
use super::request::body::discard;
use super::{stream, work};
use crate::engine::CancellationToken;
use crate::error::Result;
use crate::explain::ProgressObserver;
use crate::picture::decode::Limits;

/// One image, one method, one target → picture, array, JSON or a stream of events.
pub(super) async fn explain(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    run(app, Endpoint::Explain, request).await
}

/// One image, several methods → the article's figure, or JSON with every map, or a stream of
/// events.
pub(super) async fn compare(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    run(app, Endpoint::Compare, request).await
}

/// The most probable classes.
pub(super) async fn predict(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    run(app, Endpoint::Predict, request).await
}

/// Takes a place, reads the request, works, answers.
async fn run(app: Arc<App>, endpoint: Endpoint, request: Request) -> Result<Response> {
    let place = match app.admission.enter() {
        Ok(place) => place,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(body, &parts.headers, app.server.body_bytes).await;
            return Err(refusal);
        }
    };
    let about = stream::About::of(&request);
    let asked = place.read(Asked::read(endpoint, request, app.server.body_bytes)).await?;
    let model = app.models.get(asked.question.model.as_deref())?;
    let limits = Limits { max_pixels: app.server.max_pixels };
    let is_streamed = asked.is_streamed;
    let work = move |cancel: &CancellationToken, watch: &dyn ProgressObserver| {
        work::answer(endpoint, &model, &asked.image, &asked.question, limits, cancel, watch)
    };
    if is_streamed {
        return stream::answer(app, place, about, work).await;
    }
    let answer = place.work(move |cancel| work(cancel, &|_, _| ())).await?;
    app.metrics.passed(&answer.model, answer.passes);
    Ok(answer.into_response())
}
