//! The paths of the service: one row for each path in `openapi.yaml`, and the web page's files.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::allowed_methods::not_allowed;
use super::handlers::{admin, health, metrics, models, v1};
use super::middleware::{self, admission};
use super::state::AppState;
use super::{guide, page, protocols, samples};
use crate::config::Server;
use crate::error::{Error, Kind};
use crate::text::shortened;

/// Which ports serve a path where the service has an admin port; without one, its port serves all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Main,
    Both,
    Admin,
}

/// The paths with their ports and handlers. `openapi.yaml` lists the same, except the page's own
/// files.
fn table() -> [(&'static str, Ports, MethodRouter<Arc<AppState>>); 22] {
    use Ports::{Admin, Both, Main};
    [
        ("/v1/explain", Main, post(v1::explain)),
        ("/v1/compare", Main, post(v1::compare)),
        ("/v1/predict", Main, post(v1::predict)),
        ("/v1/models", Main, get(models::list)),
        ("/v1/models/{id}", Main, get(models::one)),
        ("/v1/models/reload", Admin, post(admin::reload)),
        ("/v1/models/{id}/load", Admin, post(admin::load)),
        ("/v1/models/{id}/unload", Admin, post(admin::unload)),
        ("/health/live", Both, get(health::live)),
        ("/health/ready", Both, get(health::ready)),
        ("/metrics", Admin, get(metrics::metrics)),
        ("/openapi.yaml", Main, get(page::openapi_yaml)),
        ("/openapi.json", Main, get(page::openapi_json)),
        ("/docs", Main, get(page::docs)),
        ("/docs/guide", Main, get(guide::redirect)),
        ("/docs/guide/", Main, get(guide::index)),
        ("/docs/guide/{*path}", Main, get(guide::file)),
        ("/", Main, get(page::index)),
        ("/assets/{*path}", Main, get(page::asset)),
        ("/samples", Main, get(samples::list)),
        ("/samples/{file}", Main, get(samples::file)),
        ("/favicon.ico", Main, get(page::icon)),
    ]
}

/// The paths that need a permit, because their handlers run the model.
const ADMITTED: [&str; 3] = ["/v1/explain", "/v1/compare", "/v1/predict"];

/// Every path, for the test that compares them with `openapi.yaml`.
#[must_use]
pub fn paths() -> Vec<String> {
    let server = Server::default();
    let of_protocols = protocols::open(&server).into_iter().chain(protocols::admitted(&server));
    let own = table().into_iter().map(|(path, ..)| path.to_owned());
    // KServe's verbs are part of a segment, which is no path of the router.
    let verbs = protocols::KSERVE_VERBS.map(str::to_owned);
    let mut paths: Vec<String> = own.chain(of_protocols.map(|(path, _)| path)).collect();
    paths.extend(verbs);
    paths
}

/// The service as a function from requests to responses; it needs no socket.
pub fn router(state: Arc<AppState>) -> Router {
    match state.server.admin_listen {
        Some(_) => router_of(state, |ports| ports != Ports::Admin),
        None => router_of(state, |_| true),
    }
}

/// The admin port as a function from requests to responses.
pub fn admin_router(state: Arc<AppState>) -> Router {
    router_of(state, |ports| ports != Ports::Main)
}

fn router_of(state: Arc<AppState>, is_served: impl Fn(Ports) -> bool) -> Router {
    let admit = from_fn_with_state(Arc::clone(&state), admission::admit);
    let mut router = Router::new();
    for (path, _, methods) in table().into_iter().filter(|(_, ports, _)| is_served(*ports)) {
        // A route layer: a method that the path does not have takes no permit.
        let needs_permit = ADMITTED.contains(&path);
        let methods = if needs_permit { methods.route_layer(admit.clone()) } else { methods };
        router = router.route(path, methods);
    }
    if is_served(Ports::Main) {
        for (path, methods) in protocols::open(&state.server) {
            router = router.route(&path, methods);
        }
        for (path, methods) in protocols::admitted(&state.server) {
            router = router.route(&path, methods.route_layer(admit.clone()));
        }
    }
    let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    middleware::apply(router, &state).with_state(state)
}

async fn not_found(request: Request) -> Error {
    let path = shortened(request.uri().path());
    Error::new(Kind::NotFound, format!("there is nothing at {path}; /docs lists the paths"))
}

async fn method_not_allowed(request: Request) -> Error {
    not_allowed(request.method(), request.uri().path())
}
