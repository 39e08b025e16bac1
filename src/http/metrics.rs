//! Counters, gauges and histograms in Prometheus' text format.
//!
//! State (queue, models, cache) is read when the metrics are scraped; events are counted when they
//! happen. Labels have a bounded set of values, regardless of what clients send.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::middleware::admission::queue::Admission;
use crate::engine::{CacheStats, ModelRegistry, Status};
use crate::error::{Error, Result};
use crate::explain::Passes;
use crate::telemetry;

/// An endpoint, by the router's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: String,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
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
struct CacheLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabel {
    reason: &'static str,
}

type Durations = Family<Route, Histogram, fn() -> Histogram>;

/// All metrics of a service.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations,
    passes: Family<PassLabels, Counter>,
    queued: Gauge,
    working: Gauge,
    ready: Family<ModelLabel, Gauge>,
    cache: Family<CacheLabels, Counter>,
    cache_bytes: Gauge,
    log_lines_dropped: Counter,
    connections: Gauge,
    connections_ended: Family<EndingLabel, Counter>,
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
        registry.register("requests", "Requests by response status", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its response",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "passes",
            "Passes through a model, and passes that were skipped",
            passes.clone(),
        );
        registry.register(
            "queue",
            "Requests that are being read, queued or worked on",
            queued.clone(),
        );
        registry.register("working", "Requests that are being worked on", working.clone());
        registry.register("model_ready", "1 for a model that is ready, else 0", ready.clone());
        let (cache, cache_bytes) = (Family::default(), Gauge::default());
        registry.register("cache", "Cache lookups", cache.clone());
        registry.register("cache_bytes", "Size of the cache", cache_bytes.clone());
        let log_lines_dropped = Counter::default();
        registry.register(
            "log_lines_dropped",
            "Log lines that standard error did not take",
            log_lines_dropped.clone(),
        );
        let (connections, connections_ended) = (Gauge::default(), Family::default());
        registry.register("connections", "Open connections", connections.clone());
        registry.register(
            "connections_ended",
            "Connections that ended, and why",
            connections_ended.clone(),
        );
        Self {
            registry,
            requests,
            durations,
            passes,
            queued,
            working,
            ready,
            cache,
            cache_bytes,
            log_lines_dropped,
            connections,
            connections_ended,
        }
    }
}

impl Metrics {
    /// Counts a finished request.
    pub(super) fn request(&self, route: Route, status: u16, elapsed: Duration) {
        self.durations.get_or_create(&route).observe(elapsed.as_secs_f64());
        let Route { route, method } = route;
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
    }

    /// Counts a connection that was accepted.
    pub(super) fn connection_began(&self) {
        self.connections.inc();
    }

    /// Counts a connection that ended.
    pub(super) fn connection_ended(&self, reason: &'static str) {
        self.connections.dec();
        self.connections_ended.get_or_create(&EndingLabel { reason }).inc();
    }

    /// Counts passes through a model.
    pub(super) fn passes(&self, model: &str, passes: Passes) {
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

    /// All metrics as text.
    ///
    /// # Errors
    /// An internal error.
    pub(super) fn text(&self, models: &ModelRegistry, admission: &Admission) -> Result<String> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.queued.set(gauge(admission.queued()));
        self.working.set(gauge(admission.working()));
        for (model, status) in models.list() {
            let is_ready = matches!(status, Status::Ready(_));
            self.ready.get_or_create(&ModelLabel { model }).set(i64::from(is_ready));
        }
        let CacheStats { forward, masked, bytes } = models.cache().usage();
        self.cache_bytes.set(gauge(bytes));
        for (kind, (hits, misses)) in [("forward", forward), ("masked", masked)] {
            for (outcome, count) in [("hit", hits), ("miss", misses)] {
                // The cache counts on its own; its counts only grow, as a counter's must.
                self.cache
                    .get_or_create(&CacheLabels { kind, outcome })
                    .inner()
                    .store(count, Ordering::Relaxed);
            }
        }
        // The log counts on its own, too.
        self.log_lines_dropped.inner().store(telemetry::lines_dropped(), Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry)
            .map_err(|error| Error::internal("writing the metrics", error))?;
        Ok(text)
    }
}
