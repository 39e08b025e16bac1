//! Memory that is returned when a response has been sent, or when its client is gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::budget::Reservation;

/// The memory of a request whose work has ended.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held for its drop")] Vec<Reservation>);

impl Held {
    pub(super) fn new(reservations: Vec<Reservation>) -> Self {
        Self(reservations)
    }

    /// A body that holds the memory until it has been sent or dropped.
    pub(in crate::http) fn until_sent(self, body: Body) -> Body {
        Body::new(HeldBody { body, _held: self })
    }
}

struct HeldBody {
    body: Body,
    _held: Held,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
