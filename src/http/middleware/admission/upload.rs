//! A request whose body is still arriving.
//!
//! It has no place in the queue. What it holds are the bytes that have arrived, on the bodies' part
//! of the memory budget, and only as long as they arrive at a minimum rate. Time in which the
//! service itself has no memory for the next bytes does not count against the client.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep, timeout_at};

use super::budget::MemoryBudget;
use super::permit::Permit;
use super::pool::Reservation;
use super::queue::{Admission, InFlight};
use crate::app::Cost;
use crate::error::{Error, Kind, Result};

/// How long a body may take before its rate is checked.
const GRACE: Duration = Duration::from_secs(5);
/// How often its rate is checked from then on.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// How long a body may wait for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(10);
/// What a body reserves before its first byte; then it doubles what it has.
const FIRST_BYTES: u64 = 16 << 10;
/// A body that is larger reserves the rest at once.
const SMALL_BYTES: u64 = 1 << 20;

/// A request that may be read.
pub struct Upload {
    admission: Arc<Admission>,
    in_flight: InFlight,
    deadline: Instant,
    received: Arc<Mutex<Received>>,
}

/// How far a body has come.
struct Received {
    bytes: u64,
    /// What it holds of the budget.
    reservations: Vec<Reservation>,
    reserved_bytes: u64,
    /// When its rate was last in question: the start, put off by every wait for memory.
    since: Instant,
    waits_since: Option<Instant>,
    is_complete: bool,
}

impl Received {
    /// Whether the average rate is below the minimum.
    fn is_too_slow(&self, now: Instant, min_rate: u64) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let expected = elapsed.as_secs_f64() * min_rate as f64;
        let is_waited_for = !self.is_complete && self.waits_since.is_none();
        is_waited_for && elapsed >= GRACE && (self.bytes as f64) < expected
    }
}

impl Upload {
    pub(super) fn new(admission: Arc<Admission>, in_flight: InFlight, deadline: Instant) -> Self {
        let received = Received {
            bytes: 0,
            reservations: Vec::new(),
            reserved_bytes: 0,
            since: Instant::now(),
            waits_since: None,
            is_complete: false,
        };
        Self { admission, in_flight, deadline, received: Arc::new(Mutex::new(received)) }
    }

    /// The request with its body measured.
    #[must_use]
    pub(super) fn measured(&self, request: Request) -> Request {
        let budget = self.admission.budget().clone();
        let received = Arc::downgrade(&self.received);
        // More is never kept of any body: the excess is discarded.
        let most = self.limit_bytes() as u64;
        request.map(|body| {
            let expected = body.size_hint().upper().unwrap_or(most).min(most);
            Body::new(MeasuredBody { body, expected, received, budget, waiting: None })
        })
    }

    /// The largest body that is read.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.admission.body_bytes().min(self.admission.budget().largest_body())
    }

    /// Reads a request within the time limit for bodies, and at the minimum rate.
    ///
    /// # Errors
    /// Those of `reading`, or [`Kind::SlowRequest`].
    pub async fn read<T>(&self, reading: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.admission.body_timeout();
        let end = (Instant::now() + limit).min(self.deadline);
        let reading = async {
            tokio::select! {
                biased;
                outcome = reading => outcome,
                error = self.slowness() => Err(error),
            }
        };
        timeout_at(end, reading).await.unwrap_or_else(|_| {
            let detail = format!("the request did not arrive within {} ms", limit.as_millis());
            Err(Error::new(Kind::SlowRequest, detail))
        })
    }

    /// Waits until the body is too slow, or has waited too long for memory, if it ever does.
    async fn slowness(&self) -> Error {
        let min_rate = self.admission.min_body_rate();
        loop {
            sleep(CHECK_EVERY).await;
            let (now, received) = (Instant::now(), lock(&self.received));
            if received.waits_since.is_some_and(|since| now - since >= MEMORY_WAIT) {
                drop(received);
                return self.admission.busy("the service has no memory free for the body");
            }
            if received.is_too_slow(now, min_rate) {
                let detail =
                    format!("the body arrived at less than {min_rate} bytes per second on average");
                return Error::new(Kind::SlowRequest, detail);
            }
        }
    }

    /// Takes a place in the queue, for the work on a body that has arrived.
    ///
    /// # Errors
    /// [`Kind::Busy`] if the queue is full.
    pub fn queue(self, cost: Cost) -> Result<Permit> {
        let Self { admission, in_flight, deadline, received } = self;
        let body = std::mem::take(&mut lock(&received).reservations);
        Permit::new(admission, in_flight, deadline, cost, body)
    }
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

type Waiting = Pin<Box<dyn Future<Output = Result<(Reservation, u64)>> + Send>>;

/// A body that reserves memory for each part before it reads it, and counts what arrives.
struct MeasuredBody {
    body: Body,
    /// The most bytes of it that are kept.
    expected: u64,
    /// Gone when the request has been refused: the rest of its body is discarded, and needs none.
    received: Weak<Mutex<Received>>,
    budget: MemoryBudget,
    waiting: Option<Waiting>,
}

impl MeasuredBody {
    /// Waits until there is memory for the next frame.
    fn poll_memory(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let Some(received) = self.received.upgrade() else {
                self.waiting = None;
                return Poll::Ready(Ok(()));
            };
            if let Some(waiting) = &mut self.waiting {
                let outcome = ready!(waiting.as_mut().poll(context));
                self.waiting = None;
                let mut received = lock(&received);
                if let Some(since) = received.waits_since.take() {
                    let waited = since.elapsed();
                    received.since += waited;
                }
                let (part, bytes) = outcome?;
                received.reserved_bytes += bytes;
                received.reservations.push(part);
            }
            let mut received = lock(&received);
            let reserved = received.reserved_bytes;
            if reserved >= self.expected || received.bytes < reserved {
                return Poll::Ready(Ok(()));
            }
            received.waits_since = Some(Instant::now());
            drop(received);
            let left = self.expected - reserved;
            let (pool, bytes) = if reserved < SMALL_BYTES {
                (&self.budget.bodies, left.min(reserved.max(FIRST_BYTES)))
            } else {
                (&self.budget.large_bodies, left)
            };
            let pool = pool.clone();
            self.waiting = Some(Box::pin(async move { Ok((pool.reserve(bytes).await?, bytes)) }));
        }
    }
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        if let Err(error) = ready!(self.poll_memory(context)) {
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(received) = self.received.upgrade() {
            let mut received = lock(&received);
            match &frame {
                Some(Ok(frame)) => {
                    received.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Some(Err(_)) | None => received.is_complete = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
