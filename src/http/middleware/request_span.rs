//! The spans of a request: one for the log, and around it one that is exported as a trace.
//!
//! The exported span follows OpenTelemetry's conventions for HTTP servers and continues the
//! client's trace where a valid `traceparent` came with the request (W3C Trace Context).

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::http::extensions::{ClientAddress, RequestId};
use crate::http::metrics::Route;
use crate::telemetry::TRACE_TARGET;
use crate::text::shortened;

/// The two spans of one request.
#[derive(Clone)]
pub(super) struct RequestSpan {
    exported: Span,
    /// Lines in the log name this one's fields.
    pub(super) logged: Span,
}

impl RequestSpan {
    pub(super) fn new(request: &Request, route: &Route) -> Self {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        let exported = exported(request, route);
        let from_client = parent.span().span_context().clone();
        // Fails where traces are off, which is no fault.
        let _ = exported.set_parent(parent);
        let own = exported.context().span().span_context().clone();
        let context = if own.is_valid() { own } else { from_client };
        Self { logged: logged(request, &exported, &context), exported }
    }

    /// Records how the request ended.
    pub(super) fn end(&self, status: StatusCode) {
        self.exported.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.exported.record("error.type", status.as_str());
            self.exported.record("otel.status_code", "ERROR");
        }
    }
}

fn exported(request: &Request, route: &Route) -> Span {
    let Route { route, method } = route;
    let known = if *method == "OTHER" { "HTTP" } else { method };
    let name = if route == "none" { known.to_owned() } else { format!("{known} {route}") };
    let address = request.extensions().get::<ClientAddress>().map(|ClientAddress(of)| of.ip());
    tracing::info_span!(
        target: TRACE_TARGET,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
        http.request.method = if *method == "OTHER" { "_OTHER" } else { method },
        http.request.method_original = (*method == "OTHER").then(|| request.method().as_str()),
        http.route = (route != "none").then_some(route),
        http.response.status_code = tracing::field::Empty,
        url.path = &*shortened(request.uri().path()),
        url.query = request.uri().query().map(|query| shortened(query).into_owned()),
        url.scheme = "http",
        client.address = address.map(tracing::field::display),
        network.protocol.version = version(request),
        user_agent.original = header(request.headers(), "user-agent").map(|of| shortened(of).into_owned()),
    )
}

fn logged(request: &Request, exported: &Span, context: &SpanContext) -> Span {
    let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.as_str());
    let client = request.extensions().get::<ClientAddress>().map(|ClientAddress(of)| of);
    let is_traced = context.is_valid();
    tracing::info_span!(
        parent: exported.id(),
        "request",
        id,
        client = client.map(tracing::field::display),
        method = &*shortened(request.method().as_str()),
        path = &*shortened(request.uri().path()),
        trace_id = is_traced.then(|| tracing::field::display(context.trace_id())),
        span_id = is_traced.then(|| tracing::field::display(context.span_id())),
    )
}

fn version(request: &Request) -> &'static str {
    use axum::http::Version;
    if request.version() == Version::HTTP_2 {
        "2"
    } else if request.version() == Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
