//! What a reload of all models has done, once the last of them is loaded.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

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

/// Called with what loading a model led to.
pub(super) type Done = Box<dyn FnOnce(&Result<(), Arc<Error>>) + Send>;

/// A reload in progress. The report is sent when the last clone is dropped: each model that is
/// loaded has one.
#[derive(Clone)]
pub(super) struct Reload(Arc<InProgress>);

struct InProgress {
    report: Mutex<ReloadReport>,
    reply: Sender<Result<ReloadReport>>,
}

impl Reload {
    pub(super) fn begin(removed: Vec<String>, reply: Sender<Result<ReloadReport>>) -> Self {
        let report = Mutex::new(ReloadReport { removed, ..ReloadReport::default() });
        Self(Arc::new(InProgress { report, reply }))
    }

    pub(super) fn is_unchanged(&self, id: String) {
        self.0.lock().unchanged.push(id);
    }

    /// The report waits until what this returns is called or dropped.
    pub(super) fn waits_for(&self, id: String) -> Done {
        let reload = self.clone();
        Box::new(move |outcome| {
            let mut report = reload.0.lock();
            match outcome {
                Ok(()) => report.loaded.push(id),
                Err(error) => report.failed.push((id, Arc::clone(error))),
            }
        })
    }
}

impl InProgress {
    fn lock(&self) -> MutexGuard<'_, ReloadReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut report = std::mem::take(&mut *self.lock());
        report.loaded.sort();
        report.failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let ReloadReport { loaded, unchanged, removed, failed } = &report;
        let failed: Vec<&str> = failed.iter().map(|(id, _)| id.as_str()).collect();
        let unchanged = unchanged.len();
        tracing::info!(?loaded, ?removed, ?failed, unchanged, "reloaded the models");
        // Fails when nobody waits for it.
        let _ = self.reply.send(Ok(report));
    }
}
