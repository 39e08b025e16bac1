//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use super::middleware::admission::queue::Admission;
use super::middleware::keys::ApiKeys;
use super::protocols::vertex::keep_foreign_routes;
use crate::config;
use crate::engine::{Model, ModelRegistry};
use crate::error::{Kind, Result};

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
        let admission = Admission::new(&server);
        let (metrics, is_stopping) = (Metrics::default(), AtomicBool::new(false));
        Arc::new(Self { models, server, admission, metrics, is_stopping, keys })
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
