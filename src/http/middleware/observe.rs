//! Every request is one line in the log, one count in the metrics and one exported span, even if
//! the client disconnects before the response. Errors are logged here, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::{Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Frame;
use tracing::Instrument;

use super::request_span::RequestSpan;
use crate::error::{Error, Kind};
use crate::http::extensions::{ErrorExtension, ResponseFacts, StreamOutcome};
use crate::http::metrics::Route;
use crate::http::problem;
use crate::http::state::AppState;
use crate::http::tapped_body::TappedBody;

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
    let span = RequestSpan::new(&request, &route);
    let (logged, received) = (span.logged.clone(), ByteCount::default());
    let mut observation = Observation {
        state,
        route,
        span,
        started: Instant::now(),
        received: received.clone(),
        sent: ByteCount::default(),
        is_recorded: false,
        outcome: None,
    };
    let request = request.map(|body| TappedBody::wrap(body, move |frame| received.add(frame)));

    let mut response = next.run(request).instrument(logged).await;
    let error = response.extensions_mut().remove::<ErrorExtension>();
    match response.extensions_mut().remove::<StreamOutcome>() {
        Some(outcome) => {
            // The request ends with the stream, so the observation moves into the body.
            observation.outcome = Some(outcome);
            let count = move |frame: &Frame<Bytes>| observation.sent.add(frame);
            response.map(|stream| TappedBody::wrap(stream, count))
        }
        None => {
            let facts = response.extensions_mut().remove::<ResponseFacts>();
            // Bodies of known size have been made by now; only a stream is counted as it is sent.
            let bytes = response.body().size_hint().exact().unwrap_or(0);
            observation.sent.0.store(bytes, Ordering::Relaxed);
            let outcome = match &error {
                Some(ErrorExtension(error)) => Err(&**error),
                None => Ok(facts.as_ref()),
            };
            observation.finish(response.status(), outcome);
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

/// Counts the bytes of a body as they pass.
#[derive(Clone, Default)]
struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    fn add(&self, frame: &Frame<Bytes>) {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Records a request when it ends, however it ends.
struct Observation {
    state: Arc<AppState>,
    route: Route,
    span: RequestSpan,
    started: Instant,
    received: ByteCount,
    sent: ByteCount,
    is_recorded: bool,
    /// For a stream: how it ended, once it has.
    outcome: Option<StreamOutcome>,
}

impl Observation {
    fn finish(mut self, status: StatusCode, outcome: Result<Option<&ResponseFacts>, &Error>) {
        self.is_recorded = true;
        self.record(status, outcome);
    }

    fn record(&self, status: StatusCode, outcome: Result<Option<&ResponseFacts>, &Error>) {
        let _entered = self.span.logged.enter();
        let elapsed = self.started.elapsed();
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let facts = outcome.ok().flatten();
        self.state.metrics.request(self.route.clone(), status.as_u16(), elapsed, facts);
        self.span.end(status);
        // Probes and scrapers send a request every few seconds, which need not be in every log.
        let is_probe = PROBES.iter().any(|path| self.route.route.starts_with(path));
        let (bytes_in, bytes_out) = (self.received.get(), self.sent.get());
        let status = status.as_u16();
        match outcome {
            Err(error) if status == 500 => {
                tracing::error!(status, duration_ms, bytes_in, bytes_out, ?error, "failed");
            }
            _ if is_probe => tracing::debug!(status, duration_ms, "responded"),
            Err(error) => {
                let (model, detail) = (error.model(), error.detail());
                if status > 500 {
                    tracing::warn!(
                        status,
                        duration_ms,
                        bytes_in,
                        bytes_out,
                        model,
                        detail,
                        "refused"
                    );
                } else {
                    tracing::info!(
                        status,
                        duration_ms,
                        bytes_in,
                        bytes_out,
                        model,
                        detail,
                        "refused"
                    );
                }
            }
            Ok(facts) => {
                let model = facts.map(|facts| facts.model.as_str());
                let explain_method = facts.and_then(|facts| facts.method);
                tracing::info!(
                    status,
                    duration_ms,
                    bytes_in,
                    bytes_out,
                    model,
                    explain_method,
                    "responded"
                );
            }
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        match self.outcome.as_ref().and_then(StreamOutcome::get) {
            // Every stream begins with 200; it is counted by its outcome.
            Some(Ok(facts)) => self.record(StatusCode::OK, Ok(Some(facts))),
            Some(Err(error)) => self.record(problem::status(error), Err(error)),
            None if !self.is_recorded => {
                let error = Error::new(Kind::Cancelled, "the client disconnected");
                self.record(problem::status(&error), Err(&error));
            }
            None => {}
        }
    }
}
