//! API keys: a request needs one of those in a file, if the setting `server.api_keys` names one.
//!
//! A key comes as `Authorization: Bearer KEY` or `x-api-key: KEY`. Only its SHA-256 is kept, and
//! all of them are compared in constant time, so that the time of a refusal says nothing about any
//! key. Keys never reach the log: no header does, and no message quotes one. Health stays open,
//! because the programs that ask for it have no keys; and so do the page's own files.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::{Error, Kind, Result};
use crate::http::extract::body::discard;
use crate::http::state::AppState;

/// Shorter keys can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// The paths that need no key, besides Vertex AI's health route.
const OPEN: [&str; 5] =
    ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping"];

/// The page and its files are the same in every copy of camlens, and a browser cannot send a key
/// with them. The page asks for one and sends it with its requests.
fn is_page(path: &str) -> bool {
    ["/", "/docs", "/favicon.ico", "/openapi.json", "/openapi.yaml", "/samples"].contains(&path)
        || ["/assets/", "/docs/guide/", "/samples/"].iter().any(|below| path.starts_with(below))
}

const METRICS: &str = "/metrics";

/// The keys of a service, as digests.
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Reads a file of one key per line. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the path for a file that can't be read or has no key, and for a key
    /// that is too short or that a header can't hold. The message names the line, not the key.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&crate::text::read(path)?).map_err(|error| error.at_path(path))
    }

    /// Parses the text of a file of keys.
    ///
    /// # Errors
    /// Those of [`ApiKeys::read`], without a path.
    pub fn parse(text: &str) -> Result<Self> {
        let setup = |detail: String| Error::new(Kind::Setup, format!("server.api_keys: {detail}"));
        let mut digests = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let key = line.trim();
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            let is_usable = key.len() >= MIN_KEY_BYTES && key.bytes().all(|b| b.is_ascii_graphic());
            if !is_usable {
                let number = number + 1;
                return Err(setup(format!(
                    "the key in line {number} must have at least {MIN_KEY_BYTES} characters of \
                     visible ASCII, without spaces"
                )));
            }
            digests.push(digest(key.as_bytes()));
        }
        match digests.is_empty() {
            true => Err(setup("the file has no key".to_owned())),
            false => Ok(Self(digests)),
        }
    }

    /// Whether a key is one of these. Every key is compared, whichever matches.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let given = digest(key);
        let matches = |known: &[u8; 32]| known[..].ct_eq(&given[..]);
        self.0.iter().map(matches).fold(Choice::from(0), |any, one| any | one).into()
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Lets a request with a valid key pass, and those for health and for the page.
pub(super) async fn check(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(keys) = &state.keys else { return next.run(request).await };
    let path = request.uri().path();
    let is_open = OPEN.contains(&path)
        || is_page(path)
        || state.server.vertex.health_route.as_deref() == Some(path)
        // Only the admin port has it then, and Prometheus needs no key there.
        || (path == METRICS && state.server.admin_listen.is_some());
    let detail = match given(request.headers()) {
        _ if is_open => None,
        Some(key) if keys.contains(key) => None,
        Some(_) => Some("the API key is not valid"),
        None => Some(
            "this service asks for an API key: send 'Authorization: Bearer KEY' or \
             'x-api-key: KEY'",
        ),
    };
    let Some(detail) = detail else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    discard(body, &parts.headers, state.server.body_bytes);
    Error::new(Kind::Unauthorized, detail).into_response()
}

/// The key that a request gives.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
    });
    let key = bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()))?;
    Some(key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ApiKeys> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ApiKeys::read(file.path())
    }

    #[test]
    fn a_file_holds_one_key_per_line() {
        let keys =
            read("# two teams\nred-0123456789abcdef\n\n  blue-0123456789abcdef \r\n").unwrap();
        assert!(keys.contains(b"red-0123456789abcdef") && keys.contains(b"blue-0123456789abcdef"));
        for wrong in [&b""[..], b"red-0123456789abcde", b"# two teams", b"red-0123456789abcdef "] {
            assert!(!keys.contains(wrong));
        }
    }

    #[test]
    fn a_file_that_protects_nothing_is_refused_without_quoting_it() {
        let refusal = |text: &str| read(text).err().unwrap().detail().to_owned();
        assert_eq!(refusal("# none yet\n"), "server.api_keys: the file has no key");
        for text in ["\nsecret\n", "\nsecret with some spaces\n", "\nschl\u{fc}ssel-0123456789ab\n"]
        {
            let refusal = refusal(text);
            assert!(refusal.contains("line 2") && !refusal.contains("secret"), "{refusal}");
        }
    }
}
