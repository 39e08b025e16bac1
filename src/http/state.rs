//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use super::middleware::admission::budget::MemoryBudget;
use super::middleware::admission::queue::Admission;
use super::middleware::keys::ApiKeys;
use super::protocols::vertex::keep_foreign_routes;
use crate::config;
use crate::engine::{Model, ModelRegistry};
use crate::error::{Kind, Result};
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
    is_stopping: AtomicBool,
    /// Absent if requests need no key.
    pub(super) keys: Option<ApiKeys>,
}

impl AppState {
    /// The state of a service with these models and limits.
    #[must_use]
    pub fn new(models: ModelRegistry, server: config::Server) -> Arc<Self> {
        Self::with_keys(models, server, None)
    }

    /// Like [`AppState::new`], for a service that asks for an API key.
    #[must_use]
    pub fn with_keys(
        models: ModelRegistry,
        mut server: config::Server,
        keys: Option<ApiKeys>,
    ) -> Arc<Self> {
        keep_foreign_routes(&mut server);
        let (budget, is_measured) = match server.memory_budget {
            Some(bytes) => (bytes as u64, false),
            // Half of it until the models are loaded and it is known what they take.
            None => (memory::limit_bytes().map_or(UNKNOWN_LIMIT_BYTES, |bytes| bytes / 2), true),
        };
        let budget = MemoryBudget::new(budget);
        models.turns().limit_batch_bytes(budget.total_bytes() / BATCH_SHARE);
        let admission = Admission::new(&server, models.turns().clone(), budget);
        let (metrics, is_stopping) = (Metrics::default(), AtomicBool::new(false));
        let state = Arc::new(Self { models, server, admission, metrics, is_stopping, keys });
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
            admission.budget().resize(usable - batch);
            let budget_bytes = admission.budget().total_bytes();
            tracing::info!(limit, taken, budget_bytes, batch_bytes = batch, "memory budget");
        };
        if let Err(error) = std::thread::Builder::new().name("memory".into()).spawn(measure) {
            tracing::warn!(%error, "the memory that the models take is not measured");
        }
    }

    /// The service is no longer ready, though it may still accept requests.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// Whether a shutdown has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// The model of this id, or the default one, which may have another name
    /// (`server.model_name`).
    ///
    /// # Errors
    /// Those of [`ModelRegistry::get`].
    pub(super) fn model(&self, name: Option<&str>) -> Result<Arc<Model>> {
        let found = self.models.get(name);
        match &found {
            Err(error) if error.kind() == Kind::UnknownModel && self.is_other_name(name) => {
                self.models.get(None)
            }
            _ => found,
        }
    }

    fn is_other_name(&self, name: Option<&str>) -> bool {
        name.is_some() && name == self.server.model_name.as_deref()
    }

    /// The queue, which a shutdown empties.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}
