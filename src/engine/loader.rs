//! The thread that loads models: all of them at the start, and later those that changed on disk.
//!
//! A new version is loaded beside the old one, which serves until then. Requests that have begun
//! keep the version that they began with. If the new one is bad, the old one goes on.
//!
//! The thread never waits for a trial: [`Trials`] reports when one has ended. So a model that is
//! slow to try delays no other one, and no command.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use super::entries::{Entries, Entry};
use super::fingerprint::Fingerprint;
use super::model::Model;
use super::registry::{Status, failure};
use super::reload::{Done, Reload, ReloadReport};
use super::trials::{JobId, Trials};
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::folder::{folder_id, skipped_folders};

/// What the thread is told.
pub(super) enum Command {
    /// Take in what changed in the models folder.
    Reload(Sender<Result<ReloadReport>>),
    /// Load a model again, changed or not.
    Load(String, Sender<Result<()>>),
    /// Stop serving a model.
    Unload(String, Sender<Result<()>>),
    /// A trial has ended.
    Tried(JobId, Result<()>),
    /// Nobody needs the models any more.
    End,
}

/// Loads the model in a folder.
pub(super) type Open = Box<dyn Fn(&Path) -> Result<Model> + Send>;

/// A model that is tried or waits to be loaded.
struct Job {
    folder: PathBuf,
    before: Fingerprint,
    done: Vec<Done>,
}

/// What the thread needs.
pub(super) struct Loader {
    models: PathBuf,
    open: Open,
    trials: Trials,
    entries: Arc<Entries>,
    /// The folders of the models as they were when they were last loaded, or failed to.
    seen: HashMap<String, Fingerprint>,
    /// By the id of the model.
    jobs: HashMap<String, (JobId, Job)>,
    next_job: JobId,
    /// Models that need no trial, in order.
    ready: VecDeque<JobId>,
}

impl Loader {
    pub(super) fn new(models: PathBuf, open: Open, trials: Trials, entries: Arc<Entries>) -> Self {
        Self {
            models,
            open,
            trials,
            entries,
            seen: HashMap::new(),
            jobs: HashMap::new(),
            next_job: 0,
            ready: VecDeque::new(),
        }
    }

    /// Loads the models of some folders, and does what it is told, until nobody needs them.
    pub(super) fn run(mut self, folders: &[PathBuf], commands: &Receiver<Command>) {
        for folder in folders {
            // An error is in the model's status.
            self.begin(folder, Box::new(|_| ()));
        }
        loop {
            // What is said meanwhile goes before the next load: it may be the default model's turn.
            let command = match commands.try_recv() {
                Err(TryRecvError::Empty) => match self.ready.pop_front() {
                    Some(job) => Some(Command::Tried(job, Ok(()))),
                    None => commands.recv().ok(),
                },
                other => other.ok(),
            };
            // Sending a reply fails when nobody waits for it.
            match command {
                Some(Command::Reload(reply)) => self.reload(reply),
                Some(Command::Load(id, reply)) => self.load_id(id, reply),
                Some(Command::Unload(id, reply)) => drop(reply.send(self.unload(&id))),
                Some(Command::Tried(job, outcome)) => self.tried(job, outcome),
                Some(Command::End) | None => return,
            }
        }
    }

