//! One connection: its requests, and the limits that end it.
//!
//! hyper speaks HTTP; this module decides how long a connection may wait for the client:
//! - for the head of a request (408 where a part of it has arrived),
//! - for the next request (`keep_alive`),
//! - for the client to take a response, at a minimum pace, event streams included; less long while
//!   requests wait for the memory that responses hold,
//! - and not at all while it is idle and its place is needed, or the service stops.

mod activity;
mod head;
mod own_error;
mod response_body;
mod stream;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tower::ServiceExt;

pub(super) use self::activity::Activity;
use self::activity::{Limits, Overdue};
use self::response_body::RequestInProgress;
use self::stream::{LastWords, ObservedStream};
use super::extensions::{ClientAddress, InvalidHead};
use super::middleware::admission::budget::MemoryBudget;
use super::problem;
use super::tapped_body::TappedBody;
use crate::config;
use crate::error::{Error, Kind};

/// Whether an HTTP/2 client is still there is asked this often.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);

/// Why a connection ended; the names are labels in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client closed it, or the service did at its end.
    Closed,
    /// No request arrived in time.
    SlowHead,
    /// It was idle for longer than `keep_alive`.
    KeepAlive,
    /// Its client did not take a response.
    SlowReceiver,
    /// It was idle, and its place was needed.
    Shed,
}

impl Ending {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::SlowHead => "slow-head",
            Self::KeepAlive => "keep-alive",
            Self::SlowReceiver => "slow-receiver",
            Self::Shed => "shed",
        }
    }
}

/// Serves connections.
#[derive(Clone)]
pub(super) struct ConnectionServer {
    router: Router,
    limits: Limits,
    /// A part of it is held by responses until their clients have taken them.
    memory: MemoryBudget,
    stopping: watch::Receiver<bool>,
}

impl ConnectionServer {
    /// A server whose connections end after the request in progress once `stopping` is true.
    pub(super) fn new(
        router: Router,
        server: &config::Server,
        memory: MemoryBudget,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { router, limits: Limits::new(server), memory, stopping }
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(mut self, stream: TcpStream, activity: Arc<Activity>) -> Ending {
        // Responses are written whole: waiting for more to send would only add latency.
        let _ = stream.set_nodelay(true);
        let client = stream.peer_addr().ok().map(ClientAddress);
        let (router, requests) = (self.router, Arc::clone(&activity));
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(client) = client {
                request.extensions_mut().insert(client);
            }
            if let Err(error) = head::check(&request) {
                request.extensions_mut().insert(InvalidHead(Arc::new(error)));
            }
            let in_progress = RequestInProgress::begin(&requests, request.version());
            let (of_request, router) = (Arc::clone(&in_progress), router.clone());
            // The rest of a body may be discarded when the response has been sent already. It
            // belongs to this request and is no head of the next one.
            let tap = move |_: &Frame<Bytes>| drop(Arc::clone(&of_request));
            let request = request.map(|body| TappedBody::wrap(Body::new(body), tap));
            async move {
                let response = router.oneshot(request).await?;
                let respond = |body| RequestInProgress::respond(in_progress, body);
                Ok::<_, std::convert::Infallible>(response.map(respond))
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        // Not hyper's own limit for a head, which is also the one between two requests.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING_INTERVAL)
            .keep_alive_timeout(HTTP2_PING_INTERVAL);
        let last_words = LastWords::default();
        let stream = ObservedStream::new(stream, Arc::clone(&activity), last_words.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

        let mut checks = tokio::time::interval(self.limits.check_interval());
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                // An error here is the client's: it disconnected, or it does not speak HTTP.
                _ = &mut connection => return Ending::Closed,
                () = activity.shed.notified() => {
                    // A request may have arrived since this connection was chosen.
                    if activity.idle_since().is_some() {
                        return Ending::Shed;
                    }
                }
                _ = self.stopping.wait_for(|is_stopping| *is_stopping), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = checks.tick() => match activity.overdue(&self.limits, self.memory.is_short()) {
                    None => {}
                    Some(Overdue::Receiver) => return Ending::SlowReceiver,
                    Some(Overdue::KeepAlive) => return Ending::KeepAlive,
                    Some(Overdue::Head { has_begun }) => {
                        if has_begun {
                            last_words.set(head_timeout());
                        }
                        return Ending::SlowHead;
                    }
                },
            }
        }
    }
}

/// The response to a head that does not arrive. There is no request yet for the router to answer.
fn head_timeout() -> Vec<u8> {
    let error = Error::new(Kind::SlowRequest, "the head of the request did not arrive in time");
    problem::raw_response(&error)
}
