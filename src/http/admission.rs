//! How many requests are let in, and how work is stopped.
//!
//! A request takes a [`Place`] before its body is read: a full queue is told at once.
//! When it has been read, it waits for one of a few workers and runs on a thread that may
//! block. The promises:
//! - A place is held until the work has really stopped. The permit moves into the thread, so a
//!   client that comes and goes cannot pile up work behind its back.
//! - Work that nobody waits for is stopped: by the deadline, when the client goes (the handler is
//!   dropped, and with it a guard that raises the flag), or by a shutdown.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use crate::config;
use crate::engine::{CancellationToken, Reason};
use crate::error::{Error, Kind, Result};

/// The queue and the workers.
pub struct Admission {
    queue: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    places: usize,
    request_timeout: Duration,
    body_timeout: Duration,
    is_draining: AtomicBool,
    next: AtomicU64,
    running: Mutex<HashMap<u64, CancellationToken>>,
    worker_count: usize,
}

/// A request that has been let in.
pub struct Place {
    admission: Arc<Admission>,
    permit: OwnedSemaphorePermit,
    deadline: Instant,
}

impl Admission {
    /// An empty queue.
    #[must_use]
    pub fn new(server: &config::Server) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::new(Semaphore::new(server.queue)),
            workers: Arc::new(Semaphore::new(server.workers)),
            places: server.queue,
            worker_count: server.workers,
            request_timeout: server.request_timeout(),
            body_timeout: Duration::from_millis(server.body_timeout_ms),
            is_draining: AtomicBool::new(false),
            next: AtomicU64::new(0),
            running: Mutex::default(),
        })
    }

    /// Takes a place; the request's time begins.
    ///
    /// # Errors
    /// [`Kind::Busy`] or [`Kind::Draining`].
    pub fn enter(self: &Arc<Self>) -> Result<Place> {
        if self.is_draining() {
            return Err(Error::new(Kind::Draining, "the service is shutting down"));
        }
        let permit = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| {
            Error::new(
                Kind::Busy,
                format!("{} requests are waiting or worked on already", self.places),
            )
        })?;
        let deadline = Instant::now() + self.request_timeout;
        Ok(Place { admission: Arc::clone(self), permit, deadline })
    }

    /// Requests that are read, wait or are worked on.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.places - self.queue.available_permits()
    }

    /// Requests that are worked on.
    #[must_use]
    pub fn working(&self) -> usize {
        self.worker_count - self.workers.available_permits()
    }

    /// True once the service is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Lets nobody in any more.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Waits until all work has stopped.
    pub async fn idle(&self) {
        let all = u32::try_from(self.places).unwrap_or(u32::MAX);
        // Fails only for a semaphore that is closed, and nobody closes this one.
        let _ = self.queue.acquire_many(all).await;
    }

    /// Stops all work in progress.
    pub fn stop_all(&self) {
        // Cloned first: a flag that is raised runs code of the engine, which must not find our lock
        // taken.
        let running: Vec<CancellationToken> = self.running().values().cloned().collect();
        for cancel in running {
            cancel.cancel(Reason::Draining);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for a request to be read.
    ///
    /// # Errors
    /// The reading's own, or [`Kind::Deadline`] for a client that sends too slowly.
    pub async fn read<T>(&self, reading: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.admission.body_timeout;
        timeout_at((Instant::now() + limit).min(self.deadline), reading).await.unwrap_or_else(
            |_| {
                let detail = format!("the request did not arrive within {} ms", limit.as_millis());
                Err(Error::new(Kind::Deadline, detail))
            },
        )
    }

    /// Runs work on a thread that may block, and waits for it.
    ///
    /// # Errors
    /// The work's own, [`Kind::Deadline`], [`Kind::Draining`], or [`Kind::Internal`] if it panics.
    pub async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { admission, permit, deadline } = self;
        let cancel = CancellationToken::new(Some(deadline.into_std()));
        let guard = Guard::new(&admission, &cancel);
        let limit_ms = admission.request_timeout.as_millis();
        let late = || Error::new(Kind::Deadline, format!("the limit of {limit_ms} ms is over"));

        let worker = Arc::clone(&admission.workers).acquire_owned();
        let worker = timeout_at(deadline, worker).await.map_err(|_| late())?;
        let worker = worker.map_err(|closed| Error::internal("waiting for a worker", closed))?;

        let (span, flag) = (Span::current(), cancel.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _held = (permit, worker);
            let _entered = span.enter();
            flag.check()?;
            work(&flag)
        });
        let outcome = match timeout_at(deadline, thread).await {
            // The work looks at the clock, too, and may see it first: the words are the same.
            Ok(Ok(Err(error))) if error.kind() == Kind::Deadline => Err(late()),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(Error::internal("working on a request", panic)),
            Err(_) => {
                cancel.cancel(Reason::Deadline);
                Err(late())
            }
        };
        guard.disarm();
        outcome
    }
}

/// Raises the flag when the handler is dropped before its work is done: the client went away.
struct Guard<'a> {
    admission: &'a Admission,
    cancel: &'a CancellationToken,
    number: u64,
    is_armed: bool,
}

impl<'a> Guard<'a> {
    fn new(admission: &'a Admission, cancel: &'a CancellationToken) -> Self {
        let number = admission.next.fetch_add(1, Ordering::Relaxed);
        admission.running().insert(number, cancel.clone());
        Self { admission, cancel, number, is_armed: true }
    }

    fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.admission.running().remove(&self.number);
        if self.is_armed {
            self.cancel.cancel(Reason::ClientGone);
        }
    }
}

#[cfg(test)]
mod tests;
