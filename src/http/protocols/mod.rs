//! Protocols of other inference servers, so that their clients and gateways can use camlens as it
//! is: KServe v1, the Open Inference Protocol v2 (Triton, KServe, MLServer), TorchServe, SageMaker
//! and Vertex AI.
//!
//! Each protocol is a thin translation. Its handler reads the names and texts that its clients
//! send, hands them to the same option parser as `/v1/explain`, runs under the same permit,
//! deadline and limits, and writes the result in the protocol's form. [`errors`] writes errors in the form
//! that the protocol's clients read. `docs/guide/protocols.md` describes all of it for users.

mod batch;
pub(super) mod body;
mod bounded;
pub(super) mod errors;
pub(super) mod instances;
mod kserve;
pub(super) mod nested;
pub(super) mod oip;
pub(super) mod options;
pub(super) mod sagemaker;
pub(super) mod single;
mod torchserve;
pub(super) mod vertex;

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::state::AppState;
use crate::config::Server;

/// A path with its handlers.
pub(super) type Row = (String, MethodRouter<Arc<AppState>>);

/// The paths behind `POST /v1/models/{id}`, where the verb is part of the last segment.
pub(super) const KSERVE_VERBS: [&str; 2] = ["/v1/models/{id}:explain", "/v1/models/{id}:predict"];

/// The paths that need no permit.
pub(super) fn open(server: &Server) -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("/ping", get(torchserve::ping)),
        ("/v2", get(oip::server)),
        ("/v2/health/live", get(oip::live)),
        ("/v2/health/ready", get(oip::ready)),
        ("/v2/models", get(oip::models)),
        ("/v2/models/{id}", get(oip::model)),
        ("/v2/models/{id}/versions/{version}", get(oip::model)),
        ("/v2/models/{id}/ready", get(oip::model_ready)),
        ("/v2/models/{id}/versions/{version}/ready", get(oip::model_ready)),
    ]
    .map(|(path, methods)| (path.to_owned(), methods))
    .into();
    if let Some(path) = vertex::health_route(server) {
        rows.push((path.to_owned(), get(vertex::health)));
    }
    rows
}

/// The paths that run a model.
pub(super) fn admitted(server: &Server) -> Vec<Row> {
    let predict = || post(torchserve::predict).put(torchserve::predict);
    let explain = || post(torchserve::explain).put(torchserve::explain);
    let mut rows: Vec<Row> = [
        ("/v1/models/{id}", post(kserve::verb)),
        ("/v2/models/{id}/infer", post(oip::infer)),
        ("/v2/models/{id}/versions/{version}/infer", post(oip::infer)),
        ("/explain", post(oip::legacy_explain)),
        ("/predictions/{id}", predict()),
        ("/predictions/{id}/{version}", predict()),
        ("/explanations/{id}", explain()),
        ("/explanations/{id}/{version}", explain()),
        ("/invocations", post(sagemaker::invocations)),
    ]
    .map(|(path, methods)| (path.to_owned(), methods))
    .into();
    if let Some(path) = vertex::predict_route(server) {
        rows.push((path.to_owned(), post(vertex::predict)));
    }
    rows
}
