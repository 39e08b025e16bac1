//! Counters, gauges and histograms in Prometheus' text format.
//!
//! State (queue, models, cache) is read when the metrics are scraped; events are counted when they
//! happen. Labels have a bounded set of values, regardless of what clients send.

mod process;

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::process::Process;
use super::extensions::ResponseFacts;
use super::middleware::admission::queue::Admission;
use crate::engine::{CacheStats, JobClass, ModelRegistry, Status};
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
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UseLabel {
    r#use: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

/// A finished request. Model and method are empty where no model answered: an unknown model's name
/// is the client's, and must not become a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    route: String,
    method: &'static str,
    status: u16,
    model: String,
    explain_method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// OpenTelemetry's buckets for the duration of HTTP requests, in seconds, and three more:
/// Score-CAM of a large network takes minutes.
const BUCKETS: [f64; 17] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
    120.0,
];

fn durations<L: Clone + Eq + std::hash::Hash>() -> Durations<L> {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabel {
    reason: &'static str,
}

/// All metrics of a service.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations<DurationLabels>,
    stages: Durations<StageLabels>,
    process: Process,
    passes: Family<PassLabels, Counter>,
    queued: Family<ClassLabel, Gauge>,
    reading: Gauge,
    working: Gauge,
    memory: Family<UseLabel, Gauge>,
    memory_budget: Gauge,
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
        let (durations, stages) = (durations(), durations());
        let (passes, ready) = (Family::default(), Family::default());
        let (queued, reading, working) = (Family::default(), Gauge::default(), Gauge::default());
        let (memory, memory_budget) = (Family::default(), Gauge::default());
        registry.register("requests", "Requests by response status", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its response",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit(
            "stage_duration",
            "Time of each stage of a request that a model answered",
            Unit::Seconds,
            stages.clone(),
        );
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION") };
        registry.register("build", "The version that runs", Info::new(build));
        registry.register(
            "passes",
            "Passes through a model, and passes that were skipped",
            passes.clone(),
        );
        registry.register(
            "queue",
            "Requests that are queued or worked on, by class",
            queued.clone(),
        );
        registry.register("reading", "Requests whose bodies are arriving", reading.clone());
        registry.register(
            "request_memory_bytes",
            "Bytes that requests have reserved of the memory budget",
            memory.clone(),
        );
        registry.register(
            "request_memory_budget_bytes",
            "Bytes that all requests together may reserve",
            memory_budget.clone(),
        );
        registry.register("working", "Requests that are being worked on", working.clone());
        registry.register("model_ready", "1 for a model that is ready, else 0", ready.clone());
        let (cache, cache_bytes) = (Family::default(), Gauge::default());
        registry.register("cache", "Cache lookups", cache.clone());
        registry.register("cache_bytes", "Size of the cache", cache_bytes.clone());
        let process = Process::default();
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
            stages,
            process,
            passes,
            queued,
            reading,
            working,
            memory,
            memory_budget,
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
    /// Counts a finished request, and the stages of one that a model answered.
    pub(super) fn request(
        &self,
        route: Route,
        status: u16,
        elapsed: Duration,
        facts: Option<&ResponseFacts>,
    ) {
        let Route { route, method } = route;
        let model = facts.map(|facts| facts.model.clone()).unwrap_or_default();
        for (stage, seconds) in facts.into_iter().flat_map(ResponseFacts::stages_s) {
            let labels = StageLabels { stage, model: model.clone() };
            self.stages.get_or_create(&labels).observe(seconds);
        }
        let explain_method = facts.and_then(|facts| facts.method).unwrap_or_default();
        let labels = DurationLabels { route: route.clone(), method, status, model, explain_method };
        self.durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
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
        for class in JobClass::ALL {
            let label = ClassLabel { class: class.name() };
            self.queued.get_or_create(&label).set(gauge(admission.queued_of(class)));
        }
        self.reading.set(gauge(admission.in_flight().saturating_sub(admission.queued())));
        let budget = admission.budget();
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (bodies, work) = budget.reserved_bytes();
        for (r#use, reserved) in [("bodies", bodies), ("work", work)] {
            self.memory.get_or_create(&UseLabel { r#use }).set(bytes(reserved));
        }
        self.memory_budget.set(bytes(budget.total_bytes()));
        self.working.set(gauge(admission.working()));
        // A model that was removed leaves no gauge behind.
        self.ready.clear();
        for (model, status) in models.list() {
            let is_ready = matches!(status, Status::Ready(model) if model.check_files().is_ok());
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
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, self.process.registry()))
            .and_then(|()| encode_eof(&mut text))
            .map_err(|error| Error::internal("writing the metrics", error))?;
        Ok(text)
    }
}
