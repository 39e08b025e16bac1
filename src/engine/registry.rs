//! All models of the service, and how far each is.

use std::path::Path;
use std::sync::Arc;

use super::{Model, Settings};
use crate::error::Result;

/// How far a model is.
#[derive(Clone)]
pub enum Status {
    /// It is being loaded.
    Loading,
    /// It answers.
    Ready(Arc<Model>),
    /// It can't be loaded, and why.
    Failed(String),
}

/// All models of the service.
pub struct Models {
    _private: (),
}

impl Models {
    /// Loads the runtime, and begins to load every model below `folder`, each on its own thread.
    /// `default` names the model that answers requests that name none.
    ///
    /// # Errors
    /// [`crate::error::Kind::Setup`]: no runtime, no models, no such default.
    pub fn start(_folder: &Path, _default: Option<&str>, _settings: &Settings) -> Result<Self> {
        unimplemented!()
    }
    /// The id of the model that answers requests that name none.
    #[must_use]
    pub fn default_id(&self) -> &str {
        unimplemented!()
    }
    /// Every model by id, in order, with its status.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Status)> {
        unimplemented!()
    }
    /// The model of this id, or the default one.
    ///
    /// # Errors
    /// `UnknownModel` (naming those there are) or `NotReady`.
    pub fn get(&self, _id: Option<&str>) -> Result<Arc<Model>> {
        unimplemented!()
    }
    /// Waits until no model is loading any more.
    pub fn wait(&self) {
        unimplemented!()
    }
}
