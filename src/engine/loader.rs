//! The thread that loads models: all of them at the start, and later those that changed on disk.
//!
//! A new version is loaded beside the old one, which serves until then. Requests that have begun
//! keep the version that they began with. If the new one is bad, the old one goes on.

use std::any::Any;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use super::cache::Cache;
use super::model::Model;
use super::registry::{Entry, Shared, Status, failure};
use super::runtime::Runtime;
use super::settings::Settings;
use super::trial;
use super::turns::Turns;
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::folder::folder_id;

/// What the thread is asked to do.
pub(super) enum Command {
    /// Take in what changed in the models folder.
    Reload(Sender<Result<ReloadReport>>),
    /// Load a model again, changed or not.
    Load(String, Sender<Result<()>>),
    /// Stop serving a model.
    Unload(String, Sender<Result<()>>),
}

/// What a reload has done, as ids of models.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// New or changed, and loaded.
    pub loaded: Vec<String>,
    /// The same as before.
    pub unchanged: Vec<String>,
    /// No longer in the models folder, and no longer served.
    pub removed: Vec<String>,
    /// New or changed and not loaded, with the reasons. A version from before is served on.
    pub failed: Vec<(String, Arc<Error>)>,
}

/// What the thread needs.
pub(super) struct Loader {
    pub(super) models: PathBuf,
    pub(super) runtime: Runtime,
    pub(super) settings: Settings,
    pub(super) cache: Cache,
    pub(super) turns: Turns,
    pub(super) shared: Arc<Shared>,
    /// The folders of the models as they were when they were last tried.
    pub(super) seen: HashMap<String, Fingerprint>,
}

/// The files of a folder with what tells their versions apart.
#[derive(PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Option<[i64; 5]>)>);

impl Fingerprint {
    fn of(folder: &Path) -> Self {
        let paths = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let stat = |path: &Path| {
            let found = path.metadata().ok()?;
            let (device, inode, size) = (found.dev(), found.ino(), found.size());
            let [device, inode, size] = [device, inode, size].map(u64::cast_signed);
            Some([device, inode, size, found.mtime(), found.mtime_nsec()])
        };
        let mut files: Vec<_> =
            paths.map(|entry| entry.path()).map(|path| (path.clone(), stat(&path))).collect();
        files.sort();
        Self(files)
    }
}

impl Loader {
    /// Loads the models of some folders, and then does what it is asked to, until nobody can ask
    /// any more.
    pub(super) fn run(mut self, folders: &[PathBuf], commands: &Receiver<Command>) {
        for folder in folders {
            // An error is in the model's status.
            let _ = self.load(folder);
        }
        // Sending a reply fails when nobody waits for it.
        for command in commands {
            match command {
                Command::Reload(reply) => drop(reply.send(self.reload())),
                Command::Load(id, reply) => drop(reply.send(self.load_id(&id))),
                Command::Unload(id, reply) => drop(reply.send(self.unload(&id))),
            }
        }
    }

    fn reload(&mut self) -> Result<ReloadReport> {
        let folders = ModelFolder::list(&self.models)?;
        let mut report = ReloadReport::default();
        let ids: Vec<String> = folders.iter().map(|folder| folder_id(folder)).collect();
        let gone = |entry: &Entry| (!ids.contains(&entry.id)).then(|| entry.id.clone());
        let gone: Vec<String> = self.shared.lock().iter().filter_map(gone).collect();
        for id in gone {
            tracing::warn!(model = id, "its folder holds no model any more; it is not served");
            self.shared.remove(&id);
            self.seen.remove(&id);
            report.removed.push(id);
        }
        for (id, folder) in ids.into_iter().zip(&folders) {
            let is_served = self.shared.lock().iter().any(|entry| entry.id == id);
            let is_known = is_served && self.seen.get(&id) == Some(&Fingerprint::of(folder));
            if is_known && !self.shared.has_changed(&id) {
                report.unchanged.push(id);
                continue;
            }
            match self.load(folder) {
                Ok(()) => report.loaded.push(id),
                Err(error) => report.failed.push((id, error)),
            }
        }
        let ReloadReport { loaded, unchanged, removed, failed } = &report;
        let failed: Vec<&str> = failed.iter().map(|(id, _)| id.as_str()).collect();
        let unchanged = unchanged.len();
        tracing::info!(?loaded, ?removed, ?failed, unchanged, "reloaded the models");
        Ok(report)
    }

    fn load_id(&mut self, id: &str) -> Result<()> {
        let folders = ModelFolder::list(&self.models)?;
        let folder = folders.iter().find(|folder| folder_id(folder) == id).ok_or_else(|| {
            Error::new(Kind::UnknownModel, "the models folder has no model of this id")
        })?;
        self.load(folder).map_err(|error| {
            let reason = failure(&error, id);
            Error::new(Kind::ModelFailed, format!("model '{id}' could not be loaded: {reason}"))
        })
    }

    fn unload(&mut self, id: &str) -> Result<()> {
        if !self.shared.remove(id) {
            return Err(Error::new(Kind::UnknownModel, "no model of this id is served"));
        }
        self.seen.remove(id);
        tracing::info!(model = id, "unloaded the model");
        Ok(())
    }

    /// Loads the model in a folder and serves it, in place of an older version if there is one.
    fn load(&mut self, folder: &Path) -> Result<(), Arc<Error>> {
        let id = folder_id(folder);
        self.shared.begin(&id);
        let before = Fingerprint::of(folder);
        // A bug that one file meets must not end the thread that loads all others.
        let loaded = crate::panics::catch(|| self.loaded(folder));
        let loaded = loaded.unwrap_or_else(|panic| Err(internal(panic.as_ref(), folder)));
        let loaded = loaded.and_then(|model| {
            if Fingerprint::of(folder) == before {
                return Ok(model);
            }
            let reason = "the folder changed while its model was loaded; load it again";
            Err(Error::new(Kind::Setup, reason).at_path(folder))
        });
        self.seen.insert(id.clone(), before);
        match loaded {
            Ok(model) => {
                self.shared.set(&id, Status::Ready(Arc::new(model)), None);
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                let model = folder.display();
                if self.shared.set_failed(&id, &error) {
                    tracing::error!(%model, ?error, "model can't be reloaded; it is served on");
                } else {
                    tracing::error!(%model, ?error, "model can't be loaded");
                }
                Err(error)
            }
        }
    }

    fn loaded(&self, path: &Path) -> Result<Model> {
        let started = Instant::now();
        let folder = ModelFolder::read(path)?;
        if trial::is_needed(&folder, self.settings.trial) {
            trial::run(path, &self.settings)?;
        }
        let model = Model::load(
            folder,
            &self.runtime,
            &self.settings,
            self.cache.clone(),
            self.turns.clone(),
        )?;
        for warning in model.warnings() {
            tracing::warn!(model = model.id(), code = warning.code.name(), "{}", warning.detail);
        }
        let duration_ms = started.elapsed().as_secs_f64() * 1e3;
        let layers = model.layers().len();
        tracing::info!(model = model.id(), layers, duration_ms, "model ready");
        Ok(model)
    }
}

/// The error of a model whose loading panicked.
fn internal(panic: &(dyn Any + Send), folder: &Path) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let reason = format!("loading the model failed by a bug in camlens: {text}");
    Error::new(Kind::Setup, reason).at_path(folder)
}
