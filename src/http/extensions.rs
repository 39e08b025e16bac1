//! Values that middleware and handlers hand to each other inside requests and responses.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::app::ExplainResponse;
use crate::app::response::TimingMs;
use crate::error::{Error, Result};

/// The request's id, inside a request.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// The client's end of the connection, inside a request.
#[derive(Clone, Copy)]
pub(super) struct ClientAddress(pub(super) SocketAddr);

/// What is wrong with a request's head, inside a request.
#[derive(Clone)]
pub(super) struct InvalidHead(pub(super) Arc<Error>);

/// What a response of a model shows, for the log and the metrics.
#[derive(Clone, Debug)]
pub(super) struct ResponseFacts {
    pub(super) model: String,
    /// The method, or `several`; absent for a prediction.
    pub(super) method: Option<&'static str>,
    /// How long the request waited for memory and a worker.
    pub(super) queued: Option<Duration>,
    pub(super) timing: TimingMs,
}

impl ResponseFacts {
    pub(super) fn of(response: &ExplainResponse) -> Self {
        let ExplainResponse { facts, timing, .. } = response;
        let method = match facts.maps.as_ref().map(|maps| maps.methods.as_slice()) {
            Some([method]) => Some(method.name),
            Some(_) => Some("several"),
            None => None,
        };
        Self { model: facts.model.clone(), method, queued: None, timing: *timing }
    }

    /// The stages that there were, by their names in metrics and traces, with seconds.
    pub(super) fn stages_s(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let name = |stage| if stage == "explain" { "passes" } else { stage };
        let queued = self.queued.map(|queued| ("queue", queued.as_secs_f64()));
        let stages = self.timing.stages();
        queued.into_iter().chain(stages.map(move |(stage, ms)| (name(stage), ms / 1e3)))
    }
}

/// The error that a response reports, on its way to the layers that write its body and log it.
#[derive(Clone)]
pub(super) struct ErrorExtension(pub(super) Arc<Error>);

/// How a stream of events ended, for the log and the metrics. It stays unset while the stream
/// runs, and for good if the client disconnects.
#[derive(Clone, Default)]
pub(super) struct StreamOutcome(Arc<OnceLock<Result<ResponseFacts>>>);

impl StreamOutcome {
    /// Sets the outcome. A stream ends once, so later calls change nothing.
    pub(super) fn set(&self, outcome: Result<ResponseFacts>) {
        let _ = self.0.set(outcome);
    }

    /// `None` while the stream runs.
    pub(super) fn get(&self) -> Option<&Result<ResponseFacts>> {
        self.0.get()
    }
}
