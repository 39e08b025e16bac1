//! `text/event-stream`: progress while a response is computed, then the response.
//!
//! The events, each with one JSON object:
//! - `queued`, if no worker is free; `started`, when one has begun;
//! - `progress`: a method's passes done, their total, and the seconds left;
//! - `partial`: the map computed from the passes so far, about once a second;
//! - last, exactly one of `result`, the JSON response, or `problem`.
//!
//! The response's head waits for the first event of progress, but no longer than
//! [`FIRST_EVENT_TIMEOUT`]: most errors are found by then, and stay ordinary problems with their
//! status. While nothing happens, a comment keeps the connection alive. The work belongs to the
//! response's body: if the client disconnects, the body is dropped and the work stops.

mod frame;
mod sender;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::sender::{Event, EventSender};
use super::extensions::{ResponseFacts, StreamOutcome};
use super::middleware::admission::held::Held;
use super::middleware::admission::permit::Permit;
use super::problem::{self, ProblemContext};
use super::state::AppState;
use crate::app::ExplainResponse;
use crate::engine::CancellationToken;
use crate::error::Result;
use crate::explain::ProgressObserver;

/// How long the response's head waits for the first event.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(1);
/// Proxies cut a connection that is silent for half a minute or more.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Events that may wait for a client that reads slowly; more are dropped.
const EVENT_BUFFER: usize = 4;

/// Runs the work and streams its progress.
///
/// # Errors
/// Those of the work, before the stream has begun.
pub(super) async fn respond(
    state: Arc<AppState>,
    permit: Permit,
    context: ProblemContext,
    work: impl FnOnce(&CancellationToken, &dyn ProgressObserver) -> Result<ExplainResponse>
    + Send
    + 'static,
) -> Result<Response> {
    let (sender, events) = mpsc::channel(EVENT_BUFFER);
    let work = Box::pin(permit.run(move |cancel| work(cancel, &EventSender::start(sender))));
    let outcome = StreamOutcome::default();
    let outcome_of_stream = outcome.clone();
    let mut events = EventStream { state, context, events, work, outcome: outcome_of_stream };
    let first = events.first().await?;
    let rest = stream::unfold(events, |mut events| async move {
        let is_over = events.outcome.get().is_some();
        if is_over { None } else { Some((events.next_frame().await, events)) }
    });
    let body = Body::from_stream(stream::iter(first).chain(rest).map(Ok::<_, Infallible>));
    // The last one is for nginx, which would buffer a second's events before it sends them on.
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let mut response = (headers, body).into_response();
    response.extensions_mut().insert(outcome);
    Ok(response)
}

/// The next thing to send: an event, or the end of the stream.
enum Next {
    Event(Event),
    End(Result<Box<(ExplainResponse, Held)>>),
}

/// The work of a stream, with the memory to hold until its result is sent.
type Work = Pin<Box<dyn Future<Output = Result<(ExplainResponse, Held)>> + Send>>;

/// The connection's side of a stream.
struct EventStream {
    state: Arc<AppState>,
    context: ProblemContext,
    events: mpsc::Receiver<Event>,
    work: Work,
    outcome: StreamOutcome,
}

impl EventStream {
    /// Waits for the first event to send, or until it has waited long enough.
    async fn first(&mut self) -> Result<Vec<Bytes>> {
        let mut is_started = false;
        let first = async {
            loop {
                match self.next().await {
                    Next::Event(Event::Started) => is_started = true,
                    Next::Event(Event::Frame(frame)) => return Ok(frame),
                    Next::End(Err(error)) => return Err(error),
                    Next::End(Ok(response)) => return Ok(self.end(Ok(response))),
                }
            }
        };
        match timeout(FIRST_EVENT_TIMEOUT, first).await {
            Ok(frame) => Ok(vec![started(), frame?]),
            Err(_) if is_started => Ok(vec![started()]),
            Err(_) => Ok(vec![frame::event("queued", b"{}")]),
        }
    }

    async fn next_frame(&mut self) -> Bytes {
        match timeout(KEEP_ALIVE_INTERVAL, self.next()).await {
            Ok(Next::Event(Event::Started)) => started(),
            Ok(Next::Event(Event::Frame(frame))) => frame,
            Ok(Next::End(outcome)) => self.end(outcome),
            Err(_) => Bytes::from_static(frame::KEEP_ALIVE),
        }
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            // Biased, so that events sent before the end are delivered before it.
            biased;
            Some(event) = self.events.recv() => Next::Event(event),
            outcome = &mut self.work => Next::End(outcome.map(Box::new)),
        }
    }

    fn end(&mut self, outcome: Result<Box<(ExplainResponse, Held)>>) -> Bytes {
        let (frame, outcome) = match outcome {
            Ok(finished) => {
                let (response, memory) = *finished;
                self.state.metrics.passes(&response.facts.model, response.facts.passes);
                let queued = Some(memory.queued());
                let result = memory.until_dropped(frame::event("result", &response.body));
                (result, Ok(ResponseFacts { queued, ..ResponseFacts::of(&response) }))
            }
            Err(error) => {
                (frame::event("problem", &problem::body(&error, &self.context)), Err(error))
            }
        };
        self.outcome.set(outcome);
        frame
    }
}

fn started() -> Bytes {
    frame::event("started", b"{}")
}