    fn reload(&mut self, reply: Sender<Result<ReloadReport>>) {
        let folders = match ModelFolder::list(&self.models) {
            Ok(folders) => folders,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let ids: Vec<String> = folders.iter().map(|folder| folder_id(folder)).collect();
        let gone = |entry: &Entry| (!ids.contains(&entry.id)).then(|| entry.id.clone());
        let gone: Vec<String> = self.entries.lock().iter().filter_map(gone).collect();
        for id in &gone {
            tracing::warn!(model = id, "its folder holds no model any more; it is not served");
            self.forget(id);
        }
        let reload = Reload::begin(gone, reply);
        for (id, folder) in ids.into_iter().zip(&folders) {
            let is_served = self.entries.lock().iter().any(|entry| entry.id == id);
            let now = Fingerprint::of(folder);
            let done = reload.waits_for(id.clone());
            if let Some((_, job)) = self.jobs.get_mut(&id).filter(|(_, job)| job.before == now) {
                job.done.push(done);
            } else if is_served
                && self.seen.get(&id) == Some(&now)
                && !self.entries.has_changed(&id)
            {
                reload.is_unchanged(id);
            } else {
                self.begin(folder, done);
            }
        }
    }

    fn load_id(&mut self, id: String, reply: Sender<Result<()>>) {
        let folder = ModelFolder::list(&self.models).and_then(|folders| {
            let found = folders.into_iter().find(|folder| folder_id(folder) == id);
            found.ok_or_else(|| self.no_model(&id))
        });
        match folder {
            Err(error) => drop(reply.send(Err(error))),
            Ok(folder) => self.begin(
                &folder,
                Box::new(move |outcome| {
                    let failed = |error: &Arc<Error>| {
                        let reason = failure(error, &id);
                        let detail = format!("model '{id}' could not be loaded: {reason}");
                        Error::new(Kind::ModelFailed, detail)
                    };
                    let _ = reply.send(outcome.as_ref().copied().map_err(failed));
                }),
            ),
        }
    }

    /// Why there is no model of this id to load.
    fn no_model(&self, id: &str) -> Error {
        let skipped = skipped_folders(&self.models).unwrap_or_default();
        let skipped = skipped.into_iter().find(|(folder, _)| folder_id(folder) == id);
        let id = crate::text::shortened(id);
        let detail = match skipped {
            Some((_, reason)) => format!("the folder '{id}' holds no model: {reason}"),
            None => format!("the models folder has no folder '{id}'"),
        };
        Error::new(Kind::UnknownModel, detail)
    }

    fn unload(&mut self, id: &str) -> Result<()> {
        if !self.forget(id) {
            let id = crate::text::shortened(id);
            return Err(Error::new(Kind::UnknownModel, format!("no model '{id}' is served")));
        }
        tracing::info!(model = id, "unloaded the model");
        Ok(())
    }

    /// Stops serving a model, and loading it; whether there was one.
    fn forget(&mut self, id: &str) -> bool {
        self.seen.remove(id);
        if let Some((number, job)) = self.jobs.remove(id) {
            self.trials.cancel(number);
            let reason = "the model was unloaded while it was loaded";
            let outcome = Err(Arc::new(Error::new(Kind::Setup, reason)));
            job.done.into_iter().for_each(|done| done(&outcome));
        }
        self.entries.remove(id)
    }

    /// Begins to load the model in a folder, in place of an older version if there is one.
    fn begin(&mut self, folder: &Path, done: Done) {
        let id = folder_id(folder);
        let number = self.next_job;
        self.next_job += 1;
        self.entries.begin(&id);
        let mut job =
            Job { folder: folder.to_owned(), before: Fingerprint::of(folder), done: vec![done] };
        if let Some((old, replaced)) = self.jobs.remove(&id) {
            self.trials.cancel(old);
            job.done.extend(replaced.done);
        }
        self.jobs.insert(id, (number, job));
        if self.trials.need(folder) {
            self.trials.begin(number, folder);
        } else {
            self.ready.push_back(number);
        }
    }

    /// Loads a model that has been tried, and serves it.
    fn tried(&mut self, number: JobId, outcome: Result<()>) {
        let id = self.jobs.iter().find(|(_, (job, _))| *job == number).map(|(id, _)| id.clone());
        // It may have been unloaded or begun again.
        let Some((id, (_, job))) = id.and_then(|id| self.jobs.remove_entry(&id)) else { return };
        let Job { folder, before, done } = job;
        let loaded = outcome.and_then(|()| self.load(&folder, &before));
        self.seen.insert(id.clone(), before);
        let outcome = match loaded {
            Ok(model) => {
                self.entries.set(&id, Status::Ready(Arc::new(model)), None);
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                let model = folder.display();
                if self.entries.set_failed(&id, &error) {
                    tracing::error!(%model, ?error, "model can't be reloaded; it is served on");
                } else {
                    tracing::error!(%model, ?error, "model can't be loaded");
                }
                Err(error)
            }
        };
        done.into_iter().for_each(|done| done(&outcome));
    }

    fn load(&self, folder: &Path, before: &Fingerprint) -> Result<Model> {
        // A bug that one file meets must not end the thread that loads all others.
        let loaded = crate::panics::catch(|| (self.open)(folder));
        let model = loaded.unwrap_or_else(|panic| Err(bug(panic.as_ref(), folder)))?;
        if Fingerprint::of(folder) == *before {
            return Ok(model);
        }
        let reason = "the folder changed while its model was loaded; load it again";
        Err(Error::new(Kind::Setup, reason).at_path(folder))
    }
}

/// The error of a model whose loading panicked. Where it did is in the log, at the level `debug`.
fn bug(panic: &(dyn Any + Send), folder: &Path) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let reason = "camlens has a bug that this model brings to light; please report it, with the \
                  model or the line about it in the log";
    Error::new(Kind::Setup, reason).at_path(folder).caused_by(format!("panic: {text}"))
}

#[cfg(test)]
mod tests;
