//! Memory that is returned when a response has been sent, or when its client is gone.
//!
//! The reservations belong to the bytes themselves, not to the body that yields them: hyper takes a
//! whole body at once, drops it, and then keeps its bytes for as long as the client reads.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::budget::WorkMemory;
use crate::http::extensions::ResponseFacts;

/// The memory of a request whose work has ended.
#[derive(Debug)]
pub struct Held {
    memory: WorkMemory,
    /// How long the request waited for it and for a worker.
    queued: Duration,
}

impl Held {
    pub(super) fn new(memory: WorkMemory, queued: Duration) -> Self {
        Self { memory, queued }
    }

    /// How long the request waited in the queue.
    pub(in crate::http) fn queued(&self) -> Duration {
        self.queued
    }

    /// A response whose bytes hold the memory until they have been sent or dropped. What is more
    /// than the body's length is returned at once.
    pub(in crate::http) fn until_sent(mut self, mut response: Response) -> Response {
        if let Some(facts) = response.extensions_mut().get_mut::<ResponseFacts>() {
            facts.queued = Some(self.queued);
        }
        if let Some(length) = response.body().size_hint().exact() {
            self.memory.shrink_to(length);
        }
        response.map(|body| Body::new(HeldBody { body, held: Arc::new(self) }))
    }

    /// Bytes that hold the memory until they have been sent or dropped.
    pub(in crate::http) fn until_dropped(mut self, bytes: Bytes) -> Bytes {
        self.memory.shrink_to(bytes.len() as u64);
        HeldBytes::with(bytes, Arc::new(self))
    }
}

struct HeldBody {
    body: Body,
    held: Arc<Held>,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let hold = |bytes| HeldBytes::with(bytes, Arc::clone(&self.held));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of a response, and the memory of all of it.
struct HeldBytes {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl HeldBytes {
    fn with(bytes: Bytes, held: Arc<Held>) -> Bytes {
        Bytes::from_owner(Self { bytes, _held: held })
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
