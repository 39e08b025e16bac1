//! The status of each model, which requests read and the loader changes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::registry::Status;
use crate::error::Error;

/// A model of the service.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) status: Status,
    /// When it began to load.
    pub(super) since: Instant,
    /// Why the version on disk is not served, where an older one is.
    pub(super) problem: Option<Arc<Error>>,
}

/// All models. Requests and the loader share them.
pub(super) struct Entries {
    /// Sorted by id.
    models: Mutex<Vec<Entry>>,
    changed: Condvar,
}

impl Entries {
    /// Models that are about to be loaded.
    pub(super) fn of(mut ids: Vec<String>) -> Self {
        ids.sort();
        let since = Instant::now();
        let entry = |id| Entry { id, status: Status::Loading, since, problem: None };
        let models = Mutex::new(ids.into_iter().map(entry).collect());
        Self { models, changed: Condvar::new() }
    }

    /// Waits until every model is loaded or has failed.
    pub(super) fn wait(&self) {
        let is_loading = |models: &mut Vec<Entry>| {
            models.iter().any(|entry| matches!(entry.status, Status::Loading))
        };
        let waited = self.changed.wait_while(self.lock(), is_loading);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

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
            models.insert(index, Entry { id, status, since: Instant::now(), problem: None });
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
                (entry.status, entry.since) = (Status::Loading, Instant::now());
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
