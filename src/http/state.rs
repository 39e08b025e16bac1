//! What all requests share.

use std::sync::Arc;

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
}

impl AppState {
    /// The state of a service with these models and limits.
    #[must_use]
    pub fn new(models: ModelRegistry, server: config::Server) -> Arc<Self> {
        let admission = Admission::new(&server);
        Arc::new(Self { models, server, admission, metrics: Metrics::default() })
    }

    /// The queue, which a shutdown empties.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}
