//! `POST /v1/explain`, `/v1/compare` and `/v1/predict`.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::App;
use super::answer::Answer;
use super::options::Endpoint;
use super::request::Asked;
use super::request::body::discard;
use super::work;
use crate::error::Result;
use crate::picture::decode::Limits;

/// One image, one method, one target → picture, array or JSON.
pub(super) async fn explain(State(app): State<Arc<App>>, request: Request) -> Result<Answer> {
    run(app, Endpoint::Explain, request).await
}

/// One image, several methods → the article's figure, or JSON with every map.
pub(super) async fn compare(State(app): State<Arc<App>>, request: Request) -> Result<Answer> {
    run(app, Endpoint::Compare, request).await
}

/// The most probable classes.
pub(super) async fn predict(State(app): State<Arc<App>>, request: Request) -> Result<Answer> {
    run(app, Endpoint::Predict, request).await
}

/// Takes a place, reads the request, works, answers.
async fn run(app: Arc<App>, endpoint: Endpoint, request: Request) -> Result<Answer> {
    let place = match app.admission.enter() {
        Ok(place) => place,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(body, &parts.headers, app.server.body_bytes).await;
            return Err(refusal);
        }
    };
    let asked = place.read(Asked::read(endpoint, request, app.server.body_bytes)).await?;
    let model = app.models.get(asked.question.model.as_deref())?;
    let limits = Limits { max_pixels: app.server.max_pixels };
    let answer = place
        .work(move |cancel| {
            work::answer(endpoint, &model, &asked.image, &asked.question, limits, cancel, &|_, _| ())
        })
        .await?;
    app.metrics.passed(&answer.model, answer.passes);
    Ok(answer)
}
