//! Values that middleware and handlers hand to each other inside requests and responses.

use std::sync::{Arc, OnceLock};

use crate::error::Error;

/// The request's id, inside a request.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// The error that a response reports, on its way to the layers that write its body and log it.
#[derive(Clone)]
pub(super) struct ErrorExtension(pub(super) Arc<Error>);

/// How a stream of events ended, for the log and the metrics. It stays unset while the stream
/// runs, and for good if the client disconnects.
#[derive(Clone, Default)]
pub(super) struct StreamOutcome(Arc<OnceLock<Option<Error>>>);

impl StreamOutcome {
    /// Sets the outcome. A stream ends once, so later calls change nothing.
    pub(super) fn set(&self, error: Option<Error>) {
        let _ = self.0.set(error);
    }

    /// `None` while the stream runs, else the error that ended it, if one did.
    pub(super) fn get(&self) -> Option<Option<&Error>> {
        self.0.get().map(Option::as_ref)
    }
}
