//! Which methods a path takes, where the router alone cannot tell.
//!
//! The verbs of KServe v1 are part of a path's last segment, `/v1/models/{id}:predict`. For the
//! router that is the path of a model, so it has the methods of both.

use axum::http::Method;

use crate::error::{Error, Kind};
use crate::text::shortened;

/// The path above the models.
const MODELS: &str = "/v1/models/";
/// KServe's verbs.
const VERBS: [&str; 2] = ["explain", "predict"];

/// The header `allow` for a path that the router shares between a model and its verbs.
pub(super) fn allow(path: &str) -> Option<&'static str> {
    let segment = path.strip_prefix(MODELS).filter(|segment| !segment.contains('/'))?;
    // A path of its own for the router, which knows its method.
    if segment == "reload" {
        return None;
    }
    let segment = segment.replace("%3A", ":").replace("%3a", ":");
    Some(if has_verb(&segment) { "POST" } else { "GET,HEAD" })
}

/// Whether the last segment of a path ends in a verb.
pub(super) fn has_verb(segment: &str) -> bool {
    segment.rsplit_once(':').is_some_and(|(_, verb)| VERBS.contains(&verb))
}

/// The error for a method that a path does not take.
pub(super) fn not_allowed(method: &Method, path: &str) -> Error {
    let (method, path) = (shortened(method.as_str()), shortened(path));
    let detail = format!("{path} does not support {method}; the header 'allow' lists what it does");
    Error::new(Kind::MethodNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_and_its_verbs_are_posted_to() {
        assert_eq!(allow("/v1/models/cats"), Some("GET,HEAD"));
        assert_eq!(allow("/v1/models/cats:explain"), Some("POST"));
        assert_eq!(allow("/v1/models/cats%3Apredict"), Some("POST"));
        assert_eq!(allow("/v1/models/cats:train"), Some("GET,HEAD"));
        assert_eq!(allow("/v1/models/cats/load"), None);
        assert_eq!(allow("/v1/models/reload"), None);
        assert_eq!(allow("/v1/models"), None);
    }
}
