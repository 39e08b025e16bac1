//! Serves the web page, the API documentation and the OpenAPI document from inside the binary.
//!
//! The files live in `web/`. Every response carries an `ETag` and `no-cache`: a browser revalidates
//! each time and gets `304 Not Modified` until the binary changes, so page and service never
//! mismatch.
//!
//! A browser that opens an address gets errors as a page, too.

use std::sync::OnceLock;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
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
    "css/base.css",
    "css/controls.css",
    "css/docs.css",
    "css/guide.css",
    "css/page.css",
    "css/problem.css",
    "css/stage.css",
    "icon.svg",
    "js/actions.js",
    "js/app.js",
    "js/docs.js",
    "js/docs/contract.js",
    "js/docs/markup.js",
    "js/docs/models.js",
    "js/docs/operation.js",
    "js/docs/received-response.js",
    "js/docs/request-form.js",
    "js/docs/schema.js",
    "js/lib/api.js",
    "js/lib/class-search.js",
    "js/lib/curl.js",
    "js/lib/dom.js",
    "js/lib/method-specs.js",
    "js/lib/methods.js",
    "js/lib/response.js",
    "js/lib/snippets.js",
    "js/lib/text.js",
    "js/map/colormaps.js",
    "js/map/colors.js",
    "js/map/frame.js",
    "js/map/overlay.js",
    "js/map/resize.js",
    "js/map/viewer.js",
    "js/run/client.js",
    "js/run/estimate.js",
    "js/run/explainer.js",
    "js/run/predictor.js",
    "js/state/address.js",
    "js/state/cells.js",
    "js/state/initial.js",
    "js/state/journal.js",
    "js/state/picture-request.js",
    "js/state/plan.js",
    "js/state/session.js",
    "js/state/settings.js",
    "js/state/store.js",
    "js/state/support.js",
    "js/views/alert.js",
    "js/views/arrival.js",
    "js/views/class-picker.js",
    "js/views/classes.js",
    "js/views/code.js",
    "js/views/facts.js",
    "js/views/field-errors.js",
    "js/views/figure.js",
    "js/views/file-input.js",
    "js/views/key-dialog.js",
    "js/views/layers.js",
    "js/views/methods.js",
    "js/views/model-select.js",
    "js/views/options.js",
    "js/views/progress.js",
    "js/views/stage.js",
    "js/views/toolbar.js",
    "js/views/verdict.js",
    "js/views/welcome.js",
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

/// `GET /`: the page for a browser, which asks for HTML by name. KServe's client asks for `*/*`,
/// and reads from the response whether the server is alive.
pub(super) async fn index(headers: HeaderMap) -> Response {
    let mut ranges = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut response = if ranges.any(names_html) {
        INDEX.response(&headers)
    } else {
        ([(CACHE_CONTROL, "no-cache")], Json(json!({ "status": "alive" }))).into_response()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether an `Accept` has HTML among its types, and not with a quality of 0.
fn names_html(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        is_html && quality.unwrap_or(1.0_f32) > 0.0
    })
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

/// The page for people about an error: `{status}`, `{title}` and the rest are filled in.
const PROBLEM: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/problem.html"));

/// Whether a request is a browser's that opens an address: it asks for HTML, and scripts do not.
pub(super) fn is_navigation(request: &Request) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    is_read && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Writes an error as a page into a response whose status and headers are set.
pub(super) fn write_problem(response: &mut Response, title: &str, detail: &str, id: &str) {
    let status = response.status().as_u16().to_string();
    let values =
        [("{status}", status.as_str()), ("{title}", title), ("{detail}", detail), ("{id}", id)];
    // One pass: a value that looks like a placeholder stays as it is.
    let mut page = String::new();
    let mut rest = PROBLEM;
    while let Some((at, (name, value))) = values
        .iter()
        .filter_map(|pair| rest.find(pair.0).map(|at| (at, pair)))
        .min_by_key(|(at, _)| *at)
    {
        page.push_str(&rest[..at]);
        page.push_str(&escaped(value));
        rest = &rest[at + name.len()..];
    }
    page.push_str(rest);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    *response.body_mut() = Body::from(page);
}

/// Text for the inside of an HTML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
