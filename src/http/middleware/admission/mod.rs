//! Admission: a request that runs a model needs a permit before its body is read.
//!
//! A full queue is refused at once, with the rest of the body discarded so that the client reads
//! the refusal. [`queue`] holds the permits and runs the work.

pub mod queue;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::queue::Permit;
use crate::error::Error;
use crate::http::extract::body::discard;
use crate::http::state::AppState;

/// A permit on its way to the handler, which takes it. Extensions must be `Clone`, a permit is not.
#[derive(Clone)]
struct Admitted(Arc<Mutex<Option<Permit>>>);

/// Takes a permit for the request, or refuses it.
pub(in crate::http) async fn admit(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    match state.admission.admit() {
        Ok(permit) => {
            let admitted = Admitted(Arc::new(Mutex::new(Some(permit))));
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(body, &parts.headers, state.server.body_bytes).await;
            refusal.into_response()
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Permit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let admitted = parts.extensions.remove::<Admitted>();
        let take = |Admitted(permit): Admitted| {
            permit.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        admitted
            .and_then(take)
            .ok_or_else(|| Error::internal("taking a permit", "the route has no admission layer"))
    }
}
