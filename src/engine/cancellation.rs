//! Cancels the work of a request when its client disconnects, its deadline passes or the service
//! shuts down.
//!
//! A [`CancellationToken`] travels with a request into the engine. [`CancellationToken::cancel`]
//! stops a run of the model between two kernels, and no further run starts. The token also says how
//! much work the request is, which decides when its passes get their turns.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::turns::JobClass;
use crate::error::{Error, Kind, Result};

/// Why work stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client closed the connection.
    ClientDisconnected = 1,
    /// The time limit is over.
    Deadline = 2,
    /// The service shuts down.
    Draining = 3,
}

/// Stops the run in progress.
type Stop = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    reason: AtomicU8,
    running: Mutex<Option<Stop>>,
}

/// The cancellation flag of a request; clones share it.
#[derive(Clone, Default)]
pub struct CancellationToken {
    state: Arc<State>,
    deadline: Option<Instant>,
    class: JobClass,
}

impl CancellationToken {
    /// A token for work that must end by `deadline`, if there is one.
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { state: Arc::default(), deadline, class: JobClass::default() }
    }

    /// The same token, of a request of this class.
    #[must_use]
    pub fn with_class(self, class: JobClass) -> Self {
        Self { class, ..self }
    }

    /// How much work the request is.
    #[must_use]
    pub const fn class(&self) -> JobClass {
        self.class
    }

    /// Sets the flag and stops the run in progress. Later reasons do not replace the first one.
    pub fn cancel(&self, reason: Reason) {
        let _ =
            self.state.reason.compare_exchange(0, reason as u8, Ordering::SeqCst, Ordering::SeqCst);
        let running = self.state.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = running.as_ref() {
            stop();
        }
    }

    /// Fails when the work is cancelled. Call it before each piece of work.
    ///
    /// # Errors
    /// [`Kind::Cancelled`], [`Kind::Deadline`] or [`Kind::Draining`].
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            None => Ok(()),
            Some(Reason::ClientDisconnected) => {
                Err(Error::new(Kind::Cancelled, "the client disconnected"))
            }
            Some(Reason::Deadline) => {
                Err(Error::new(Kind::Deadline, "the time limit of the request has passed"))
            }
            Some(Reason::Draining) => {
                Err(Error::new(Kind::Draining, "the service is shutting down"))
            }
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self.state.reason.load(Ordering::SeqCst) {
            1 => Some(Reason::ClientDisconnected),
            2 => Some(Reason::Deadline),
            3 => Some(Reason::Draining),
            _ if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Some(Reason::Deadline)
            }
            _ => None,
        }
    }

    /// Registers how to stop the run that begins now; the registration lasts until the guard is
    /// dropped.
    pub(super) fn running(&self, stop: impl Fn() + Send + 'static) -> Running<'_> {
        *self.state.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(stop));
        // A flag that was set before this found nothing to stop, so stop the run here.
        if self.reason().is_some()
            && let Some(stop) =
                self.state.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            stop();
        }
        Running(self)
    }
}

/// A run in progress; drop it when the run has ended.
pub(super) struct Running<'a>(&'a CancellationToken);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.state.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[test]
    fn the_first_reason_is_kept() {
        let cancel = CancellationToken::default();
        assert!(cancel.check().is_ok());
        cancel.cancel(Reason::ClientDisconnected);
        cancel.clone().cancel(Reason::Draining);
        assert_eq!(cancel.check().unwrap_err().kind(), Kind::Cancelled);
    }

    #[test]
    fn a_deadline_cancels_without_a_call() {
        let cancel = CancellationToken::new(Some(Instant::now() - Duration::from_millis(1)));
        assert_eq!(cancel.check().unwrap_err().kind(), Kind::Deadline);
    }

    #[test]
    fn a_run_that_begins_after_cancelling_is_stopped_at_once() {
        let stopped = Arc::new(AtomicUsize::new(0));
        let cancel = CancellationToken::default();
        cancel.cancel(Reason::ClientDisconnected);
        let counter = stopped.clone();
        let _running = cancel.running(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
    }
}
