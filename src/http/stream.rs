//! `text/event-stream`: an answer that tells how it goes while it is made.
//!
//! The events, each with one JSON object:
//! - `queued`, when no worker is free; `started`, when one has begun;
//! - `progress`: a method's passes done, their total, and the seconds that are left;
//! - `partial`: the map that the passes so far give, about once a second;
//! - last, and exactly one of them: `result`, the JSON answer, or `problem`.
//!
//! The answer's head waits for the first news, but no longer than [`HOLD`]: what is wrong with a
//! request is mostly found by then, and stays an ordinary problem with its status. When nothing
//! happens a comment is sent now and then, so that nobody on the way takes the connection for dead.
//! The work belongs to the answer's body: a client that goes drops the body, and the work stops.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::App;
use super::admission::Place;
use super::answer::{self, Answer};
use super::around::RequestId;
use super::problem;
use crate::engine::CancellationToken;
use crate::error::{Error, Result};
use crate::explain::{Choice, Explanation, Method, ProgressObserver};

/// How long the answer's head waits for something to tell.
const HOLD: Duration = Duration::from_secs(1);
/// Proxies cut a connection that is silent for half a minute or more.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two events of progress: often enough for a bar.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Between two unfinished maps; the first is shown as soon as there is one.
const PARTIAL_EVERY: Duration = Duration::from_secs(1);
/// Unfinished maps may take this part of the time: one that is large is shown more seldom.
const PARTIAL_SHARE: u32 = 20;
/// Events that wait for a client that reads slowly; what comes on top is left out.
const WAITING: usize = 4;

/// How a stream ended, for the log and the metrics: unset while it has not, and for good when the
/// client went.
#[derive(Clone, Default)]
pub(super) struct Ending(pub(super) Arc<OnceLock<Option<Error>>>);

/// What a problem says of its request.
pub(super) struct About {
    path: String,
    request_id: String,
}

impl About {
    pub(super) fn of(request: &Request) -> Self {
        let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
        Self { path: request.uri().path().to_owned(), request_id: id.unwrap_or_default() }
    }
}

/// Does the work and tells how it goes.
///
/// # Errors
/// The work's, while the stream has not begun.
pub(super) async fn answer(
    app: Arc<App>,
    place: Place,
    about: About,
    work: impl FnOnce(&CancellationToken, &dyn ProgressObserver) -> Result<Answer> + Send + 'static,
) -> Result<Response> {
    let (sender, events) = mpsc::channel(WAITING);
    let work = place.work(move |cancel| {
        let teller = Teller::new(sender);
        // Nobody who listens is no reason to fail: then the work is being stopped.
        let _ = teller.events.try_send(Event::Started);
        work(cancel, &teller)
    });
    let ending = Ending::default();
    let mut telling = Telling { app, about, events, work: Box::pin(work), ending: ending.clone() };
    let first = telling.first().await?;
    let rest = stream::unfold(telling, |mut telling| async move {
        let is_over = telling.ending.0.get().is_some();
        if is_over { None } else { Some((telling.next_frame().await, telling)) }
    });
    let body = Body::from_stream(stream::iter(first).chain(rest).map(Ok::<_, Infallible>));
    // The last one is nginx's: it would collect the events of a second before it passes them on.
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let mut response = (headers, body).into_response();
    response.extensions_mut().insert(ending);
    Ok(response)
}

/// What the worker's thread tells.
enum Event {
    Started,
    News(Bytes),
}

/// What comes next.
enum Next {
    Event(Event),
    End(Result<Answer>),
}

/// The side of the stream that the connection pulls at.
struct Telling {
    app: Arc<App>,
    about: About,
    events: mpsc::Receiver<Event>,
    work: Pin<Box<dyn Future<Output = Result<Answer>> + Send>>,
    ending: Ending,
}

