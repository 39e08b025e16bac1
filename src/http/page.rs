//! Serves the web page, the API documentation and the OpenAPI document from inside the binary.
//!
//! The files live in `web/`. Every response carries an `ETag` and `no-cache`: a browser revalidates
//! each time and gets `304 Not Modified` until the binary changes, so page and service never
//! mismatch.

use std::sync::OnceLock;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::text::shortened;

/// A file inside the binary.
pub(super) struct Asset {
    /// Relative to `web/`, or to the guide.
    pub(super) path: &'static str,
    content: &'static [u8],
    /// Computed by the first request.
    etag: OnceLock<String>,
}

macro_rules! web {
    ($path:literal) => {
        Asset::new($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $path)))
    };
}

static INDEX: Asset = web!("index.html");
static DOCS: Asset = web!("docs.html");
static OPENAPI_YAML: Asset = Asset::new(
    "openapi.yaml",
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")),
);
/// `build.rs` converts `openapi.yaml`.
static OPENAPI_JSON: Asset =
    Asset::new("openapi.json", include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json")));
static ICON: Asset = web!("icon.svg");

macro_rules! assets {
    ($($path:literal),+ $(,)?) => {
        /// The files under `/assets/`.
        static ASSETS: [Asset; [$($path),+].len()] = [$(web!($path)),+];
    };
}

assets![
    "icon.svg",
    "css/base.css",
    "css/docs.css",
    "css/guide.css",
    "css/page.css",
    "js/app.js",
    "js/docs.js",
    "js/docs/contract.js",
    "js/docs/markup.js",
    "js/docs/operation.js",
    "js/docs/received-response.js",
    "js/docs/request-form.js",
    "js/docs/schema.js",
    "js/explainer.js",
    "js/form/class-picker.js",
    "js/form/class-selection.js",
    "js/form/explain-form.js",
    "js/form/field-errors.js",
    "js/form/file-input.js",
    "js/form/layer-picker.js",
    "js/form/method-picker.js",
    "js/form/mode-switch.js",
    "js/form/model-select.js",
    "js/form/prediction-list.js",
    "js/lib/api.js",
    "js/lib/curl.js",
    "js/lib/dom.js",
    "js/lib/methods.js",
    "js/lib/response.js",
    "js/lib/text.js",
    "js/map/colormaps.js",
    "js/map/colors.js",
    "js/map/display-options.js",
    "js/map/overlay.js",
    "js/map/panes.js",
    "js/map/resize.js",
    "js/map/viewer.js",
    "js/result/export.js",
    "js/result/facts.js",
    "js/result/result-view.js",
    "js/run/alert.js",
    "js/run/explain-client.js",
    "js/run/job-runner.js",
    "js/run/pass-estimate.js",
    "js/stage.js",
    "js/state.js",
];

impl Asset {
    pub(super) const fn new(path: &'static str, content: &'static [u8]) -> Self {
        Self { path, content, etag: OnceLock::new() }
    }

    fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("jpg") => "image/jpeg",
            Some("yaml") => "application/yaml",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        }
    }

    fn etag(&self) -> &str {
        self.etag.get_or_init(|| {
            let hash = Sha256::digest(self.content);
            let digits: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digits}\"")
        })
    }

    pub(super) fn response(&'static self, request: &HeaderMap) -> Response {
        let cached =
            request.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        let common = [(ETAG, self.etag()), (CACHE_CONTROL, "no-cache")];
        // A proxy that compresses responses marks their tags as weak.
        if cached.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag()) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        (common, [(CONTENT_TYPE, self.content_type())], self.content).into_response()
    }
}

/// `GET /`: the page, or what a KServe server says there to a client that asks for JSON.
pub(super) async fn index(headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/json") && !accept.contains("text/html") {
        return Json(json!({ "status": "alive" })).into_response();
    }
    INDEX.response(&headers)
}

/// `GET /docs`.
pub(super) async fn docs(headers: HeaderMap) -> Response {
    DOCS.response(&headers)
}

/// `GET /openapi.yaml`.
pub(super) async fn openapi_yaml(headers: HeaderMap) -> Response {
    OPENAPI_YAML.response(&headers)
}

/// `GET /openapi.json`.
pub(super) async fn openapi_json(headers: HeaderMap) -> Response {
    OPENAPI_JSON.response(&headers)
}

/// `GET /favicon.ico`: browsers request it when they open a picture by itself.
pub(super) async fn icon(headers: HeaderMap) -> Response {
    ICON.response(&headers)
}

/// `GET /assets/{*path}`.
pub(super) async fn asset(
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let asset = path.ok().and_then(|Path(path)| ASSETS.iter().find(|asset| asset.path == path));
    let asset = asset.ok_or_else(|| {
        let detail =
            format!("there is nothing at {}; /docs lists the paths", shortened(uri.path()));
        Error::new(Kind::NotFound, detail)
    })?;
    Ok(asset.response(&headers))
}
