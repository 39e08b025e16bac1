//! Traces: spans sent to an OpenTelemetry collector by OTLP over HTTP.
//!
//! The standard `OTEL_…` environment variables configure it; the library reads them. Traces are
//! off unless an endpoint is set. Spans wait in a bounded queue of their own thread, so a collector
//! that is slow or gone costs a request nothing; spans that do not fit are dropped.
//!
//! Spans that are exported have the target [`TARGET`]. The log leaves them out: its lines have the
//! request's own span.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Error, Kind, Result};

/// The target of spans that are exported.
pub const TARGET: &str = "camlens::trace";

/// The largest answer of a collector that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long the last spans may take to be sent at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// A collector that does not answer within this is given up; the specification's default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends spans until it is dropped, and the last ones then.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts sending spans if the environment configures an endpoint.
    ///
    /// # Errors
    /// [`Kind::Setup`] for variables that can't be followed, such as a protocol other than
    /// `http/protobuf`.
    pub fn from_environment() -> Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if !is_enabled(&variable)? {
            return Ok(None);
        }
        let setup = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Setup, format!("OpenTelemetry traces: {error}"))
        };
        let client = CollectorClient::new().map_err(|error| setup(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|error| setup(&error))?;
        // The detectors read OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
        let mut resource = Resource::builder();
        if variable("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self { provider }))
    }

    /// The layer that turns spans with [`TARGET`] into exported ones.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The samplers that the SDK has. It takes any other name for its default, with a message that the
/// log does not have.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Whether the environment asks for traces.
fn is_enabled(variable: &impl Fn(&str) -> Option<String>) -> Result<bool> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)));
    let exporter = variable("OTEL_TRACES_EXPORTER");
    match exporter.as_deref() {
        Some("none") => return Ok(false),
        Some("otlp") => {}
        Some(other) => {
            let detail = format!("OTEL_TRACES_EXPORTER: `{other}` is neither `otlp` nor `none`");
            return Err(Error::new(Kind::Setup, detail));
        }
        None if endpoint.is_none() => return Ok(false),
        None => {}
    }
    if let Some(sampler) = variable("OTEL_TRACES_SAMPLER")
        && !SAMPLERS.contains(&sampler.as_str())
    {
        let detail = format!("OTEL_TRACES_SAMPLER: `{sampler}` is none of {}", SAMPLERS.join(", "));
        return Err(Error::new(Kind::Setup, detail));
    }
    if let Some((name, url)) = &endpoint
        && url.starts_with("https:")
    {
        let detail = format!(
            "{name}: {url} needs TLS, which camlens does not speak to a collector; let a collector \
             beside it forward the spans"
        );
        return Err(Error::new(Kind::Setup, detail));
    }
    let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)));
    match protocol {
        Some((name, other)) if other != "http/protobuf" => {
            let detail = format!("{name}: `{other}` is not supported, only `http/protobuf`");
            Err(Error::new(Kind::Setup, detail))
        }
        _ => Ok(true),
    }
}

/// Sends to a collector, on a network thread of its own: the exporter's thread has none.
struct CollectorClient {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl CollectorClient {
    fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("camlens-traces")
            .enable_all()
            .build()?;
        Ok(Self { runtime, client: Client::builder(TokioExecutor::new()).build_http() })
    }
}

impl std::fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorClient").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        self.runtime.spawn(async { tokio::time::timeout(EXPORT_TIMEOUT, exchange).await }).await??
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(variables: &[(&str, &str)]) -> Result<bool> {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name);
        is_enabled(&|name: &str| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_endpoint_turns_traces_on_and_the_standard_variables_turn_them_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
        assert!(!enabled(&[]).unwrap());
        assert!(enabled(&[endpoint]).unwrap());
        assert!(enabled(&[of_traces]).unwrap());
        assert!(enabled(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap());
        assert!(!enabled(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap());
        assert!(!enabled(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap());
    }

    #[test]
    fn a_variable_that_cannot_be_followed_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        for wrong in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector.example:4318"),
        ] {
            let error = enabled(&[endpoint, wrong]).unwrap_err();
            assert_eq!(error.kind(), Kind::Setup);
            assert!(error.to_string().contains(wrong.0), "{error}");
        }
    }
}
