//! The queue: how many requests wait or are worked on, and how their work is stopped.
//!
//! A request takes a [`Permit`] when its body has arrived. It waits for a worker of its class
//! and for memory, and runs on a thread that may block. The promises:
//! - Long requests leave a quarter of the places to short ones, and never take their workers.
//! - A permit is held until the work has really stopped. It moves into the worker's thread, so
//!   clients that connect and disconnect cannot pile up hidden work.
//! - Memory is held until the response has been sent or dropped ([`Held`]).
//! - Work that nobody waits for is stopped: by the deadline, when the client disconnects (the
//!   handler is dropped, and with it a `CancelOnDrop`), or by a shutdown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::budget::{MemoryBudget, Reservation};
use super::forecast::Durations;
use super::held::Held;
use super::upload::Upload;
use crate::app::Cost;
use crate::config;
use crate::engine::{CancellationToken, JobClass, Reason, Turns};
use crate::error::{Error, Kind, Result};

/// The part of the queue that is for short requests alone.
const SHORT_SHARE: usize = 4;

/// The queue, the workers and the memory.
pub struct Admission {
    queue: Arc<Semaphore>,
    /// The places that long requests may take.
    long_queue: Arc<Semaphore>,
    long_capacity: usize,
    /// By class.
    workers: [Arc<Semaphore>; 2],
    turns: Turns,
    budget: MemoryBudget,
    durations: Durations,
    server: config::Server,
    is_draining: AtomicBool,
    next_id: AtomicU64,
    running: Mutex<HashMap<u64, CancellationToken>>,
    /// The number of requests that are being read, queued or processed.
    in_flight: AtomicUsize,
    ended: Notify,
}

/// A request that is being read, queued or processed; a shutdown waits until it is dropped.
pub(super) struct InFlight(Arc<Admission>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }
}

/// The right of one request to be processed.
pub struct Permit {
    admission: Arc<Admission>,
    place: Place,
    deadline: Instant,
    cost: Cost,
    body: Vec<Reservation>,
}

/// A place in the queue. Its fields are dropped in this order: nobody who waits for the end of all
/// requests finds the queue still full.
struct Place {
    _long_queue: Option<OwnedSemaphorePermit>,
    _queue: OwnedSemaphorePermit,
    _in_flight: InFlight,
}

impl Admission {
    /// An empty queue.
    #[must_use]
    pub fn new(server: &config::Server, turns: Turns, budget: MemoryBudget) -> Arc<Self> {
        let workers = || Arc::new(Semaphore::new(server.workers));
        let long_capacity = server.queue - server.queue / SHORT_SHARE;
        Arc::new(Self {
            queue: Arc::new(Semaphore::new(server.queue)),
            long_queue: Arc::new(Semaphore::new(long_capacity)),
            long_capacity,
            workers: [workers(), workers()],
            turns,
            budget,
            durations: Durations::default(),
            server: server.clone(),
            is_draining: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            running: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            ended: Notify::new(),
        })
    }

    /// Lets a request be read. Its time limit starts now.
    ///
    /// # Errors
    /// [`Kind::Busy`] if the queue is full, or [`Kind::Draining`].
    pub fn begin(self: &Arc<Self>) -> Result<Upload> {
        if self.is_draining() {
            return Err(Error::new(Kind::Draining, "the service is shutting down"));
        }
        if self.queue.available_permits() == 0 {
            return Err(self.full());
        }
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let deadline = Instant::now() + self.server.request_timeout();
        Ok(Upload::new(Arc::clone(self), InFlight(Arc::clone(self)), deadline))
    }

    fn full(&self) -> Error {
        self.busy(format!("the queue is full: it holds {} requests", self.server.queue))
    }

    /// A refusal, with the time after which the queue will have been worked off.
    pub(super) fn busy(&self, detail: impl Into<String>) -> Error {
        let queued = JobClass::ALL.map(|class| self.queued_of(class));
        let after_s = self.durations.retry_after_s(queued);
        Error::new(Kind::Busy, detail.into()).retry_after_s(after_s)
    }

