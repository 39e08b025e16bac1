//! All models of the service, and whether each is loaded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::cache::Cache;
use super::loader::{Command, Loader, ReloadReport};
use super::model::Model;
use super::runtime::Runtime;
use super::settings::Settings;
use super::turns::Turns;
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
    loader: Sender<Command>,
    cache: Cache,
    turns: Turns,
}

/// A model of the service.
pub(super) struct Entry {
    pub(super) id: String,
    status: Status,
    /// Why the version on disk is not served, where an older one is.
    problem: Option<Arc<Error>>,
}

/// What requests and the loader share.
pub(super) struct Shared {
    /// Sorted by id.
    models: Mutex<Vec<Entry>>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a model's entry, which is made if need be. What the change returns is dropped
    /// without the lock: dropping a model waits for its pass in progress.
    fn change<T>(&self, id: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut models = self.lock();
        let index = models.binary_search_by(|entry| entry.id.as_str().cmp(id));
        let index = index.unwrap_or_else(|index| {
            let (id, status) = (id.to_owned(), Status::Loading);
            models.insert(index, Entry { id, status, problem: None });
            index
        });
        let result = change(&mut models[index]);
        drop(models);
        self.changed.notify_all();
        result
    }

    /// A model is about to be loaded: one that is served stays so.
    pub(super) fn begin(&self, id: &str) {
        self.change(id, |entry| {
            if !matches!(entry.status, Status::Ready(_)) {
                entry.status = Status::Loading;
            }
        });
    }

    pub(super) fn set(&self, id: &str, status: Status, problem: Option<Arc<Error>>) {
        let old = self.change(id, |entry| {
            entry.problem = problem;
            std::mem::replace(&mut entry.status, status)
        });
        drop(old);
    }

    /// A version of a model could not be loaded. Whether an older one is served on.
    pub(super) fn set_failed(&self, id: &str, error: &Arc<Error>) -> bool {
        self.change(id, |entry| match entry.status {
            Status::Ready(_) => {
                entry.problem = Some(Arc::clone(error));
                true
            }
            _ => {
                entry.status = Status::Failed(Arc::clone(error));
                false
            }
        })
    }

    /// Removes a model; whether there was one.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut models = self.lock();
        let index = models.iter().position(|entry| entry.id == id);
        let removed = index.map(|index| models.remove(index));
        drop(models);
        self.changed.notify_all();
        removed.is_some()
    }

    /// Whether a loaded model's files are no longer those that were loaded.
    pub(super) fn has_changed(&self, id: &str) -> bool {
        let models = self.lock();
        models.iter().any(|entry| match &entry.status {
            Status::Ready(model) => entry.id == id && model.has_changed_on_disk(),
            _ => false,
        })
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
        let entry = |path: &PathBuf| {
            let (id, status) = (folder_id(path), Status::Loading);
            Entry { id, status, problem: None }
        };
        let mut models: Vec<Entry> = folders.iter().map(entry).collect();
        models.sort_by(|one, other| one.id.cmp(&other.id));
        folders.sort_by_key(|path| folder_id(path) != default);

        let shared = Arc::new(Shared { models: Mutex::new(models), changed: Condvar::new() });
        let cache = Cache::new(settings.cache_bytes);
        let turns = turns(settings, &runtime);
        let loader = Loader {
            models: folder.to_owned(),
            runtime,
            settings: settings.clone(),
            cache: cache.clone(),
            turns: turns.clone(),
            shared: Arc::clone(&shared),
            seen: HashMap::new(),
        };
        let (commands, received) = channel();
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || loader.run(&folders, &received))
            .map_err(|error| Error::internal("starting the loader's thread", error))?;
        Ok(Self { default, shared, loader: commands, cache, turns })
    }

    /// Loads a single model, such as a file that `inspect` is given.
    ///
    /// # Errors
    /// [`Kind::Setup`] that says what is wrong.
    pub fn load_one(folder: ModelFolder, settings: &Settings) -> Result<Model> {
        let runtime = Runtime::load(settings)?;
        let (cache, turns) = (Cache::new(settings.cache_bytes), turns(settings, &runtime));
        Model::load(folder, &runtime, settings, cache, turns)
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

    /// The turns of all models' passes.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The id and status of every model, in order.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Status)> {
        let entry = |entry: &Entry| (entry.id.clone(), entry.status.clone());
        self.shared.lock().iter().map(entry).collect()
    }

    /// Why the version of a model that is on disk is not served, where an older one is.
    #[must_use]
    pub fn problem(&self, id: &str) -> Option<Arc<Error>> {
        self.shared.lock().iter().find(|entry| entry.id == id)?.problem.clone()
    }

    /// Takes in what changed in the models folder, and waits for it. The default model stays the
    /// one that was chosen at the start.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the folder can't be read. Models that can't be loaded are in the
    /// report.
    pub fn reload(&self) -> Result<ReloadReport> {
        self.ask(Command::Reload)?
    }

    /// Loads a model again, or for the first time, and waits for it.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] when there is no such folder, [`Kind::ModelFailed`] with the reason;
    /// then a version from before is served on.
    pub fn load(&self, id: &str) -> Result<()> {
        self.ask(|reply| Command::Load(id.to_owned(), reply))?
    }

    /// Stops serving a model, until it is loaded or the models are reloaded. Requests that have
    /// begun are served to the end.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`].
    pub fn unload(&self, id: &str) -> Result<()> {
        self.ask(|reply| Command::Unload(id.to_owned(), reply))?
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T> {
        let gone = || Error::internal("loading a model", "the loader's thread has ended");
        let (reply, outcome) = channel();
        self.loader.send(command(reply)).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())
    }

    /// The model of this id, or the default one.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] that lists the models, [`Kind::NotReady`] while it loads, or
    /// [`Kind::ModelFailed`] with the reason.
    pub fn get(&self, id: Option<&str>) -> Result<Arc<Model>> {
        let id = id.unwrap_or(&self.default);
        let models = self.shared.lock();
        match models.iter().find(|entry| entry.id == id).map(|entry| &entry.status) {
            Some(Status::Ready(model)) => Ok(Arc::clone(model)),
            Some(Status::Loading) => {
                Err(Error::new(Kind::NotReady, format!("model '{id}' is still loading")))
            }
            Some(Status::Failed(error)) => Err(Error::new(
                Kind::ModelFailed,
                format!("model '{id}' could not be loaded: {}", failure(error, id)),
            )),
            None => {
                let known: Vec<&str> = models.iter().map(|entry| entry.id.as_str()).collect();
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
        let loading = |models: &mut Vec<Entry>| {
            models.iter().any(|entry| matches!(entry.status, Status::Loading))
        };
        drop(
            self.shared.changed.wait_while(models, loading).unwrap_or_else(PoisonError::into_inner),
        );
    }
}

fn turns(settings: &Settings, runtime: &Runtime) -> Turns {
    Turns::new(settings.parallel, settings.parts(runtime.threads()).count)
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
