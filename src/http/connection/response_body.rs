//! The body of a response, which reports how fast it is taken.
//!
//! With HTTP/2 it is handed over in chunks: there a client can refuse to receive while its socket
//! takes bytes, and only the chunks that hyper does not ask for show it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::Version;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::activity::Activity;

/// At most this much of a body is handed over at once with HTTP/2.
const CHUNK_BYTES: usize = 64 << 10;

/// A request in progress, from its head to the end of its response and of its own body.
pub(super) struct RequestInProgress {
    activity: Arc<Activity>,
    number: u64,
    chunk_bytes: usize,
}

impl RequestInProgress {
    pub(super) fn begin(activity: &Arc<Activity>, version: Version) -> Arc<Self> {
        let chunk_bytes = if version == Version::HTTP_2 {
            activity.speaks_http2();
            CHUNK_BYTES
        } else {
            usize::MAX
        };
        let number = activity.request_began();
        Arc::new(Self { activity: Arc::clone(activity), number, chunk_bytes })
    }

    /// The body of the response.
    pub(super) fn respond(request: Arc<Self>, body: Body) -> ResponseBody {
        // A client of HTTP/2 may allow not even the first chunk.
        request.activity.chunk_waits(request.number, 0);
        ResponseBody { body, rest: Bytes::new(), request }
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.activity.request_ended(self.number);
    }
}

/// A body in chunks.
pub(super) struct ResponseBody {
    body: Body,
    /// What is left of the frame in progress.
    rest: Bytes,
    request: Arc<RequestInProgress>,
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.request.activity.no_chunk_waits(self.request.number);
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let frame = Pin::new(&mut this.body).poll_frame(context);
            if frame.is_pending() {
                this.request.activity.no_chunk_waits(this.request.number);
            }
            match ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end_or_error => return Poll::Ready(end_or_error),
            }
        }
        let chunk = this.rest.split_to(this.rest.len().min(this.request.chunk_bytes));
        this.request.activity.chunk_waits(this.request.number, chunk.len());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