    /// The number of requests queued or processed.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.server.queue - self.queue.available_permits()
    }

    /// The number of requests of a class that are queued or processed.
    #[must_use]
    pub fn queued_of(&self, class: JobClass) -> usize {
        let long = self.long_capacity - self.long_queue.available_permits();
        match class {
            JobClass::Long => long,
            JobClass::Short => self.queued().saturating_sub(long),
        }
    }

    /// The number of requests that are being read, queued or processed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The number of requests being processed.
    #[must_use]
    pub fn working(&self) -> usize {
        let free: usize = self.workers.iter().map(|workers| workers.available_permits()).sum();
        2 * self.server.workers - free
    }

    /// The memory budget.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.server.body_bytes
    }

    pub(super) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.server.body_timeout_ms)
    }

    pub(super) fn min_body_rate(&self) -> u64 {
        self.server.min_body_rate
    }

    /// True once the service is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Stops letting requests in.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Waits until no request is being read, queued or processed.
    pub async fn idle(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Before the check, so that no end in between is missed.
            ended.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
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
    /// Takes a place in the queue.
    ///
    /// # Errors
    /// [`Kind::Busy`] if the queue is full.
    pub(super) fn new(
        admission: Arc<Admission>,
        in_flight: InFlight,
        deadline: Instant,
        cost: Cost,
        body: Vec<Reservation>,
    ) -> Result<Self> {
        let long_queue = match cost.class {
            JobClass::Short => None,
            JobClass::Long => {
                let place = Arc::clone(&admission.long_queue).try_acquire_owned();
                Some(place.map_err(|_| {
                    let long = admission.long_capacity;
                    admission.busy(format!("the queue is full: it holds {long} long requests"))
                })?)
            }
        };
        let queue = Arc::clone(&admission.queue).try_acquire_owned();
        let queue = queue.map_err(|_| admission.full())?;
        let place = Place { _long_queue: long_queue, _queue: queue, _in_flight: in_flight };
        Ok(Self { admission, place, deadline, cost, body })
    }

    /// Waits for a worker and memory, runs `work` on a thread that may block, and waits for it. The
    /// memory is held until the second value is dropped.
    ///
    /// # Errors
    /// Those of `work`, [`Kind::OverBudget`], [`Kind::Deadline`], [`Kind::Draining`], or
    /// [`Kind::Internal`] if it panics.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<(T, Held)> {
        let Self { admission, place, deadline, cost: Cost { class, bytes }, body } = self;
        let cancel = CancellationToken::new(Some(deadline.into_std())).with_class(class);
        let guard = CancelOnDrop::new(&admission, &cancel);
        let limit_ms = admission.server.request_timeout_ms;
        let late =
            || Error::new(Kind::Deadline, format!("the time limit of {limit_ms} ms has passed"));

        let worker = Arc::clone(&admission.workers[class as usize]).acquire_owned();
        let worker = timeout_at(deadline, worker).await.map_err(|_| late())?;
        let worker = worker.map_err(|closed| Error::internal("waiting for a worker", closed))?;
        // After the worker, so that no request holds memory while it waits for one.
        let budget = admission.budget();
        let memory = timeout_at(deadline, budget.reserve_work(class, bytes));
        let memory = memory.await.map_err(|_| late())??;

        let (span, token) = (Span::current(), cancel.clone());
        let (shared, turns) = (Arc::clone(&admission), admission.turns.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _entered = span.enter();
            let started = Instant::now();
            let in_work = turns.begin(class);
            let outcome = token.check().and_then(|()| work(&token));
            drop(in_work);
            if outcome.is_ok() {
                shared.durations.add(class, started.elapsed(), shared.working());
            }
            drop((worker, place));
            // The memory outlives the work: the response is part of it.
            outcome.map(|value| (value, Held::new(body.into_iter().chain(memory).collect())))
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
