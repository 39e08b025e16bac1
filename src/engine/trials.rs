//! Which models are tried when: two at a time, and none for long while others wait.
//!
//! A trial that has taken an eighth of its time limit gives way to models that wait: it is ended,
//! and begun again, with the whole limit, when all others have been tried. Of such second attempts
//! one runs at a time, so a model that loads in ordinary time always finds a place. The same holds
//! for a trial that was killed while another ran: together they may have needed too much memory.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::loader::Command;
use super::settings::Settings;
use super::trial::{self, Outcome};
use crate::error::{Error, Result};
use crate::model::ModelFolder;

/// How many trials run at once.
const AT_ONCE: usize = 2;
/// The part of its time limit that a trial may take while others wait.
const PATIENCE_SHARE: u32 = 8;

/// The number of an attempt to load a model.
pub(super) type JobId = u64;

/// The threads that run trials. They end when this is dropped, and so do the trials.
pub(super) struct Trials {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone)]
struct Trial {
    job: JobId,
    folder: PathBuf,
    is_second: bool,
}

#[derive(Default)]
struct State {
    first: VecDeque<Trial>,
    second: VecDeque<Trial>,
    running: usize,
    is_second_running: bool,
    /// How many of the running ones are being ended for one that waits.
    giving_way: usize,
    cancelled: HashSet<JobId>,
    is_closed: bool,
}

impl State {
    fn next(&mut self) -> Option<Trial> {
        let second = |state: &mut Self| match state.is_second_running {
            false => state.second.pop_front(),
            true => None,
        };
        let trial = self.first.pop_front().or_else(|| second(self))?;
        self.running += 1;
        self.giving_way = self.giving_way.saturating_sub(1);
        self.is_second_running |= trial.is_second;
        Some(trial)
    }

    fn ended(&mut self, trial: &Trial) {
        self.running -= 1;
        self.is_second_running &= !trial.is_second;
    }

    /// Whether a trial that has run for so long is to be ended.
    fn gives_way(&mut self, trial: &Trial, elapsed: Duration, limit: Duration) -> bool {
        if self.is_closed || self.cancelled.contains(&trial.job) {
            return true;
        }
        let is_late = !trial.is_second && elapsed >= limit / PATIENCE_SHARE;
        let gives_way = is_late && self.running == AT_ONCE && self.first.len() > self.giving_way;
        self.giving_way += usize::from(gives_way);
        gives_way
    }
}

impl Trials {
    /// Starts the threads, which report each outcome.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal) if there can be no threads.
    pub(super) fn start(settings: &Settings, report: &Sender<Command>) -> Result<Self> {
        let (settings, state) = (settings.clone(), Mutex::default());
        let shared = Arc::new(Shared { settings, state, changed: Condvar::new() });
        let trials = Self { shared };
        for _ in 0..AT_ONCE {
            let (shared, report) = (Arc::clone(&trials.shared), report.clone());
            std::thread::Builder::new()
                .name("trials".into())
                .spawn(move || shared.run(&report))
                .map_err(|error| Error::internal("starting a thread for trials", error))?;
        }
        Ok(trials)
    }

    /// Whether the model in a folder is tried. One whose folder can't be read fails to load.
    pub(super) fn need(&self, folder: &Path) -> bool {
        let policy = self.shared.settings.trial;
        let is_needed = || {
            let folder = ModelFolder::read(folder);
            folder.is_ok_and(|folder| trial::is_needed(&folder, policy))
        };
        crate::panics::catch(is_needed).unwrap_or(false)
    }

    /// Tries a model as soon as there is a place.
    pub(super) fn begin(&self, job: JobId, folder: &Path) {
        let trial = Trial { job, folder: folder.to_owned(), is_second: false };
        self.shared.lock().first.push_back(trial);
        self.shared.changed.notify_all();
    }

    /// Ends a trial, whose outcome nobody needs any more.
    pub(super) fn cancel(&self, job: JobId) {
        let state = &mut *self.shared.lock();
        let waiting = state.first.len() + state.second.len();
        state.first.retain(|trial| trial.job != job);
        state.second.retain(|trial| trial.job != job);
        if state.first.len() + state.second.len() == waiting {
            state.cancelled.insert(job);
        }
    }
}

impl Drop for Trials {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, report: &Sender<Command>) {
        while let Some(trial) = self.next() {
            let outcome = self.outcome(&trial);
            let mut state = self.lock();
            let had_company = state.running > 1;
            state.ended(&trial);
            let is_cancelled = state.cancelled.remove(&trial.job);
            let ended = match outcome {
                Ok(Outcome::Passed) => Some(Ok(())),
                Ok(Outcome::Killed(_)) if !trial.is_second && had_company => None,
                Ok(Outcome::GaveWay) => None,
                Ok(Outcome::Killed(error)) | Err(error) => Some(Err(error)),
            };
            if ended.is_none() && !is_cancelled {
                let folder = trial.folder.display();
                tracing::info!(%folder, "the trial of this model is put off until others are done");
                state.second.push_back(Trial { is_second: true, ..trial.clone() });
            }
            drop(state);
            self.changed.notify_all();
            if let Some(outcome) = ended.filter(|_| !is_cancelled) {
                // Fails when nobody needs the models any more.
                let _ = report.send(Command::Tried(trial.job, outcome));
            }
        }
    }

    /// The next trial, as soon as there is one; `None` at the end.
    fn next(&self) -> Option<Trial> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(trial) = state.next() {
                return Some(trial);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn outcome(&self, trial: &Trial) -> Result<Outcome> {
        let limit = self.settings.trial_timeout;
        let gives_way = |elapsed| self.lock().gives_way(trial, elapsed, limit);
        let tried = crate::panics::catch(|| trial::run(&trial.folder, &self.settings, &gives_way));
        tried.unwrap_or_else(|_| Err(Error::internal("trying a model", "a panic")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(80);

    fn trial(job: JobId) -> Trial {
        Trial { job, folder: PathBuf::new(), is_second: false }
    }

    #[test]
    fn a_slow_trial_gives_way_only_while_another_has_no_place() {
        let mut state = State { first: [trial(1), trial(2)].into(), ..State::default() };
        let (slow, other) = (state.next().unwrap(), state.next().unwrap());
        let [soon, late] = [Duration::from_secs(9), Duration::from_secs(10)];
        assert!(!state.gives_way(&slow, late, LIMIT), "nobody waits");
        state.first.push_back(trial(3));
        assert!(!state.gives_way(&slow, soon, LIMIT));
        assert!(state.gives_way(&slow, late, LIMIT));
        assert!(!state.gives_way(&other, late, LIMIT), "one place is enough");
        let second = Trial { is_second: true, ..slow };
        assert!(!state.gives_way(&second, late, LIMIT));
    }

    #[test]
    fn second_attempts_wait_for_first_ones_and_run_one_at_a_time() {
        let again = |job| Trial { is_second: true, ..trial(job) };
        let second = [again(1), again(2)].into();
        let mut state = State { second, first: [trial(3)].into(), ..State::default() };
        let order = [state.next(), state.next(), state.next()];
        assert_eq!(order.map(|trial| trial.map(|trial| trial.job)), [Some(3), Some(1), None]);
        state.ended(&again(1));
        assert_eq!(state.next().map(|trial| trial.job), Some(2));
    }
}
