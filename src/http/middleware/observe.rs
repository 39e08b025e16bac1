//! Every request is one line in the log and one count in the metrics, even if the client
//! disconnects before the response. Errors are logged here, once.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use tracing::{Instrument, Span};

use crate::error::{Error, Kind};
use crate::http::extensions::{ErrorExtension, RequestId, StreamOutcome};
use crate::http::metrics::Route;
use crate::http::problem;
use crate::http::state::AppState;

/// The starts of the paths that probes and scrapers ask.
const PROBES: [&str; 4] = ["/health", "/metrics", "/ping", "/v2/health"];

/// Runs the request in a span, and records how it ended.
pub(super) async fn observe(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    // Only the router's paths become labels: a scanner must not fill the metrics with arbitrary
    // ones.
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let route = Route { route, method: method_label(request.method()) };
    let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.as_str());
    let path = request.uri().path();
    let span = tracing::info_span!("request", id, method = %request.method(), path);
    let mut observation = Observation {
        state,
        route,
        span: span.clone(),
        started: Instant::now(),
        is_recorded: false,
        outcome: None,
    };

    let mut response = next.run(request).instrument(span).await;
    let error = response.extensions_mut().remove::<ErrorExtension>();
    match response.extensions_mut().remove::<StreamOutcome>() {
        Some(outcome) => {
            // The request ends with the stream, so the observation moves into the body.
            observation.outcome = Some(outcome);
            response.map(|body| Body::new(body.map_frame(move |frame| observation.hold(frame))))
        }
        None => {
            let error = error.as_ref().map(|ErrorExtension(error)| &**error);
            observation.finish(response.status(), error);
            response
        }
    }
}

/// The method as a label; unknown methods share one.
fn method_label(method: &Method) -> &'static str {
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

/// Records a request when it ends, however it ends.
struct Observation {
    state: Arc<AppState>,
    route: Route,
    span: Span,
    started: Instant,
    is_recorded: bool,
    /// For a stream: how it ended, once it has.
    outcome: Option<StreamOutcome>,
}

impl Observation {
    fn finish(mut self, status: StatusCode, error: Option<&Error>) {
        self.is_recorded = true;
        self.record(status, error);
    }

    /// Keeps the observation alive as long as the body that calls this.
    fn hold<T>(&self, frame: T) -> T {
        frame
    }

    fn record(&self, status: StatusCode, error: Option<&Error>) {
        let _entered = self.span.enter();
        let elapsed = self.started.elapsed();
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let status = status.as_u16();
        self.state.metrics.request(self.route.clone(), status, elapsed);
        // Probes and scrapers send a request every few seconds, which need not be in every log.
        let is_probe = PROBES.iter().any(|path| self.route.route.starts_with(path));
        match error {
            Some(error) if status == 500 => tracing::error!(status, duration_ms, ?error, "failed"),
            _ if is_probe => tracing::debug!(status, duration_ms, "responded"),
            Some(error) if status > 500 => {
                tracing::warn!(status, duration_ms, detail = error.detail(), "refused");
            }
            Some(error) => tracing::info!(status, duration_ms, detail = error.detail(), "refused"),
            None => tracing::info!(status, duration_ms, "responded"),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.as_ref().and_then(StreamOutcome::get) {
            // Every stream begins with 200; it is counted by its outcome.
            self.record(outcome.map_or(StatusCode::OK, problem::status), outcome);
        } else if !self.is_recorded {
            let error = Error::new(Kind::Cancelled, "the client disconnected");
            self.record(problem::status(&error), Some(&error));
        }
    }
}
