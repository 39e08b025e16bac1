//! Every path of the service: a row of the contract's table each.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, Any as AnyOf, CorsLayer};

use super::around::around;
use super::{App, health, metrics, models, page, v1};
use crate::error::{Error, Kind};

/// The paths with what answers them. `openapi.yaml` lists the same, but for the page's own files.
fn table() -> [(&'static str, MethodRouter<Arc<App>>); 14] {
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

/// Every path, for the test that holds them against `openapi.yaml`.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|(path, _)| path).collect()
}

/// The service as a function from requests to answers; it needs no socket.
pub fn app(app: Arc<App>) -> Router {
    let mut router = table()
        .into_iter()
        .fold(Router::new(), |router, (path, answers)| router.route(path, answers))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    // The layer answers every OPTIONS itself, so it is there only when it is wanted.
    if !app.server.cors_origins.is_empty() {
        router = router.layer(cors(&app.server.cors_origins));
    }
    router.layer(from_fn_with_state(Arc::clone(&app), around)).with_state(app)
}

async fn nothing_here(request: Request) -> Error {
    Error::new(
        Kind::NotFound,
        format!("there is nothing at {}; /docs lists what there is", request.uri().path()),
    )
}

async fn wrong_method(request: Request) -> Error {
    let detail = format!(
        "{} can't be asked with {}; the header 'allow' says how",
        request.uri().path(),
        request.method()
    );
    Error::new(Kind::MethodNotAllowed, detail)
}

fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let words = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
    Error::internal("a handler panicked", words.unwrap_or_default()).into_response()
}

/// Pages of these origins may call us and read every header of ours.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let exposed = [
        "camlens-model",
        "camlens-method",
        "camlens-layer",
        "camlens-target",
        "camlens-probability",
        "camlens-contrast",
        "camlens-negate",
        "camlens-signed",
        "camlens-empty",
        "camlens-gradient",
        "server-timing",
        "x-request-id",
        "retry-after",
    ];
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AnyOf)
        .expose_headers(exposed.map(HeaderName::from_static))
}