impl Telling {
    /// Waits for something to tell, or until it has waited long enough.
    async fn first(&mut self) -> Result<Vec<Bytes>> {
        let mut is_started = false;
        let news = async {
            loop {
                match self.next().await {
                    Next::Event(Event::Started) => is_started = true,
                    Next::Event(Event::News(frame)) => return Ok(frame),
                    Next::End(Err(problem)) => return Err(problem),
                    Next::End(Ok(answer)) => return Ok(self.end(Ok(answer))),
                }
            }
        };
        match timeout(HOLD, news).await {
            Ok(frame) => Ok(vec![started(), frame?]),
            Err(_) if is_started => Ok(vec![started()]),
            Err(_) => Ok(vec![queued()]),
        }
    }

    async fn next_frame(&mut self) -> Bytes {
        match timeout(SILENCE, self.next()).await {
            Ok(Next::Event(Event::Started)) => started(),
            Ok(Next::Event(Event::News(frame))) => frame,
            Ok(Next::End(outcome)) => self.end(outcome),
            Err(_) => Bytes::from_static(b": still here\n\n"),
        }
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            // What was told before the end comes before it.
            biased;
            Some(event) = self.events.recv() => Next::Event(event),
            outcome = &mut self.work => Next::End(outcome),
        }
    }

    fn end(&mut self, outcome: Result<Answer>) -> Bytes {
        let (frame, error) = match outcome {
            Ok(answer) => {
                self.app.metrics.passed(&answer.model, answer.passes);
                (frame("result", &answer.body), None)
            }
            Err(error) => {
                let About { path, request_id } = &self.about;
                (frame("problem", &problem::body(&error, path, request_id)), Some(error))
            }
        };
        // Set once: there is one end.
        let _ = self.ending.0.set(error);
        frame
    }
}

fn queued() -> Bytes {
    frame("queued", b"{}")
}

fn started() -> Bytes {
    frame("started", b"{}")
}

/// One event. `data` is JSON as serde writes it, without line breaks.
fn frame(event: &str, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(event.len() + data.len() + 16);
    for part in [b"event: ", event.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        frame.put_slice(part);
    }
    frame.freeze()
}

#[derive(Serialize)]
struct Progress<'a> {
    method: &'a str,
    done: usize,
    total: usize,
    /// Null before the first batch: nothing is known yet.
    remaining_s: Option<f64>,
}

/// The side of the stream that works: it decides what is worth telling.
struct Teller {
    events: mpsc::Sender<Event>,
    pace: Mutex<Pace>,
}

struct Pace {
    /// When the method in progress began its passes.
    began: Instant,
    progress_after: Instant,
    partial_after: Instant,
    /// When the unfinished map was asked for that is being made.
    partial_since: Instant,
}

impl Teller {
    fn new(events: mpsc::Sender<Event>) -> Self {
        let now = Instant::now();
        let pace = Pace { began: now, progress_after: now, partial_after: now, partial_since: now };
        Self { events, pace: Mutex::new(pace) }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: &str, data: &[u8]) {
        // A client that reads slowly misses this one and gets a later one.
        let _ = self.events.try_send(Event::News(frame(event, data)));
    }
}

impl ProgressObserver for Teller {
    fn progress(&self, method: Method, done: usize, of: usize) {
        let now = Instant::now();
        let mut pace = self.pace();
        if done == 0 {
            pace.began = now;
        } else if now < pace.progress_after && done < of {
            return;
        }
        pace.progress_after = now + PROGRESS_EVERY;
        let seconds_a_pass = (now - pace.began).as_secs_f64() / done as f64;
        let remaining_s =
            (done > 0).then(|| (seconds_a_pass * (of - done) as f64 * 10.0).round() / 10.0);
        let progress = Progress { method: method.name(), done, total: of, remaining_s };
        if let Ok(data) = serde_json::to_vec(&progress) {
            self.tell("progress", &data);
        }
    }

    fn wants_partial(&self) -> bool {
        let mut pace = self.pace();
        pace.partial_since = Instant::now();
        pace.partial_since >= pace.partial_after && self.events.capacity() > 0
    }

    fn partial(&self, unfinished: &Explanation, done: usize, of: usize) {
        if let Ok(data) = answer::partial_json(unfinished, done, of) {
            self.tell("partial", &data);
        }
        let mut pace = self.pace();
        let now = Instant::now();
        pace.partial_after = now + PARTIAL_EVERY.max((now - pace.partial_since) * PARTIAL_SHARE);
    }
}
