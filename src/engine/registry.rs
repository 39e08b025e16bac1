//! All models of the service, and whether each is loaded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::cache::Cache;
use super::model::Model;
use super::runtime::Runtime;
use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::folder::{available_models, folder_id, skipped_folders};
use crate::text::shortened;

/// Whether a model is loaded.
#[derive(Clone)]
pub enum Status {
    /// The model is being loaded.
    Loading,
    /// The model is ready.
    Ready(Arc<Model>),
    /// The model could not be loaded, for this reason.
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
    /// Loads the runtime and starts a thread that loads every model below `folder`, one after
    /// another, the default first. `default` is the id of the model for requests that name none;
    /// without it [`available_models`] chooses.
    ///
    /// # Errors
    /// [`Kind::Setup`] when there is no runtime, no model, or no model `default`.
    pub fn start(folder: &Path, default: Option<&str>, settings: &Settings) -> Result<Self> {
        let runtime = Runtime::load(settings)?;
        for (folder, reason) in skipped_folders(folder)? {
            tracing::warn!(folder = %folder.display(), reason, "no model in this folder");
        }
        let (mut folders, default) = available_models(folder, default)?;
        let ids: Vec<String> = folders.iter().map(|path| folder_id(path)).collect();
        folders.sort_by_key(|path| folder_id(path) != default);

        let models = ids.into_iter().map(|id| (id, Status::Loading)).collect();
        let shared = Arc::new(Shared { models: Mutex::new(models), changed: Condvar::new() });
        let cache = Cache::new(settings.cache_bytes);
        let (loader, settings, loader_cache) =
            (Arc::clone(&shared), settings.clone(), cache.clone());
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || {
                for path in folders {
                    let status = load(&path, &runtime, &settings, loader_cache.clone());
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

    /// Loads a single model, such as a file that `inspect` is given.
    ///
    /// # Errors
    /// [`Kind::Setup`] that says what is wrong.
    pub fn load_one(folder: ModelFolder, settings: &Settings) -> Result<Model> {
        Model::load(folder, &Runtime::load(settings)?, settings, Cache::new(settings.cache_bytes))
    }

    /// The id of the model for requests that name none.
    #[must_use]
    pub fn default_id(&self) -> &str {
        &self.default
    }

    /// The result cache, which all models share.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The id and status of every model, in order.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Status)> {
        self.shared.lock().clone()
    }

    /// The model of this id, or the default one.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] that lists the models, [`Kind::NotReady`] while it loads, or
    /// [`Kind::ModelFailed`] with the reason.
    pub fn get(&self, id: Option<&str>) -> Result<Arc<Model>> {
        let id = id.unwrap_or(&self.default);
        let models = self.shared.lock();
        match models.iter().find(|(known, _)| known == id).map(|(_, status)| status) {
            Some(Status::Ready(model)) => Ok(Arc::clone(model)),
            Some(Status::Loading) => {
                Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")))
            }
            Some(Status::Failed(error)) => Err(Error::new(
                Kind::ModelFailed,
                format!("model '{id}' could not be loaded: {}", failure(error, id)),
            )),
            None => {
                let known: Vec<&str> = models.iter().map(|(known, _)| known.as_str()).collect();
                Err(Error::new(
                    Kind::UnknownModel,
                    format!(
                        "there is no model '{}'; there are: {}",
                        shortened(id),
                        known.join(", ")
                    ),
                ))
            }
        }
    }

    /// Waits until every model is loaded or has failed.
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

/// Why a model failed to load. Its files are named relative to the models folder, whose own path is
/// no business of a client.
#[must_use]
pub fn failure(error: &Error, id: &str) -> String {
    let detail = error.detail();
    let Some(path) = error.path() else { return detail.to_owned() };
    let in_folder: PathBuf = path.iter().skip_while(|part| *part != id).collect();
    match in_folder.as_os_str().is_empty() {
        true => detail.to_owned(),
        false => format!("{}: {detail}", in_folder.display()),
    }
}

fn load(path: &Path, runtime: &Runtime, settings: &Settings, cache: Cache) -> Status {
    let started = std::time::Instant::now();
    let loaded = ModelFolder::read(path).and_then(|folder| {
        let model = Model::load(folder, runtime, settings, cache)?;
        for warning in model.warnings() {
            tracing::warn!(model = model.id(), code = warning.code.name(), "{}", warning.detail);
        }
        Ok(model)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_relative_to_the_models_folder() {
        let error = |path: &str| Error::new(Kind::Setup, "no file").at_path(path);
        assert_eq!(failure(&error("/srv/models/a/model.onnx"), "a"), "a/model.onnx: no file");
        assert_eq!(failure(&error("a/model.toml"), "a"), "a/model.toml: no file");
        assert_eq!(failure(&error("/srv/libonnxruntime.so"), "a"), "no file");
        assert_eq!(failure(&Error::new(Kind::Setup, "line 1"), "a"), "line 1");
    }
}
