//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use super::middleware::admission::queue::Admission;
use crate::config;
use crate::engine::ModelRegistry;

/// Models, limits, queue and metrics of a service.
pub struct AppState {
    pub(super) models: ModelRegistry,
    pub(super) server: config::Server,
    pub(super) admission: Arc<Admission>,
    pub(super) metrics: Metrics,
    is_stopping: AtomicBool,
}

impl AppState {
    /// The state of a service with these models and limits.
    #[must_use]
    pub fn new(models: ModelRegistry, server: config::Server) -> Arc<Self> {
        let admission = Admission::new(&server);
        let (metrics, is_stopping) = (Metrics::default(), AtomicBool::new(false));
        Arc::new(Self { models, server, admission, metrics, is_stopping })
    }

    /// The service is no longer ready, though it may still accept requests.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// Whether a shutdown has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// The queue, which a shutdown empties.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}
