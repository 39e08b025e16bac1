//! The spans of a request: one for the log, and around it one that is exported as a trace.
//!
//! The exported span follows OpenTelemetry's conventions for HTTP servers and continues the
//! client's trace where a valid `traceparent` came with the request (W3C Trace Context).

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry::Context;
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
        let parent = client_context(request.headers());
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

/// The client's trace, if it sent one valid `traceparent`.
pub(in crate::http) fn client_context(headers: &HeaderMap) -> Context {
    let mut given = headers.get_all("traceparent").iter();
    match (given.next(), given.next()) {
        (Some(one), None) if is_traceparent(one.as_bytes()) => {
            TraceContextPropagator::new().extract(&HeaderExtractor(headers))
        }
        _ => Context::new(),
    }
}

/// Whether a header has the form of W3C Trace Context, section 3.2. OpenTelemetry's parser also
/// takes ids of other lengths, and signs before them.
fn is_traceparent(header: &[u8]) -> bool {
    let is_lower_hex =
        |field: &[u8]| field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let fields: Vec<&[u8]> = header.split(|byte| *byte == b'-').collect();
    let [version, trace, parent, flags, ..] = fields[..] else { return false };
    // Version 00 has four fields, and later ones may append some; ff is none.
    version != b"ff"
        && (version != b"00" || fields.len() == 4)
        && [(version, 2), (trace, 32), (parent, 16), (flags, 2)]
            .iter()
            .all(|(field, length)| field.len() == *length && is_lower_hex(field))
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn trace(given: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for header in given {
            headers.append("traceparent", HeaderValue::from_str(header).unwrap());
        }
        let context = client_context(&headers);
        let span = context.span().span_context().clone();
        span.is_valid().then(|| span.trace_id().to_string())
    }

    #[test]
    fn a_valid_traceparent_is_continued() {
        for header in [
            format!("00-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-ff"),
            format!("cc-{TRACE}-{PARENT}-00-what-comes-later"),
        ] {
            assert_eq!(trace(&[&header]).as_deref(), Some(TRACE), "{header}");
        }
    }

    #[test]
    fn any_other_traceparent_is_not() {
        let (short, zero) = (&TRACE[1..], "0".repeat(32));
        for header in [
            format!("00-{short}-{PARENT}-01"),
            format!("00-+{short}-{PARENT}-01"),
            format!("00-{zero}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zero[..16]),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01x"),
            format!("00-{TRACE}-{PARENT}"),
            String::new(),
        ] {
            assert_eq!(trace(&[&header]), None, "{header}");
        }
        let valid = format!("00-{TRACE}-{PARENT}-01");
        assert_eq!(trace(&[&valid, &valid]), None);
    }
}
