//! The paths of the service: one row for each path in `openapi.yaml`, and the web page's files.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::handlers::{health, metrics, models, v1};
use super::middleware::{self, admission};
use super::state::AppState;
use super::{page, protocols};
use crate::config::Server;
use crate::error::{Error, Kind};

/// The paths with their handlers. `openapi.yaml` lists the same, except the page's own files.
fn table() -> [(&'static str, MethodRouter<Arc<AppState>>); 14] {
    [
        ("/v1/explain", post(v1::explain)),
        ("/v1/compare", post(v1::compare)),
        ("/v1/predict", post(v1::predict)),
        ("/v1/models", get(models::list)),
        ("/v1/models/{id}", get(models::one)),
        ("/health/live", get(health::live)),
        ("/health/ready", get(health::ready)),
        ("/metrics", get(metrics::metrics)),
        ("/openapi.yaml", get(page::openapi_yaml)),
        ("/openapi.json", get(page::openapi_json)),
        ("/docs", get(page::docs)),
        ("/", get(page::index)),
        ("/assets/{*path}", get(page::asset)),
        ("/favicon.ico", get(page::icon)),
    ]
}

/// The paths that need a permit, because their handlers run the model.
const ADMITTED: [&str; 3] = ["/v1/explain", "/v1/compare", "/v1/predict"];

/// Every path, for the test that compares them with `openapi.yaml`.
#[must_use]
pub fn paths() -> Vec<String> {
    let server = Server::default();
    let of_protocols = protocols::open(&server).into_iter().chain(protocols::admitted(&server));
    let own = table().into_iter().map(|(path, _)| path.to_owned());
    // KServe's verbs are part of a segment, which is no path of the router.
    let verbs = protocols::KSERVE_VERBS.map(str::to_owned);
    let mut paths: Vec<String> = own.chain(of_protocols.map(|(path, _)| path)).collect();
    paths.extend(verbs);
    paths
}

/// The service as a function from requests to responses; it needs no socket.
pub fn router(state: Arc<AppState>) -> Router {
    let admit = from_fn_with_state(Arc::clone(&state), admission::admit);
    let mut router = Router::new();
    for (path, methods) in table() {
        // A route layer: a method that the path does not have takes no permit.
        let needs_permit = ADMITTED.contains(&path);
        let methods = if needs_permit { methods.route_layer(admit.clone()) } else { methods };
        router = router.route(path, methods);
    }
    for (path, methods) in protocols::open(&state.server) {
        router = router.route(&path, methods);
    }
    for (path, methods) in protocols::admitted(&state.server) {
        router = router.route(&path, methods.route_layer(admit.clone()));
    }
    let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    middleware::apply(router, &state).with_state(state)
}

async fn not_found(request: Request) -> Error {
    let path = request.uri().path();
    Error::new(Kind::NotFound, format!("there is nothing at {path}; /docs lists the paths"))
}

async fn method_not_allowed(request: Request) -> Error {
    let (path, method) = (request.uri().path(), request.method());
    let detail = format!("{path} does not support {method}; the header 'allow' lists what it does");
    Error::new(Kind::MethodNotAllowed, detail)
}
