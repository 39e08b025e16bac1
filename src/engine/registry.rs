//! All models of the service, and whether each is loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::entries::{Entries, Entry};
use super::loader::{Command, Loader, Open};
use super::model::Model;
use super::reload::ReloadReport;
use super::runtime::Runtime;
use super::settings::Settings;
use super::trials::Trials;
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
    entries: Arc<Entries>,
    loader: Arc<LoaderHandle>,
    cache: Cache,
    turns: Turns,
}

/// Tells the loader what to do. Its thread ends when this is dropped.
struct LoaderHandle(Sender<Command>);

impl Drop for LoaderHandle {
    fn drop(&mut self) {
        // Fails if the thread has ended already.
        let _ = self.0.send(Command::End);
    }
}

impl ModelRegistry {
    /// Loads the runtime and starts a thread that loads every model below `folder`, one after
    /// another, the default first; a model that is tried before is loaded after its trial.
    /// `default` is the id of the model for requests that name none; without it
    /// [`available_models`] chooses.
    ///
    /// # Errors
    /// [`Kind::Setup`] when there is no runtime, no model, or no model `default`.
    pub fn start(folder: &Path, default: Option<&str>, settings: &Settings) -> Result<Self> {
        let runtime = Runtime::load(settings)?;
        for (folder, reason) in skipped_folders(folder)? {
            let (folder, has_readme) = (folder.display(), folder.join("README.md").is_file());
            // A model that comes with instructions has not been fetched yet: no fault.
            if has_readme {
                let hint = "its README.md says how to get it";
                tracing::info!(%folder, hint, "no model in this folder yet");
            } else {
                tracing::warn!(%folder, reason, "no model in this folder");
            }
        }
        let (mut folders, default) = available_models(folder, default)?;
        let entries = Arc::new(Entries::of(folders.iter().map(|path| folder_id(path)).collect()));
        folders.sort_by_key(|path| folder_id(path) != default);

        let cache = Cache::new(settings.cache_bytes);
        let turns = turns(settings, &runtime);
        let open = opener(runtime, settings.clone(), cache.clone(), turns.clone());
        let (commands, received) = channel();
        let trials = Trials::start(settings, &commands)?;
        let loader = Loader::new(folder.to_owned(), open, trials, Arc::clone(&entries));
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || loader.run(&folders, &received))
            .map_err(|error| Error::internal("starting the loader's thread", error))?;
        let loader = Arc::new(LoaderHandle(commands));
        Ok(Self { default, entries, loader, cache, turns })
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
        self.entries.lock().iter().map(entry).collect()
    }

    /// Why the version of a model that is on disk is not served, where an older one is.
    #[must_use]
    pub fn problem(&self, id: &str) -> Option<Arc<Error>> {
        self.entries.lock().iter().find(|entry| entry.id == id)?.problem.clone()
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
        self.loader.0.send(command(reply)).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())
    }

    /// The model of this id, or the default one.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] that lists the models, [`Kind::NotReady`] while it loads, or
    /// [`Kind::ModelFailed`] with the reason.
    pub fn get(&self, id: Option<&str>) -> Result<Arc<Model>> {
        let id = id.unwrap_or(&self.default);
        let models = self.entries.lock();
        let found = models.iter().find(|entry| entry.id == id);
        match found.map(|entry| (&entry.status, entry.since)) {
            Some((Status::Ready(model), _)) => Ok(Arc::clone(model)),
            Some((Status::Loading, since)) => {
                let detail = format!("model '{id}' is still loading");
                let after_s = about_as_long_again(since.elapsed());
                Err(Error::new(Kind::NotReady, detail).retry_after_s(after_s))
            }
            Some((Status::Failed(error), _)) => Err(Error::new(
                Kind::ModelFailed,
                format!("model '{id}' could not be loaded: {}", failure(error, id)),
            )),
            None => Err(Error::new(Kind::UnknownModel, unknown(id, &models))),
        }
    }

    /// Waits until every model is loaded or has failed.
    pub fn wait(&self) {
        self.entries.wait();
    }
}

/// Loads a model, and logs what there is to know about it.
fn opener(runtime: Runtime, settings: Settings, cache: Cache, turns: Turns) -> Open {
    Box::new(move |path| {
        let started = Instant::now();
        let folder = ModelFolder::read(path)?;
        let model = Model::load(folder, &runtime, &settings, cache.clone(), turns.clone())?;
        for warning in model.warnings() {
            tracing::warn!(model = model.id(), code = warning.code.name(), "{}", warning.detail);
        }
        let duration_ms = started.elapsed().as_secs_f64() * 1e3;
        let layers = model.layers().len();
        tracing::info!(model = model.id(), layers, duration_ms, "model ready");
        Ok(model)
    })
}

/// What a client learns who names a model that there is not.
fn unknown(id: &str, models: &[Entry]) -> String {
    let id = shortened(id);
    let known: Vec<&str> = models.iter().map(|entry| entry.id.as_str()).collect();
    match known.as_slice() {
        [] => format!("there is no model '{id}', and no other one"),
        _ => format!("there is no model '{id}'; there are: {}", known.join(", ")),
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

/// When to ask again for a model that has been loading for so long, in seconds. How long a model takes
/// depends on the file and on what else runs, so the forecast is that it takes as long again.
fn about_as_long_again(loading: Duration) -> u16 {
    const LONGEST_S: u64 = 60;
    let seconds = loading.as_secs_f64().ceil() as u64;
    u16::try_from(seconds.clamp(1, LONGEST_S)).unwrap_or(1)
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
