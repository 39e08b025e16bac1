//! The worker's side of a stream: decides which progress is worth an event.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::frame;
use crate::app::response::json;
use crate::explain::Choice;
use crate::explain::Method;
use crate::explain::{Explanation, ProgressObserver};

/// Between two events of progress: often enough for a progress bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Between two unfinished maps; the first is sent as soon as there is one.
const PARTIAL_INTERVAL: Duration = Duration::from_secs(1);
/// The reciprocal of the share of the time that unfinished maps may take; large ones are therefore
/// sent less often.
const PARTIAL_SHARE: u32 = 20;

/// What the worker's thread sends.
pub(super) enum Event {
    /// A worker has started.
    Started,
    /// An event, ready to be written.
    Frame(Bytes),
}

/// Observes the work and sends events about it.
pub(super) struct EventSender {
    events: mpsc::Sender<Event>,
    pace: Mutex<Pace>,
}

struct Pace {
    /// When the method in progress began its passes.
    began: Instant,
    next_progress: Instant,
    next_partial: Instant,
    /// When the unfinished map in progress was requested.
    partial_since: Instant,
}

#[derive(Serialize)]
struct Progress<'a> {
    method: &'a str,
    done: usize,
    total: usize,
    /// Null before the first batch of passes: nothing is known yet.
    remaining_s: Option<f64>,
}

impl EventSender {
    /// A sender for work that starts now.
    pub(super) fn start(events: mpsc::Sender<Event>) -> Self {
        let now = Instant::now();
        let pace = Pace { began: now, next_progress: now, next_partial: now, partial_since: now };
        // If nobody listens, the work is being stopped anyway.
        let _ = events.try_send(Event::Started);
        Self { events, pace: Mutex::new(pace) }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, name: &str, data: &[u8]) {
        // A client that reads slowly misses this one and gets a later one.
        let _ = self.events.try_send(Event::Frame(frame::event(name, data)));
    }
}

impl ProgressObserver for EventSender {
    fn progress(&self, method: Method, done: usize, total: usize) {
        let now = Instant::now();
        let mut pace = self.pace();
        if done == 0 {
            pace.began = now;
        } else if now < pace.next_progress && done < total {
            return;
        }
        pace.next_progress = now + PROGRESS_INTERVAL;
        let seconds_per_pass = (now - pace.began).as_secs_f64() / done as f64;
        let remaining_s =
            (done > 0).then(|| (seconds_per_pass * (total - done) as f64 * 10.0).round() / 10.0);
        let progress = Progress { method: method.name(), done, total, remaining_s };
        if let Ok(data) = serde_json::to_vec(&progress) {
            self.send("progress", &data);
        }
    }

    fn wants_partial(&self) -> bool {
        let mut pace = self.pace();
        pace.partial_since = Instant::now();
        pace.partial_since >= pace.next_partial && self.events.capacity() > 0
    }

    fn partial(&self, unfinished: &Explanation, done: usize, total: usize) {
        if let Ok(data) = json::partial(unfinished, done, total) {
            self.send("partial", &data);
        }
        let mut pace = self.pace();
        let now = Instant::now();
        let pause = PARTIAL_INTERVAL.max((now - pace.partial_since) * PARTIAL_SHARE);
        pace.next_partial = now + pause;
    }
}
