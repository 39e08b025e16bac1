//! The work on a request that has a place in the queue, and how it is stopped.
//!
//! A request waits for memory, then for a worker of its lane, and runs on a thread that may block.
//! The promises:
//! - What waits for memory has no worker, and no lane waits for another's workers.
//! - A permit is held until the work has really stopped. It moves into the worker's thread, so
//!   clients that connect and disconnect cannot pile up hidden work.
//! - Memory is held until the response has been sent or dropped ([`Held`]).
//! - Work that nobody waits for is stopped: by the deadline, when the client disconnects (the
//!   handler is dropped, and with it a `CancelOnDrop`), or by a shutdown.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use super::budget::{Lane, WorkMemory};
use super::held::Held;
use super::pool::Reservation;
use super::queue::{Admission, InFlight, Place};
use crate::app::Cost;
use crate::engine::{CancellationToken, Reason};
use crate::error::{Error, Kind, Result};
use crate::telemetry;

/// The right of one request to be processed.
pub struct Permit {
    admission: Arc<Admission>,
    place: Place,
    deadline: Instant,
    cost: Cost,
    lane: Lane,
    body: Vec<Reservation>,
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
        let lane = admission.budget().lane(cost);
        let place = admission.place(lane, in_flight)?;
        Ok(Self { admission, place, deadline, cost, lane, body })
    }

    /// Waits for memory and a worker, runs `work` on a thread that may block, and waits for it. The
    /// memory is held until the second value is dropped.
    ///
    /// # Errors
    /// Those of `work`, [`Kind::OverBudget`], [`Kind::Deadline`], [`Kind::Draining`], or
    /// [`Kind::Internal`] if it panics.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<(T, Held)> {
        let Self { admission, place, deadline, cost, lane, body } = self;
        let class = cost.class;
        let cancel = CancellationToken::new(Some(deadline.into_std())).with_class(class);
        let guard = CancelOnDrop::new(&admission, &cancel);
        let limit_ms = admission.request_timeout_ms();
        let late =
            || Error::new(Kind::Deadline, format!("the time limit of {limit_ms} ms has passed"));

        let queued = Instant::now();
        let ready = ready(&admission, lane, cost).instrument(telemetry::stage("queue"));
        let (memory, worker) = timeout_at(deadline, ready).await.map_err(|_| late())??;
        let queued = queued.elapsed();

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
            // The request has been consumed by its work.
            drop((worker, place, body));
            // The memory outlives the work: the response is part of it.
            outcome.map(|value| (value, Held::new(memory, queued)))
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

/// What a request needs to be worked on. Memory comes first: what waits for it, because clients are
/// slow to take their responses, must not keep a worker from others.
async fn ready(
    admission: &Admission,
    lane: Lane,
    cost: Cost,
) -> Result<(WorkMemory, OwnedSemaphorePermit)> {
    let memory = admission.budget().reserve_work(cost).await?;
    let worker = Arc::clone(&admission.workers[lane as usize]).acquire_owned().await;
    let worker = worker.map_err(|closed| Error::internal("waiting for a worker", closed))?;
    Ok((memory, worker))
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
        let id = admission.began(cancel);
        Self { admission, cancel, id, is_armed: true }
    }

    fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.admission.ended(self.id);
        if self.is_armed {
            self.cancel.cancel(Reason::ClientDisconnected);
        }
    }
}
