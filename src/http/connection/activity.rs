//! What a connection is doing, and since when: the facts that decide when it is closed.
//!
//! The stream reports bytes, the service requests, the bodies of responses their chunks. None of
//! them decides anything; [`Activity::overdue`] does, and is asked again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config;

/// The time limits of a connection.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    header_timeout: Duration,
    keep_alive: Duration,
    send_timeout: Duration,
    /// What takes its place while requests wait for the memory that responses hold.
    hurried_send_timeout: Duration,
    /// The fewest bytes a second that a client must take within one of them.
    send_bytes_per_s: u64,
}

/// The longest hurried time limit for a response: a client that reads at all takes something.
const HURRIED_SEND_TIMEOUT: Duration = Duration::from_secs(2);

impl Limits {
    pub(super) fn new(server: &config::Server) -> Self {
        let send_timeout = Duration::from_millis(server.send_timeout_ms);
        Self {
            header_timeout: Duration::from_millis(server.header_timeout_ms),
            keep_alive: Duration::from_millis(server.keep_alive_ms),
            send_timeout,
            hurried_send_timeout: send_timeout.min(HURRIED_SEND_TIMEOUT),
            send_bytes_per_s: server.send_bytes_per_s,
        }
    }

    /// The fewest bytes that a client must take in some time.
    fn send_bytes(&self, elapsed: Duration) -> u64 {
        ((elapsed.as_secs_f64() * self.send_bytes_per_s as f64) as u64).max(1)
    }

    /// How often a connection is checked: often enough to be closed nearly in time.
    pub(super) fn check_interval(&self) -> Duration {
        let shortest = self.header_timeout.min(self.keep_alive).min(self.send_timeout);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}

/// Which limit a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No head of a request has arrived completely; the flag says whether a part of one has.
    Head { has_begun: bool },
    /// Nothing has been asked since the last response.
    KeepAlive,
    /// The client takes a response too slowly.
    Receiver,
}

/// A time in which something waits for the client to receive.
struct Sending {
    since: Instant,
    bytes: u64,
}

impl Sending {
    fn is_too_slow(&mut self, now: Instant, limits: &Limits, is_memory_short: bool) -> bool {
        let elapsed = now.duration_since(self.since);
        let is_complete = elapsed >= limits.send_timeout;
        let is_hurried = is_memory_short && elapsed >= limits.hurried_send_timeout;
        if !is_complete && !is_hurried {
            return false;
        }
        let is_too_slow = self.bytes < limits.send_bytes(elapsed);
        if is_complete {
            *self = Self { since: now, bytes: 0 };
        }
        is_too_slow
    }
}

/// One connection's state.
pub(in crate::http) struct Activity {
    state: Mutex<State>,
    /// Told that the connection's place is needed.
    pub(in crate::http) shed: Notify,
}

struct State {
    is_http2: bool,
    requests: u64,
    in_progress: usize,
    /// Since when there has been no request.
    idle_since: Instant,
    /// When the first byte of a request's head arrived.
    head_since: Option<Instant>,
    /// While the socket takes no more bytes.
    blocked: Option<Sending>,
    /// The responses whose chunks wait to be sent, by the number of the request.
    responses: HashMap<u64, Sending>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.in_progress == 0 && self.blocked.is_none()
    }
}

impl Activity {
    pub(in crate::http) fn new() -> Self {
        let state = State {
            is_http2: false,
            requests: 0,
            in_progress: 0,
            idle_since: Instant::now(),
            head_since: None,
            blocked: None,
            responses: HashMap::new(),
        };
        Self { state: Mutex::new(state), shed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the connection has been idle, if it is.
    pub(in crate::http) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.is_idle().then_some(state.idle_since)
    }

    /// The connection speaks HTTP/2, whose frames come at any time and begin no head.
    pub(super) fn speaks_http2(&self) {
        self.state().is_http2 = true;
    }

    /// Bytes arrived.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.in_progress == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// The socket took bytes.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(blocked) = &mut self.state().blocked {
            blocked.bytes += bytes as u64;
        }
    }

    /// The socket takes no more bytes.
    pub(super) fn blocks(&self) {
        let sending = || Sending { since: Instant::now(), bytes: 0 };
        self.state().blocked.get_or_insert_with(sending);
    }

    /// Everything was handed to the socket.
    pub(super) fn flushed(&self) {
        self.state().blocked = None;
    }

    /// The head of a request has arrived. Returns the request's number.
    pub(super) fn request_began(&self) -> u64 {
        let mut state = self.state();
        state.requests += 1;
        state.in_progress += 1;
        state.head_since = None;
        state.requests
    }

    /// A request's response is complete, or nobody needs it any more.
    pub(super) fn request_ended(&self, request: u64) {
        let mut state = self.state();
        state.responses.remove(&request);
        state.in_progress -= 1;
        state.idle_since = Instant::now();
    }

    /// A chunk of a response waits to be sent.
    pub(super) fn chunk_waits(&self, request: u64, bytes: usize) {
        let mut state = self.state();
        let sending = || Sending { since: Instant::now(), bytes: 0 };
        state.responses.entry(request).or_insert_with(sending).bytes += bytes as u64;
    }

    /// All chunks of a response so far are on their way, and the next one does not exist yet.
    pub(super) fn no_chunk_waits(&self, request: u64) {
        self.state().responses.remove(&request);
    }

    /// The limit that the connection is over, if it is over one. While memory is short, a client
    /// has less time to take a response.
    pub(super) fn overdue(&self, limits: &Limits, is_memory_short: bool) -> Option<Overdue> {
        let now = Instant::now();
        let state = &mut *self.state();
        let mut sending = state.blocked.iter_mut().chain(state.responses.values_mut());
        if sending.any(|sending| sending.is_too_slow(now, limits, is_memory_short)) {
            return Some(Overdue::Receiver);
        }
        if !state.is_idle() {
            return None;
        }
        let is_over = |since: Instant, limit| now.duration_since(since) >= limit;
        match state.head_since.filter(|_| !state.is_http2) {
            Some(since) => {
                is_over(since, limits.header_timeout).then_some(Overdue::Head { has_begun: true })
            }
            None if state.requests == 0 => is_over(state.idle_since, limits.header_timeout)
                .then_some(Overdue::Head { has_begun: false }),
            None => is_over(state.idle_since, limits.keep_alive).then_some(Overdue::KeepAlive),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_has_less_time_while_memory_is_short() {
        let limits = Limits::new(&config::Server::default());
        let (stalled, reading) = (Activity::new(), Activity::new());
        let overdue = |is_memory_short| {
            [&stalled, &reading].map(|activity| activity.overdue(&limits, is_memory_short))
        };
        for activity in [&stalled, &reading] {
            activity.request_began();
            activity.blocks();
        }
        advance(HURRIED_SEND_TIMEOUT).await;
        reading.sent(100_000);
        assert_eq!(overdue(false), [None, None]);
        assert_eq!(overdue(true), [Some(Overdue::Receiver), None]);
        advance(limits.send_timeout).await;
        assert_eq!(overdue(false), [Some(Overdue::Receiver), Some(Overdue::Receiver)]);
    }
}
