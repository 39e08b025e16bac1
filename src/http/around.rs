//! What happens around every request: its id, its span in the log, its count, its problem.
//!
//! The promise: every answer has an `x-request-id` and the headers that keep a browser
//! from guessing; every request is one line of the log and one count in the metrics,
//! also when the client goes away before there is an answer; an error is logged here, once.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use tracing::{Instrument, Span};

use super::App;
use super::metrics::Route;
use super::problem::{self, Refused};
use super::stream::Ending;
use crate::error::{Error, Kind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id, for whoever words a problem further in.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// The outermost layer.
pub(super) async fn around(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let path = request.uri().path().to_owned();
    let route = Route {
        // Only paths of the router: a scanner must not fill the metrics with names of its own.
        route: request
            .extensions()
            .get::<MatchedPath>()
            .map_or("none", MatchedPath::as_str)
            .to_owned(),
        method: known(request.method()),
    };
    let span = tracing::info_span!("request", id, method = %request.method(), path);
    let mut watch = ProgressObserver {
        app,
        route,
        span: span.clone(),
        started: Instant::now(),
        is_answered: false,
        ending: None,
    };

    let mut response = next.run(request).instrument(span).await;
    let refused = response.extensions_mut().remove::<Refused>();
    if let Some(Refused(error)) = &refused {
        problem::write(&mut response, error, &path, &id);
    }
    let headers = response.headers_mut();
    // An id is made of characters that a header takes.
    headers.insert(
        REQUEST_ID,
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("invalid")),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; img-src 'self' blob: data:"),
    );
    match response.extensions_mut().remove::<Ending>() {
        Some(ending) => {
            // The stream's end is the request's, so the watch goes along with the body.
            watch.ending = Some(ending);
            response.map(|body| Body::new(body.map_frame(move |frame| watch.passing(frame))))
        }
        None => {
            watch.answered(
                response.status().as_u16(),
                refused.as_ref().map(|Refused(error)| &**error),
            );
            response
        }
    }
}

/// The client's id for a request, if it is one that can be logged and sent back as it is.
fn request_id(headers: &HeaderMap) -> String {
    let is_valid = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let theirs = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_valid);
    theirs.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

/// Sees a request to its end, whichever it is.
struct ProgressObserver {
    app: Arc<App>,
    route: Route,
    span: Span,
    started: Instant,
    is_answered: bool,
    /// For a stream: how it ended, once it has.
    ending: Option<Ending>,
}

impl ProgressObserver {
    fn answered(mut self, status: u16, error: Option<&Error>) {
        self.is_answered = true;
        self.record(status, error);
    }

    /// Holds the watch for as long as a body is sent.
    fn passing<T>(&self, frame: T) -> T {
        frame
    }

    fn record(&self, status: u16, error: Option<&Error>) {
        let _entered = self.span.enter();
        let elapsed = self.started.elapsed();
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.app.metrics.answered(self.route.clone(), status, elapsed);
        // Whoever asks every ten seconds how we are need not be in every log.
        let is_watching = self.route.route.starts_with("/health") || self.route.route == "/metrics";
        match error {
            Some(error) if status == 500 => tracing::error!(status, duration_ms, ?error, "failed"),
            _ if is_watching => tracing::debug!(status, duration_ms, "answered"),
            Some(error) if status > 500 => {
                tracing::warn!(status, duration_ms, detail = error.detail(), "refused");
            }
            Some(error) => tracing::info!(status, duration_ms, detail = error.detail(), "refused"),
            None => tracing::info!(status, duration_ms, "answered"),
        }
    }
}

impl Drop for ProgressObserver {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.as_ref().and_then(|Ending(ending)| ending.get()) {
            // Counted by what it ended in: every stream begins with 200.
            let status = ending.as_ref().map_or(200, |error| error.kind().row().status);
            self.record(status, ending.as_ref());
        } else if !self.is_answered {
            let gone = Error::new(Kind::Cancelled, "the client went away");
            self.record(Kind::Cancelled.row().status, Some(&gone));
        }
    }
}
