//! All models of the service, and how far each is.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::cache::Cache;
use super::model::Model;
use super::runtime::Runtime;
use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::folder::{available, folder_id};

/// How far a model is.
#[derive(Clone)]
pub enum Status {
    /// It is being loaded.
    Loading,
    /// It answers.
    Ready(Arc<Model>),
    /// It can't be loaded, and why.
    Failed(Arc<Error>),
}

/// All models of the service. Clones share them.
#[derive(Clone)]
pub struct ModelRegistry {
    default: String,
    shared: Arc<Shared>,
    cache: Cache,
}

struct Shared {
    models: Mutex<Vec<(String, Status)>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, Status)>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModelRegistry {
    /// Loads the runtime, and begins to load every model below `folder` on a thread of its own, one
    /// after another, the default first. `default` names the model that answers requests that
    /// name none; without it [`available`] chooses.
    ///
    /// # Errors
    /// [`Kind::Setup`]: no runtime, no models, no such default.
    pub fn start(folder: &Path, default: Option<&str>, settings: &Settings) -> Result<Self> {
        let runtime = Runtime::load(settings)?;
        let (mut folders, default) = available(folder, default)?;
        let ids: Vec<String> = folders.iter().map(|path| folder_id(path)).collect();
        folders.sort_by_key(|path| folder_id(path) != default);

        let models = ids.into_iter().map(|id| (id, Status::Loading)).collect();
        let shared = Arc::new(Shared { models: Mutex::new(models), changed: Condvar::new() });
        let cache = Cache::new(settings.cache_bytes);
        let (loader, settings, kept) = (Arc::clone(&shared), settings.clone(), cache.clone());
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || {
                for path in folders {
                    let status = load(&path, &runtime, &settings, kept.clone());
                    let mut models = loader.lock();
                    if let Some(entry) =
                        models.iter_mut().find(|(known, _)| *known == folder_id(&path))
                    {
                        entry.1 = status;
                    }
                    drop(models);
                    loader.changed.notify_all();
                }
            })
            .map_err(|error| Error::internal("starting the loader's thread", error))?;
        Ok(Self { default, shared, cache })
    }

    /// Loads the one model of a folder that is not below a models folder, as `inspect` does with a
    /// file.
    ///
    /// # Errors
    /// [`Kind::Setup`] with what is wrong.
    pub fn load_one(folder: ModelFolder, settings: &Settings) -> Result<Model> {
        Model::load(folder, &Runtime::load(settings)?, settings, Cache::new(settings.cache_bytes))
    }

    /// The id of the model that answers requests that name none.
    #[must_use]
    pub fn default_id(&self) -> &str {
        &self.default
    }

    /// What all models share of outcomes that are known.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Every model by id, in order, with its status.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Status)> {
        self.shared.lock().clone()
    }

    /// The model of this id, or the default one.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] naming those there are, or [`Kind::NotReady`].
    pub fn get(&self, id: Option<&str>) -> Result<Arc<Model>> {
        let id = id.unwrap_or(&self.default);
        let models = self.shared.lock();
        match models.iter().find(|(known, _)| known == id).map(|(_, status)| status) {
            Some(Status::Ready(model)) => Ok(Arc::clone(model)),
            Some(Status::Loading) => {
                Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")))
            }
            Some(Status::Failed(_)) => Err(Error::new(
                Kind::NotReady,
                format!("model '{id}' could not be loaded; the service's log says why"),
            )),
            None => {
                let known: Vec<&str> = models.iter().map(|(known, _)| known.as_str()).collect();
                Err(Error::new(
                    Kind::UnknownModel,
                    format!("there is no model '{id}'; there are: {}", known.join(", ")),
                ))
            }
        }
    }

    /// Waits until no model is loading any more.
    pub fn wait(&self) {
        let models = self.shared.lock();
        let loading = |models: &mut Vec<(String, Status)>| {
            models.iter().any(|(_, status)| matches!(status, Status::Loading))
        };
        drop(
            self.shared.changed.wait_while(models, loading).unwrap_or_else(PoisonError::into_inner),
        );
    }
}

fn load(path: &Path, runtime: &Runtime, settings: &Settings, cache: Cache) -> Status {
    let started = std::time::Instant::now();
    let loaded = ModelFolder::read(path).and_then(|folder| {
        for warning in &folder.warnings {
            tracing::warn!("{warning}");
        }
        Model::load(folder, runtime, settings, cache)
    });
    match loaded {
        Ok(model) => {
            let duration_ms = started.elapsed().as_secs_f64() * 1e3;
            tracing::info!(
                model = model.id(),
                layers = model.layers().len(),
                duration_ms,
                "model ready"
            );
            Status::Ready(Arc::new(model))
        }
        Err(error) => {
            tracing::error!(model = %path.display(), error = ?error, "model can't be loaded");
            Status::Failed(Arc::new(error))
        }
    }
}
