//! Memory that is returned when a response has been sent, or when its client is gone.
//!
//! The reservations belong to the bytes themselves, not to the body that yields them: hyper takes a
//! whole body at once, drops it, and then keeps its bytes for as long as the client reads.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::budget::Reservation;

/// The memory of a request whose work has ended.
#[derive(Debug)]
pub struct Held(Vec<Reservation>);

impl Held {
    pub(super) fn new(reservations: Vec<Reservation>) -> Self {
        Self(reservations)
    }

    /// A body whose bytes hold the memory until they have been sent or dropped. What is more than
    /// the body's length is returned at once.
    pub(in crate::http) fn until_sent(mut self, body: Body) -> Body {
        if let Some(length) = body.size_hint().exact() {
            self.shrink_to(length);
        }
        Body::new(HeldBody { body, held: Arc::new(self) })
    }

    /// Bytes that hold the memory until they have been sent or dropped.
    pub(in crate::http) fn until_dropped(mut self, bytes: Bytes) -> Bytes {
        self.shrink_to(bytes.len() as u64);
        HeldBytes::with(bytes, Arc::new(self))
    }

    fn shrink_to(&mut self, bytes: u64) {
        self.0.iter_mut().for_each(|reservation| reservation.shrink_to(bytes));
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
