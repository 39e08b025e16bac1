//! The queue: how many requests are admitted, and how their work is stopped.
//!
//! A request takes a [`Permit`] before its body is read. Once read, it waits for one of a few
//! workers and runs on a thread that may block. The promises:
//! - A permit is held until the work has really stopped. It moves into the worker's thread, so
//!   clients that connect and disconnect cannot pile up hidden work.
//! - Work that nobody waits for is stopped: by the deadline, when the client disconnects (the
//!   handler is dropped, and with it a `CancelOnDrop`), or by a shutdown.

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
    capacity: usize,
    request_timeout: Duration,
    body_timeout: Duration,
    is_draining: AtomicBool,
    next_id: AtomicU64,
    running: Mutex<HashMap<u64, CancellationToken>>,
    worker_count: usize,
}

/// The right of one request to be read and processed.
pub struct Permit {
    admission: Arc<Admission>,
    queue_permit: OwnedSemaphorePermit,
    deadline: Instant,
}

impl Admission {
    /// An empty queue.
    #[must_use]
    pub fn new(server: &config::Server) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::new(Semaphore::new(server.queue)),
            workers: Arc::new(Semaphore::new(server.workers)),
            capacity: server.queue,
            worker_count: server.workers,
            request_timeout: server.request_timeout(),
            body_timeout: Duration::from_millis(server.body_timeout_ms),
            is_draining: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            running: Mutex::default(),
        })
    }

    /// Takes a permit. The request's time limit starts now.
    ///
    /// # Errors
    /// [`Kind::Busy`] if the queue is full, or [`Kind::Draining`].
    pub fn admit(self: &Arc<Self>) -> Result<Permit> {
        if self.is_draining() {
            return Err(Error::new(Kind::Draining, "the service is shutting down"));
        }
        let queue_permit = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| {
            let detail = format!("the queue is full: it holds {} requests", self.capacity);
            Error::new(Kind::Busy, detail)
        })?;
        let deadline = Instant::now() + self.request_timeout;
        Ok(Permit { admission: Arc::clone(self), queue_permit, deadline })
    }

    /// The number of requests being read, queued or processed.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.capacity - self.queue.available_permits()
    }

    /// The number of requests being processed.
    #[must_use]
    pub fn working(&self) -> usize {
        self.worker_count - self.workers.available_permits()
    }

    /// True once the service is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Stops admitting requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Waits until all work has stopped.
    pub async fn idle(&self) {
        let all = u32::try_from(self.capacity).unwrap_or(u32::MAX);
        // Fails only for a closed semaphore, and nothing closes this one.
        let _ = self.queue.acquire_many(all).await;
    }

    /// Stops all work in progress.
    pub fn stop_all(&self) {
        // Cloned first: cancelling calls into the engine, which must not happen under this lock.
        let running: Vec<CancellationToken> = self.running().values().cloned().collect();
        for cancel in running {
            cancel.cancel(Reason::Draining);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Reads a request within the time limit for bodies.
    ///
    /// # Errors
    /// Those of `reading`, or [`Kind::SlowRequest`] for a client that sends too slowly.
    pub async fn read<T>(&self, reading: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.admission.body_timeout;
        timeout_at((Instant::now() + limit).min(self.deadline), reading).await.unwrap_or_else(
            |_| {
                let detail = format!("the request did not arrive within {} ms", limit.as_millis());
                Err(Error::new(Kind::SlowRequest, detail))
            },
        )
    }

    /// Waits for a worker, runs `work` on a thread that may block, and waits for it.
    ///
    /// # Errors
    /// Those of `work`, [`Kind::Deadline`], [`Kind::Draining`], or [`Kind::Internal`] if it panics.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { admission, queue_permit, deadline } = self;
        let cancel = CancellationToken::new(Some(deadline.into_std()));
        let guard = CancelOnDrop::new(&admission, &cancel);
        let limit_ms = admission.request_timeout.as_millis();
        let late =
            || Error::new(Kind::Deadline, format!("the time limit of {limit_ms} ms has passed"));

        let worker = Arc::clone(&admission.workers).acquire_owned();
        let worker = timeout_at(deadline, worker).await.map_err(|_| late())?;
        let worker = worker.map_err(|closed| Error::internal("waiting for a worker", closed))?;

        let (span, token) = (Span::current(), cancel.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _permits = (queue_permit, worker);
            let _entered = span.enter();
            token.check()?;
            work(&token)
        });
        let outcome = match timeout_at(deadline, thread).await {
            // The work also checks the deadline and may notice first; the client gets the same
            // message in both cases.
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

/// Cancels the work when the handler is dropped before it is done: the client disconnected.
struct CancelOnDrop<'a> {
    admission: &'a Admission,
    cancel: &'a CancellationToken,
    id: u64,
    is_armed: bool,
}

impl<'a> CancelOnDrop<'a> {
    fn new(admission: &'a Admission, cancel: &'a CancellationToken) -> Self {
        let id = admission.next_id.fetch_add(1, Ordering::Relaxed);
        admission.running().insert(id, cancel.clone());
        Self { admission, cancel, id, is_armed: true }
    }

    fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.admission.running().remove(&self.id);
        if self.is_armed {
            self.cancel.cancel(Reason::ClientDisconnected);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
