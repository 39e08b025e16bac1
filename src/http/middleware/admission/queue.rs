//! The queue: how many requests wait or are worked on, and how many of each `Lane`.
//!
//! Long requests leave a quarter of the places to short ones; long and large ones together leave an
//! eighth to small ones. A request that has a place has a [`Permit`](super::permit::Permit).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::budget::{Lane, MemoryBudget};
use super::forecast::Durations;
use super::upload::Upload;
use crate::config;
use crate::engine::{CancellationToken, JobClass, Reason, Turns};
use crate::error::{Error, Kind, Result};

/// The part of the queue that is for short requests alone.
const SHORT_SHARE: usize = 4;
/// The part of it that is for small ones alone.
const SMALL_SHARE: usize = 8;

/// The queue, the workers and the memory.
pub struct Admission {
    queue: Arc<Semaphore>,
    /// The places that long requests may take.
    long_queue: Arc<Semaphore>,
    long_capacity: usize,
    /// The places that long and large requests may take together.
    dear_queue: Arc<Semaphore>,
    dear_capacity: usize,
    /// By lane.
    pub(super) workers: [Arc<Semaphore>; 3],
    pub(super) turns: Turns,
    budget: MemoryBudget,
    pub(super) durations: Durations,
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

/// A place in the queue. Its fields are dropped in this order: nobody who waits for the end of all
/// requests finds the queue still full.
pub(super) struct Place {
    _long_queue: Option<OwnedSemaphorePermit>,
    _dear_queue: Option<OwnedSemaphorePermit>,
    _queue: OwnedSemaphorePermit,
    _in_flight: InFlight,
}

impl Admission {
    /// An empty queue.
    #[must_use]
    pub fn new(server: &config::Server, turns: Turns, budget: MemoryBudget) -> Arc<Self> {
        let workers = || Arc::new(Semaphore::new(server.workers));
        let long_capacity = server.queue - server.queue / SHORT_SHARE;
        let dear_capacity = server.queue - server.queue / SMALL_SHARE;
        Arc::new(Self {
            queue: Arc::new(Semaphore::new(server.queue)),
            long_queue: Arc::new(Semaphore::new(long_capacity)),
            long_capacity,
            dear_queue: Arc::new(Semaphore::new(dear_capacity)),
            dear_capacity,
            workers: Lane::ALL.map(|_| workers()),
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

    /// A place in the queue for a request that waits in a lane.
    ///
    /// # Errors
    /// [`Kind::Busy`] if there is none.
    pub(super) fn place(&self, lane: Lane, in_flight: InFlight) -> Result<Place> {
        let take = |queue: &Arc<Semaphore>| Arc::clone(queue).try_acquire_owned().ok();
        let full = |what: &str, capacity: usize| {
            self.busy(format!("the queue is full: it holds {capacity} {what} requests"))
        };
        let (mut long, mut dear) = (None, None);
        if lane == Lane::Long {
            let place = take(&self.long_queue).ok_or_else(|| full("long", self.long_capacity))?;
            long = Some(place);
        }
        if lane != Lane::Small {
            let place = take(&self.dear_queue);
            dear = Some(place.ok_or_else(|| full("long or large", self.dear_capacity))?);
        }
        let queue = take(&self.queue).ok_or_else(|| self.full())?;
        Ok(Place { _long_queue: long, _dear_queue: dear, _queue: queue, _in_flight: in_flight })
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
        self.workers.len() * self.server.workers - free
    }

    /// The memory budget.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.server.body_bytes
    }

    pub(super) fn request_timeout_ms(&self) -> u64 {
        self.server.request_timeout_ms
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

    /// Registers work that [`Self::stop_all`] can stop, until [`Self::ended`] is told its number.
    pub(super) fn began(&self, cancel: &CancellationToken) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.running().insert(id, cancel.clone());
        id
    }

    pub(super) fn ended(&self, id: u64) {
        self.running().remove(&id);
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
