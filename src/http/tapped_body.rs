//! A body whose frames are looked at as they pass.
//!
//! Unlike `map_frame` it keeps the size that the body states: admission reserves memory by it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Calls `tap` with each frame.
pub(super) struct TappedBody<F> {
    body: Body,
    tap: F,
}

impl<F: FnMut(&Frame<Bytes>) + Send + Unpin + 'static> TappedBody<F> {
    pub(super) fn wrap(body: Body, tap: F) -> Body {
        Body::new(Self { body, tap })
    }
}

impl<F: FnMut(&Frame<Bytes>) + Unpin> HttpBody for TappedBody<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            (self.tap)(frame);
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
