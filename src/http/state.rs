//! What all requests share.

use std::sync::Arc;

use super::metrics::Metrics;
use super::middleware::admission::budget::MemoryBudget;
use super::middleware::admission::queue::Admission;
use crate::config;
use crate::engine::ModelRegistry;
use crate::memory;

/// The memory that is assumed where the system does not tell.
const UNKNOWN_LIMIT_BYTES: u64 = 1 << 30;
/// A batch of masked images may take this part of the budget.
const BATCH_SHARE: u64 = 4;

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
        let (budget, is_measured) = match server.memory_budget {
            Some(bytes) => (bytes as u64, false),
            // Half of it until the models are loaded and it is known what they take.
            None => (memory::limit_bytes().map_or(UNKNOWN_LIMIT_BYTES, |bytes| bytes / 2), true),
        };
        let budget = MemoryBudget::new(budget);
        models.turns().limit_batch_bytes(budget.total_bytes() / BATCH_SHARE);
        let admission = Admission::new(&server, models.turns().clone(), budget);
        let state = Arc::new(Self { models, server, admission, metrics: Metrics::default() });
        if is_measured {
            state.measure_models();
        }
        state
    }

    /// Sets the memory budget to what the models leave, once they are loaded.
    fn measure_models(self: &Arc<Self>) {
        let (models, admission) = (self.models.clone(), Arc::clone(&self.admission));
        let measure = move || {
            models.wait();
            memory::trim();
            let (limit, taken) = (memory::limit_bytes(), memory::private_bytes());
            let (Some(limit), Some(taken)) = (limit, taken) else { return };
            let usable = MemoryBudget::usable_bytes(limit, taken);
            // One batch of a model's pass is no request's, because passes take turns.
            let batch = usable / BATCH_SHARE;
            models.turns().limit_batch_bytes(batch);
            let budget = MemoryBudget::new(usable - batch);
            let budget_bytes = budget.total_bytes();
            tracing::info!(limit, taken, budget_bytes, batch_bytes = batch, "memory budget");
            admission.set_budget(budget);
        };
        if let Err(error) = std::thread::Builder::new().name("memory".into()).spawn(measure) {
            tracing::warn!(%error, "the memory that the models take is not measured");
        }
    }

    /// The queue, which a shutdown empties.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}
