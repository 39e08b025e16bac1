//! The guide: `GET /docs/guide/` and the pages and pictures below it.
//!
//! `build.rs` renders `docs/guide/*.md`, and the binary contains the result.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::{Redirect, Response};

use super::page::Asset;
use crate::error::{Error, Kind, Result};
use crate::text::shortened;

/// The paths relative to `/docs/guide/`, with their contents.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/guide.rs"));

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|&(path, content)| Asset::new(path, content)).collect());

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn response(path: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response> {
    let asset = find(path).ok_or_else(|| {
        let path = shortened(uri.path());
        Error::new(
            Kind::NotFound,
            format!("there is nothing at {path}; /docs/guide/ lists the pages"),
        )
    })?;
    Ok(asset.response(headers))
}

/// `GET /docs/guide`: the pages' links are relative to the address with the slash.
pub(super) async fn redirect() -> Redirect {
    Redirect::permanent("/docs/guide/")
}

/// `GET /docs/guide/`.
pub(super) async fn index(uri: Uri, headers: HeaderMap) -> Result<Response> {
    response("index.html", &uri, &headers)
}

/// `GET /docs/guide/{*path}`: a page or a picture.
pub(super) async fn file(
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let path = path.map_or_else(|_| String::new(), |Path(path)| path);
    response(&path, &uri, &headers)
}
