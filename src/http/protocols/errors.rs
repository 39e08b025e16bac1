//! Errors in the form that each protocol's clients read.
//!
//! An error reaches this module as any other does (`middleware/problems.rs`). The path decides the
//! form: problem documents on camlens's own paths, the protocol's form on its paths, even where no
//! handler was reached.

use axum::http::HeaderValue;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use axum::response::Response;
use serde_json::{Value, json};

use super::body::CODINGS;
use super::vertex;
use crate::config::Server;
use crate::error::{Error, Kind};
use crate::http::problem::{self, ProblemContext};

/// The path above the models.
const MODELS: &str = "/v1/models/";

/// How a protocol writes errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum ErrorForm {
    /// `{"error": "…"}`: KServe v1, the Open Inference Protocol, MLServer.
    Kserve,
    /// `{"code": 404, "type": "…Exception", "message": "…"}`: TorchServe and SageMaker's servers.
    TorchServe,
    /// `{"detail": "…"}`: Vertex AI's own server.
    Vertex,
    /// A problem document with the member `error`: `/v1/models/{id}` is camlens's own path and
    /// KServe's.
    Shared,
}

/// The form of errors on a path; `None` for problem documents.
pub(in crate::http) fn form(path: &str, server: &Server) -> Option<ErrorForm> {
    let is_below = |folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let has_verb = || {
        let model = path.strip_prefix(MODELS).unwrap_or_default();
        [":", "%3A", "%3a"].into_iter().any(|colon| model.contains(colon))
    };
    if vertex::health_route(server) == Some(path) || vertex::predict_route(server) == Some(path) {
        Some(ErrorForm::Vertex)
    } else if is_below("/v2") || path == "/explain" || has_verb() {
        Some(ErrorForm::Kserve)
    } else if ["/ping", "/invocations", "/predictions", "/explanations"].into_iter().any(is_below) {
        Some(ErrorForm::TorchServe)
    } else if path.strip_prefix(MODELS).is_some_and(|name| !name.contains('/')) {
        Some(ErrorForm::Shared)
    } else {
        None
    }
}

/// Writes the error into a response whose problem document has been written: status and headers
/// stay, the body changes.
pub(in crate::http) fn write(
    response: &mut Response,
    error: &Error,
    form: ErrorForm,
    context: &ProblemContext,
) {
    let text = problem::message(error);
    let body = match form {
        ErrorForm::Kserve => json!({ "error": text }),
        ErrorForm::TorchServe => torchserve(error, &text),
        ErrorForm::Vertex => json!({ "detail": text }),
        ErrorForm::Shared => shared(error, context),
    };
    *response.body_mut() = body.to_string().into();
    if form == ErrorForm::Shared {
        return;
    }
    let headers = response.headers_mut();
    // Without a charset: KServe's client reads errors of exactly this type.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if error.kind() == Kind::UnsupportedEncoding {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
    }
}

/// A problem document, with KServe's sentence if it is about the model.
fn shared(error: &Error, context: &ProblemContext) -> Value {
    let name = context.path().strip_prefix(MODELS).unwrap_or_default();
    let mut problem: Value =
        serde_json::from_slice(&problem::body(error, context)).unwrap_or_default();
    if let Some(sentence) = model_error(error.kind(), name) {
        problem["error"] = sentence.into();
    }
    problem
}

/// KServe's sentence for a model that can't be had.
pub(in crate::http) fn model_error(kind: Kind, name: &str) -> Option<String> {
    match kind {
        Kind::UnknownModel => Some(format!("Model with name {name} does not exist.")),
        Kind::NotReady | Kind::ModelFailed => Some(format!("Model with name {name} is not ready.")),
        _ => None,
    }
}

/// TorchServe's form, with the names of its exceptions.
fn torchserve(error: &Error, message: &str) -> Value {
    let code = problem::status(error).as_u16();
    let name = match code {
        404 if error.kind() == Kind::UnknownModel => "ModelNotFoundException",
        404 => "ResourceNotFoundException",
        405 => "MethodNotAllowedException",
        503 => "ServiceUnavailableException",
        504 => "RequestTimeoutException",
        500.. => "InternalServerException",
        _ => "BadRequestException",
    };
    json!({ "code": code, "type": name, "message": message })
}
