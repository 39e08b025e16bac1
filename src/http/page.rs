//! The web page, the documentation page and the contract itself, all inside the binary.
//!
//! A browser asks again each time and is told "not modified" while it has the same
//! version, so an update of the service is an update of its page.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    tag: OnceLock<String>,
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            content: include_str!(concat!("page/", $name)),
            tag: OnceLock::new(),
        }
    };
}

static INDEX: Asset = asset!("index.html", HTML);
static DOCS: Asset = asset!("docs.html", HTML);
static OPENAPI_YAML: Asset = Asset {
    name: "openapi.yaml",
    content_type: "application/yaml",
    content: include_str!("../../openapi.yaml"),
    tag: OnceLock::new(),
};
/// Made of `openapi.yaml` by `build.rs`.
static OPENAPI_JSON: Asset = Asset {
    name: "openapi.json",
    content_type: "application/json",
    content: include_str!(concat!(env!("OUT_DIR"), "/openapi.json")),
    tag: OnceLock::new(),
};
static ICON: Asset = asset!("icon.svg", "image/svg+xml");
static ASSETS: [Asset; 20] = [
    asset!("app.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("heat.js", SCRIPT),
    asset!("viewer.js", SCRIPT),
    asset!("combobox.js", SCRIPT),
    asset!("drop.js", SCRIPT),
    asset!("facts.js", SCRIPT),
    asset!("layers.js", SCRIPT),
    asset!("looks.js", SCRIPT),
    asset!("methods.js", SCRIPT),
    asset!("panes.js", SCRIPT),
    asset!("predictions.js", SCRIPT),
    asset!("refusals.js", SCRIPT),
    asset!("runner.js", SCRIPT),
    asset!("text.js", SCRIPT),
    asset!("docs.js", SCRIPT),
    asset!("style.css", STYLE),
    asset!("docs.css", STYLE),
    asset!("icon.svg", "image/svg+xml"),
];

impl Asset {
    fn tag(&self) -> &str {
        self.tag.get_or_init(|| {
            let hash = Sha256::digest(self.content.as_bytes());
            let digits: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digits}\"")
        })
    }

    fn answer(&'static self, headers: &HeaderMap) -> Response {
        let known =
            headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        let common = [(ETAG, self.tag()), (CACHE_CONTROL, "no-cache")];
        // A proxy that compresses on its way marks the tag as weak.
        if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag()) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        (common, [(CONTENT_TYPE, self.content_type)], self.content).into_response()
    }
}

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

/// `GET /docs`.
pub(super) async fn docs(headers: HeaderMap) -> Response {
    DOCS.answer(&headers)
}

/// `GET /openapi.yaml`.
pub(super) async fn openapi_yaml(headers: HeaderMap) -> Response {
    OPENAPI_YAML.answer(&headers)
}

/// `GET /openapi.json`.
pub(super) async fn openapi_json(headers: HeaderMap) -> Response {
    OPENAPI_JSON.answer(&headers)
}

/// `GET /favicon.ico`, which browsers ask for beside any picture that they open.
pub(super) async fn icon(headers: HeaderMap) -> Response {
    ICON.answer(&headers)
}

/// `GET /assets/{name}`.
pub(super) async fn asset(
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let found = name.ok().and_then(|Path(name)| ASSETS.iter().find(|asset| asset.name == name));
    let asset = found
        .ok_or_else(|| Error::new(Kind::NotFound, format!("there is nothing at {}", uri.path())))?;
    Ok(asset.answer(&headers))
}
