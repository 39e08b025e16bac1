//! `GET /metrics`: counters, gauges and histograms in the text that Prometheus reads.
//!
//! What changes by itself (queue, models) is read when somebody asks; what happens is
//! counted when it happens. Labels take few values, whatever clients send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::App;
use crate::engine::{CacheUse, Status};
use crate::error::{Error, Result};
use crate::explain::Passes;

/// An endpoint, by the router's own path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: String,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Looked {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

type Durations = Family<Route, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Durations,
    passes: Family<PassLabels, Counter>,
    queued: Gauge,
    working: Gauge,
    ready: Family<ModelLabel, Gauge>,
    cache: Family<Looked, Counter>,
    cache_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("camlens");
        let requests = Family::default();
        // From one millisecond to nine minutes.
        let durations: Durations =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 3.0, 13)));
        let (passes, ready) = (Family::default(), Family::default());
        let (queued, working) = (Gauge::default(), Gauge::default());
        registry.register("requests", "Requests by their answer", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "passes",
            "Passes through a model, and those that were spared",
            passes.clone(),
        );
        registry.register("queue", "Requests that are read, wait or are worked on", queued.clone());
        registry.register("working", "Requests that are worked on", working.clone());
        registry.register("model_ready", "1 for a model that answers, else 0", ready.clone());
        let (cache, cache_bytes) = (Family::default(), Gauge::default());
        registry.register("cache", "Passes looked for among the known ones", cache.clone());
        registry.register("cache_bytes", "What is kept of known passes", cache_bytes.clone());
        Self { registry, requests, durations, passes, queued, working, ready, cache, cache_bytes }
    }
}

impl Metrics {
    pub(super) fn answered(&self, route: Route, status: u16, elapsed: Duration) {
        self.durations.get_or_create(&route).observe(elapsed.as_secs_f64());
        let Route { route, method } = route;
        self.requests.get_or_create(&Answered { route, method, status }).inc();
    }

    pub(super) fn passed(&self, model: &str, passes: Passes) {
        let Passes { forward, masked, tail, skipped } = passes;
        for (kind, count) in
            [("forward", forward), ("masked", masked), ("tail", tail), ("skipped", skipped)]
        {
            if count > 0 {
                let labels = PassLabels { model: model.to_owned(), kind };
                self.passes.get_or_create(&labels).inc_by(count as u64);
            }
        }
    }

    fn text(&self, app: &App) -> Result<String> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.queued.set(gauge(app.admission.queued()));
        self.working.set(gauge(app.admission.working()));
        for (model, status) in app.models.list() {
            let is_ready = matches!(status, Status::Ready(_));
            self.ready.get_or_create(&ModelLabel { model }).set(i64::from(is_ready));
        }
        let CacheUse { forward, masked, bytes } = app.models.cache().usage();
        self.cache_bytes.set(gauge(bytes));
        for (kind, (hits, misses)) in [("forward", forward), ("masked", masked)] {
            for (outcome, count) in [("hit", hits), ("miss", misses)] {
                // The cache counts by itself; it only grows, as a counter should.
                self.cache
                    .get_or_create(&Looked { kind, outcome })
                    .inner()
                    .store(count, Ordering::Relaxed);
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)
            .map_err(|error| Error::internal("writing the metrics", error))?;
        Ok(text)
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response> {
    const OPEN_METRICS: &str = "application/openmetrics-text";
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let content_type = if accept.contains(OPEN_METRICS) {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        // The older format reads the newer one's text: what it doesn't know are comments there.
        "text/plain; version=0.0.4; charset=utf-8"
    };
    Ok(([(CONTENT_TYPE, content_type)], app.metrics.text(&app)?).into_response())
}
